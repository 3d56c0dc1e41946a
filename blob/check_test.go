package blob

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/updraft-ota/updraft/ota"
)

func TestAnUnreadableFileIsCorruptUntilItCanBeRead(t *testing.T) {
	files, err := Open(t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	sums, err := files.Put(t.Context(), strings.NewReader("content"), 100)
	if err != nil {
		t.Fatal(err)
	}
	path := files.path(sums.SHA256)
	if err := errors.Join(os.Rename(path, path+".aside"), os.Mkdir(path, 0o700)); err != nil {
		t.Fatal(err)
	}
	if _, err := files.Open(t.Context(), sums.SHA256); ota.CodeOf(err) != "corrupt_blob" || !errors.Is(err, syscall.EISDIR) {
		t.Errorf("got %v", err)
	}
	if err := errors.Join(os.Remove(path), os.Rename(path+".aside", path)); err != nil {
		t.Fatal(err)
	}
	b, err := files.Open(t.Context(), sums.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	b.Close()
}

// TestAVerdictIsRemembered changes bytes where the file system does not see
// it: an answer that needs no reading is still the old one.
func TestAVerdictIsRemembered(t *testing.T) {
	files, err := Open(t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	sums, err := files.Put(t.Context(), strings.NewReader("content"), 100)
	if err != nil {
		t.Fatal(err)
	}
	old := errors.New("what the last check found")
	v := files.verdicts[sums.SHA256]
	files.verdicts[sums.SHA256] = verdict{file: v.file, err: old}
	if _, err := files.Open(t.Context(), sums.SHA256); err != old {
		t.Errorf("got %v", err)
	}
}

// TestOpenersShareACheck stands in for a check that runs already.
func TestOpenersShareACheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files, err := Open(t.TempDir(), Options{})
		if err != nil {
			t.Fatal(err)
		}
		sums, err := files.Put(t.Context(), strings.NewReader("content"), 100)
		if err != nil {
			t.Fatal(err)
		}
		id := files.verdicts[sums.SHA256].file
		clear(files.verdicts)
		end, found := make(chan struct{}), errors.New("what the running check finds")
		files.checks.DoChan(fmt.Sprint(sums.SHA256, id), func() (any, error) {
			<-end
			return nil, found
		})

		hurried, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := files.Open(hurried, sums.SHA256); !errors.Is(err, context.Canceled) {
			t.Errorf("an opener who left got %v", err)
		}
		var patient error
		go func() { _, patient = files.Open(t.Context(), sums.SHA256) }()
		synctest.Wait()
		close(end)
		synctest.Wait()
		if patient != found {
			t.Errorf("an opener who waited got %v", patient)
		}
	})
}

func TestACheckIsRememberedUnlessTheFileChangedUnderIt(t *testing.T) {
	files, err := Open(t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	sums, err := files.Put(t.Context(), strings.NewReader("content"), 100)
	if err != nil {
		t.Fatal(err)
	}
	file, id, err := files.find(sums.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()

	clear(files.verdicts)
	touch := func(int) error { return os.Truncate(file.Name(), 3) }
	files.check(file, sums.SHA256, id, touch)
	if len(files.verdicts) != 0 {
		t.Error("remembered although the file changed")
	}
	id, err = identify(file)
	if err != nil {
		t.Fatal(err)
	}
	files.check(file, sums.SHA256, id, unpaced)
	if v, known := files.verdict(sums.SHA256, id); !known || ota.CodeOf(v.err) != "corrupt_blob" {
		t.Errorf("got %v, known is %v", v.err, known)
	}
}
