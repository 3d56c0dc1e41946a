package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-ota/updraft/ota"
)

// externally has an external installer end updates that are downloaded.
func (w *world) externally(ids ...string) {
	w.Helper()
	for _, id := range ids {
		if e := w.do(SendUpdateReport{ota.Outcome(ota.UpdateID(id), ota.OK, "")}); e != (UpdateReportSent{}) {
			w.Errorf("%v", e)
		}
	}
}

// expectFiles compares what is in packages_dir.
func (w *world) expectFiles(want ...string) {
	w.Helper()
	if diff := cmp.Diff(want, w.files()); diff != "" {
		w.Errorf("files: %s", diff)
	}
}

func TestOnlyTheNewestImagesStayThatNobodyNeeds(t *testing.T) {
	story(t, func(w *world) {
		for i := range 6 {
			w.server.add(fmt.Sprint("u", i), someBytes(100))
		}
		w.start()
		w.pass(10 * time.Second)
		w.externally("u3", "u0", "u1", "u2")
		w.expectFiles("u0", "u1", "u2", "u4", "u5")
		w.externally("u4")
		w.expectFiles("u1", "u2", "u4", "u5")
	})
}

func TestQuotaTakesTheOldestImageThatNobodyNeeds(t *testing.T) {
	story(t, func(w *world) {
		w.cfg.Policy.DiskQuota = "1kB"
		for _, id := range []string{"a", "b", "c"} {
			w.server.add(id, someBytes(300))
		}
		w.start()
		w.pass(10 * time.Second)
		w.externally("b", "a")
		w.server.add("d", someBytes(300))
		w.pass(10 * time.Second)
		w.expectFiles("a", "c", "d")
		w.server.add("e", someBytes(500)) // would fit without c and d, which are needed
		w.pass(10 * time.Second)
		w.expectFiles("c", "d")
		if diff := cmp.Diff([]string{"b OK", "a OK", "e DISK_FULL"}, w.server.codes()); diff != "" {
			t.Error(diff)
		}
		if n := len(w.server.fetched["e"]); n != 500 || w.server.fetched["e"][0] != 0 {
			t.Error("it was fetched in vain")
		}
	})
}

func TestQuotaHoldsForServersThatTellNoSize(t *testing.T) {
	story(t, func(w *world) {
		w.cfg.Policy.DiskQuota = "1MB"
		w.server.set(func(s *server) { s.quiet = true })
		w.server.add("u1", someBytes(1_000_001)).Artifacts = nil
		w.server.add("u2", someBytes(1_000_000)).Artifacts = nil
		w.start()
		w.pass(10 * time.Second)
		if diff := cmp.Diff([]string{"u1 DISK_FULL"}, w.server.codes()); diff != "" {
			t.Error(diff)
		}
		w.expectFiles("u2")
	})
}

func TestHalfFetchedImagesKeepTheirRoom(t *testing.T) {
	story(t, func(w *world) {
		w.cfg.Policy.DiskQuota = "1MB"
		w.server.add("a", someBytes(900_000))
		w.server.add("b", someBytes(200_000))
		w.server.set(func(s *server) { s.cut = 100_000 })
		w.server.onCall(func(m string) { // a breaks off, and its server is away
			if m == "fetch" && w.server.count("fetch a") == 1 {
				w.server.failAlways("fetch a", errAway)
			}
		})
		w.start()
		w.pass(10 * time.Minute)
		w.server.onCall(func(string) {})
		w.server.failAlways("fetch a", nil)
		w.pass(10 * time.Minute)
		if diff := cmp.Diff([]string{"b DISK_FULL"}, w.server.codes()); diff != "" || w.step("a") != Ready {
			t.Errorf("a %s; %s", w.step("a"), diff)
		}
	})
}

func TestDiskIsNotFilledToItsBrim(t *testing.T) {
	story(t, func(w *world) {
		const size = 1000
		left := int64(reserve + size)
		w.free = func() (int64, error) {
			n := left
			for _, f := range w.files() {
				info, err := os.Stat(filepath.Join(w.cfg.Device.PackagesDir, f))
				if err != nil {
					t.Error(err)
				}
				n -= info.Size()
			}
			return n, nil
		}
		w.server.add("a", someBytes(size))
		w.start()
		w.pass(10 * time.Second)
		w.server.add("b", someBytes(size))
		w.pass(10 * time.Second)
		w.externally("a")
		w.server.add("c", someBytes(size)) // takes a's room
		w.pass(10 * time.Second)
		w.expectFiles("c")
		if diff := cmp.Diff([]string{"b DISK_FULL", "a OK"}, w.server.codes()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestImageOfUnknownSizeLeavesRoomToOthers(t *testing.T) {
	story(t, func(w *world) {
		w.free = func() (int64, error) { return reserve + 1000, nil }
		w.server.set(func(s *server) { s.quiet = true })
		w.server.add("u1", someBytes(1001)).Artifacts = nil
		w.server.add("u2", someBytes(1000)).Artifacts = nil
		w.start()
		w.pass(10 * time.Second)
		if diff := cmp.Diff([]string{"u1 DISK_FULL"}, w.server.codes()); diff != "" {
			t.Error(diff)
		}
		w.expectFiles("u2")
	})
}

func TestEarlierIdentitiesLeaveLittleBehind(t *testing.T) {
	story(t, func(w *world) {
		w.server.add("u1", someBytes(100))
		w.start()
		w.pass(10 * time.Second)
		w.stop()
		for i := range keepOld + 3 {
			w.cfg.Device.UUID = fmt.Sprint("another ", i)
			w.server.remove("u1")
			w.start()
			w.stop()
			time.Sleep(time.Second)
		}
		w.expectFiles()
		old, err := filepath.Glob(filepath.Join(w.cfg.StatePath(), oldPrefix+"*"))
		if err != nil || len(old) != keepOld {
			t.Errorf("%q, %v", old, err)
		}
	})
}
