package blob

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

// fullDisk makes the files' temporary file a link to /dev/full, where the
// kernel answers every write with "no space left on device".
func fullDisk(t *testing.T, files *Files) {
	t.Helper()
	files.temp = func() (*os.File, error) {
		link := filepath.Join(files.tmpDir(), "put-full")
		if err := os.Symlink("/dev/full", link); err != nil {
			return nil, err
		}
		return os.OpenFile(link, os.O_WRONLY, 0)
	}
}

func TestAFullDiskLeavesNothingBehind(t *testing.T) {
	files, err := Open(t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	fullDisk(t, files)
	for range 2 {
		_, err = files.Put(t.Context(), strings.NewReader("some content"), 100)
		if ota.KindOf(err) != ota.KindNoSpace || !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("got %v (%s)", err, ota.KindOf(err))
		}
		left, err := os.ReadDir(files.tmpDir())
		if err != nil || len(left) != 0 || len(files.arriving) != 0 {
			t.Errorf("left behind: %v, %v, %v", left, files.arriving, err)
		}
	}
	if fi, err := os.Stat("/dev/full"); err != nil || fi.Mode()&os.ModeDevice == 0 {
		t.Errorf("/dev/full was touched: %v, %v", fi, err)
	}
}

func TestDiskErrors(t *testing.T) {
	for cause, want := range map[error]ota.Kind{
		syscall.ENOSPC: ota.KindNoSpace,
		syscall.EDQUOT: ota.KindNoSpace,
		syscall.EIO:    ota.KindInternal,
		syscall.EROFS:  ota.KindInternal,
	} {
		err := diskError(&os.PathError{Op: "write", Path: "x", Err: cause})
		if ota.KindOf(err) != want || !errors.Is(err, cause) {
			t.Errorf("%v: got %v (%s), want %s", cause, err, ota.KindOf(err), want)
		}
	}
}

func TestScrubKeepsItsPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files, err := Open(t.TempDir(), Options{ScrubRate: 100_000})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 4 {
			b := bytes.Repeat([]byte{byte(i)}, 1_000_000)
			if _, err := files.Put(t.Context(), bytes.NewReader(b), 1<<20); err != nil {
				t.Fatal(err)
			}
		}
		start := time.Now()
		if err := files.Scrub(t.Context(), func(d ota.Digest, err error) { t.Errorf("%s: %v", d, err) }); err != nil {
			t.Fatal(err)
		}
		// One buffer may go ahead of the pace.
		if took := time.Since(start); took < 38*time.Second || took > 40*time.Second {
			t.Errorf("4 MB at 100 kB/s took %v", took)
		}
	})
}
