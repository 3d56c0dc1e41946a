package rvi

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-ota/updraft/ota"
)

func TestWhatAClientRemembersIsDamaged(t *testing.T) {
	inside(t, Dialect2015, func(v *vehicle) {
		v.start()
		v.must(notify15(ghc, 4))
		v.stop()
		if err := os.WriteFile(filepath.Join(v.opt.Dir, stateFile), []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		v.start()
		if offers, err := v.client.Pending(t.Context()); len(offers) != 0 || err != nil {
			t.Error(offers, err)
		}
		if d := cmp.Diff([]string{stateFile + badSuffix}, v.left()); d != "" {
			t.Error(d)
		}
	})
}

func TestNothingIsOpenedThroughLinks(t *testing.T) {
	v := newVehicle(t, Dialect2015)
	elsewhere := filepath.Join(t.TempDir(), "elsewhere")
	if err := os.Mkdir(elsewhere, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(elsewhere, v.opt.Dir); err != nil {
		t.Fatal(err)
	}
	if _, err := NewClient(v.opt); err == nil {
		t.Error("a directory that is a link")
	}
	v.opt.Dir = elsewhere
	if err := os.Symlink("/etc/hostname", filepath.Join(elsewhere, stateFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := NewClient(v.opt); err == nil {
		t.Error("a file that is a link")
	}
	if info, err := os.Stat(elsewhere); err != nil || info.Mode().Perm() != 0o700 {
		t.Error(info.Mode(), err)
	}
}

func TestAChunkThatDoesNotFitItsLineIsNotHeld(t *testing.T) {
	v := newVehicle(t, Dialect2015)
	v.opt.chunkSize = 4
	v.hold(someText, 4, 1, 2, 5, 6)
	path := filepath.Join(v.opt.Dir, partName(unit))
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("x"), 17); err != nil { // of the fifth
		t.Fatal(err)
	}
	f.Close()
	c, err := NewClient(v.opt)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := c.device.Held(unit); !got.Equal(ChunkSet(1, 2, 6)) || c.files[unit].size != 21 {
		t.Error(got, c.files[unit].size)
	}
}

func TestAFullDisk(t *testing.T) {
	inside(t, Dialect2015, func(v *vehicle) {
		v.opt.room = func(*folder) int64 { return diskReserve + 60_000 }
		v.start()
		v.linked(true)
		v.must(notify15(ghc, 4))
		got := v.fetch(ota.FetchRequest{Update: unit.ID()})
		v.must(Start{Unit: unit, Chunks: 1, Checksum: strings.Repeat("a", 40), Size: -1})
		<-got.done
		if ota.KindOf(got.err) != ota.KindNoSpace {
			t.Error(got.err)
		}
		v.expect(begin15()) // and no ack
		if left := v.left(); left != nil {
			t.Error(left)
		}
	})
}
