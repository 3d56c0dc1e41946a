package sim

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/updraft-ota/updraft/suit"
)

// Two programs that play one device would ruin its flash: the second does not
// begin, and what is left by the first is what the next one finds.
func TestOneDeviceIsPlayedOnce(t *testing.T) {
	w := newWorld(t)
	c, log := w.lamp()
	second, err := New(c) // looked before the first began
	if err != nil {
		t.Fatal(err)
	}
	url, _ := w.publish(w.release(7))
	first := c
	first.Manifests = []string{url}
	d, err := New(first)
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	ended, at := make(chan error, 1), socket(t)
	go func() { ended <- d.Run(ctx, at) }()
	log.await(t, Outcome, 0)
	want := fmt.Sprintf("%s is in use by another updraft sim (pid %d)", c.Dir, os.Getpid())
	patience, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := second.Run(patience, socket(t)); err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("it ended with %v", err)
	}
	end()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	again, stop := context.WithCancel(t.Context())
	stop()
	if err := second.Run(again, socket(t)); err != nil {
		t.Error(err)
	}
	if now := second.flash.now(); now.Sequence == nil || *now.Sequence != 7 || now.Active != 1 {
		t.Errorf("it knows %+v", now)
	}
}

// What a manifest swaps changes places, and nothing is left over.
func TestSwappedComponents(t *testing.T) {
	w := newWorld(t)
	c, _ := w.lamp()
	d, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	b := &board{Device: d, slot: 1}
	app, old := suit.ComponentID{"app"}, suit.ComponentID{"old"}
	for range 2 { // the second time nothing is in app
		if err := b.Write(app, []byte("new"), nil); err != nil {
			t.Fatal(err)
		}
		if err := b.Swap(old, app, nil); err != nil {
			t.Fatal(err)
		}
		if err := b.Swap(app, app, nil); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(b.path(old))
		if err != nil || string(got) != "new" {
			t.Errorf("got %q, %v", got, err)
		}
		if err := os.Remove(b.path(app)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	if err := b.Swap(old, app, nil); err != nil {
		t.Fatal(err)
	}
	if _, size, err := b.Measure(old, suit.Params{{Key: suit.ParamDigest, Value: suit.Digest{Algorithm: suit.SHA256}}}); err != nil || size != 0 {
		t.Errorf("%d bytes are left, %v", size, err)
	}
	if found, _ := filepath.Glob(filepath.Join(c.Dir, "*.aside")); len(found) > 0 {
		t.Errorf("left over: %q", found)
	}
}
