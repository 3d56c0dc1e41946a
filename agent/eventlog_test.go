package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/updraft-ota/updraft/ota"
)

func numbers(told []Told) (list []uint64) {
	for _, t := range told {
		list = append(list, t.Seq)
	}
	return list
}

func TestLateListenersReadTheLog(t *testing.T) {
	story(t, func(w *world) {
		w.cfg.Core.Polling = false
		w.start()
		w.do(GetUpdateRequests{})
		all := w.agent.Since(0)
		if len(all) < 2 || all[0].Seq != eventsPerStart+1 || all[0].Event != (AlreadyAuthenticated{}) || all[len(all)-1].Event != (NoUpdateRequests{}) {
			t.Fatalf("%v", all)
		}
		last := all[len(all)-1].Seq
		if got := w.agent.Since(last); len(got) != 0 {
			t.Errorf("news out of nothing: %v", got)
		}
		w.do(GetUpdateRequests{})
		if got := w.agent.Since(last); len(got) != 1 || got[0].Seq != last+1 || got[0].At.Before(all[0].At) {
			t.Errorf("%v", got)
		}
		w.stop()
		w.start()
		got := w.agent.Since(last)
		if len(got) == 0 || got[0].Seq != 2*eventsPerStart+1 {
			t.Errorf("after a restart: %v", got)
		}
	})
}

func TestTheLogForgets(t *testing.T) {
	var b bus
	for range maxTold + 10 {
		b.send(Authenticated{})
	}
	got := numbers(b.log.since(0))
	if len(got) != maxTold || got[0] != 11 || got[maxTold-1] != maxTold+10 {
		t.Errorf("%d events from %d", len(got), got[0])
	}
	if got := numbers(b.log.since(maxTold + 9)); len(got) != 1 || got[0] != maxTold+10 {
		t.Errorf("%v", got)
	}
	if got := b.log.since(maxTold + 11); len(got) != maxTold {
		t.Errorf("a number nobody gave brings %d events", len(got))
	}
}

func TestLongEventsTakeTheirRoom(t *testing.T) {
	long := strings.Repeat("x", maxToldBytes/4)
	report := ota.Outcome("u1", ota.InstallFailed, long)
	for _, e := range []Event{
		Error{long}, FoundSystemInfo{long}, FoundInstalledPackages{[]ota.PackageID{{Name: long}}}, DownloadFailed{Reason: long},
		UpdatesReceived{[]ota.Offer{{Description: long}}}, UpdateAvailable{Available{Description: long}}, InstallComplete{report}, InstallFailed{report},
	} {
		var b bus
		for range 10 {
			b.send(e)
		}
		if got := numbers(b.log.since(0)); len(got) != 3 || got[2] != 10 {
			t.Errorf("%s: %v are kept", e.Name(), got)
		}
		b.send(Error{strings.Repeat("x", 2*maxToldBytes)})
		if got := numbers(b.log.since(0)); len(got) != 1 || b.log.bytes < 2*maxToldBytes {
			t.Errorf("%s: %v are kept with one that is too long, %d bytes", e.Name(), got, b.log.bytes)
		}
		b.send(Authenticated{})
		if b.log.bytes != weight(Authenticated{}) {
			t.Errorf("%s: %d bytes are counted", e.Name(), b.log.bytes)
		}
	}
}

func TestADamagedCountOfStartsIsNoHindrance(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	for want := range uint64(3) {
		s, err := OpenState(dir, Identity{}, StateOptions{})
		if err != nil || s.starts != want%2+1 {
			t.Fatal(s.starts, err)
		}
		s.Close()
		if want == 1 {
			os.WriteFile(filepath.Join(dir, startsFile), []byte("many"), 0o600)
		}
	}
}
