// Package storetest tells what any ota.Store must do, as stories. A store's
// own test runs them with the way to open it; what only that store can be
// asked, such as opening its file again, it tests itself.
package storetest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/updraft-ota/updraft/ota"
)

// Open makes an empty store that takes the time from now. It closes the store
// when the test ends.
type Open func(t *testing.T, now func() time.Time) ota.Store

// Run tells all stories, each on a store of its own.
func Run(t *testing.T, open func(t *testing.T, now func() time.Time) ota.Store) {
	stories := map[string][]story{
		"transactions": transactions,
		"devices":      devices,
		"credentials":  credentials,
		"reports":      reports,
		"survey":       survey,
		"packages":     packages,
		"updates":      updates,
		"results":      results,
		"queue":        queues,
		"events":       events,
		"texts":        texts,
		"model":        model,
	}
	for chapter, list := range stories {
		t.Run(chapter, func(t *testing.T) {
			for _, s := range list {
				t.Run(s.name, func(t *testing.T) {
					clock := &clock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
					s.tell(&world{T: t, store: open(t, clock.Now), clock: clock})
				})
			}
		})
	}
}

type story struct {
	name string
	tell func(w *world)
}

// clock stands still until it is told otherwise.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	return c.now
}

// world is what a story happens in.
type world struct {
	*testing.T
	store ota.Store
	clock *clock
	made  int
}

// try writes and hands back the error.
func (w *world) try(fn func(tx ota.Tx) error) error {
	w.Helper()
	return w.store.Write(context.Background(), fn)
}

// write must succeed.
func (w *world) write(fn func(tx ota.Tx) error) {
	w.Helper()
	if err := w.try(fn); err != nil {
		w.Fatalf("write: %v", err)
	}
}

// ask reads one thing in a transaction of its own.
func ask[T any](w *world, fn func(tx ota.ReadTx) (T, error)) T {
	w.Helper()
	v, err := look(w, fn)
	if err != nil {
		w.Fatalf("read: %v", err)
	}
	return v
}

// look is ask, with the error handed back.
func look[T any](w *world, fn func(tx ota.ReadTx) (T, error)) (v T, err error) {
	w.Helper()
	err = w.store.Read(context.Background(), func(tx ota.ReadTx) error {
		v, err = fn(tx)
		return err
	})
	return v, err
}

// refuses checks an error's kind and code.
func (w *world) refuses(err error, kind ota.Kind, code string) {
	w.Helper()
	if err == nil {
		w.Fatalf("no error, want %v (%s)", kind, code)
	}
	if ota.KindOf(err) != kind || ota.CodeOf(err) != code {
		w.Errorf("error is %v (%s), want %v (%s): %v", ota.KindOf(err), ota.CodeOf(err), kind, code, err)
	}
}

// same compares, taking nil for empty.
func (w *world) same(got, want any) {
	w.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		w.Errorf("-want +got:\n%s", diff)
	}
}

// uuid makes a new id.
func (w *world) uuid() string {
	w.made++
	return fmt.Sprintf("00000000-0000-4000-8000-%012d", w.made)
}

const (
	home = ota.DefaultNamespace
	away = ota.Namespace("elsewhere")
)

// device registers one, at home.
func (w *world) device(name string) ota.Device {
	w.Helper()
	d := ota.Device{Namespace: home, ID: ota.DeviceID(w.uuid()), Name: name, Type: ota.Vehicle, CreatedAt: w.clock.Now()}
	w.put(d)
	return d
}

func (w *world) put(d ota.Device) {
	w.Helper()
	w.write(func(tx ota.Tx) error { return tx.PutDevice(d) })
}

// send queues app=1 for a device, changed as told.
func (w *world) send(d ota.Device, change ...func(*ota.Update)) ota.Update {
	w.Helper()
	u := ota.Update{Namespace: d.Namespace, ID: ota.UpdateID(w.uuid()), Request: ota.RequestID(w.uuid()), Device: d.ID,
		Package: app.ID, Status: ota.Pending, Priority: ota.DefaultPriority, CreatedAt: w.clock.Now(), UpdatedAt: w.clock.Now()}
	for _, fn := range change {
		fn(&u)
	}
	w.write(func(tx ota.Tx) error { return tx.PutUpdate(u) })
	return u
}

func ended(s ota.Status, at time.Time) func(*ota.Update) {
	return func(u *ota.Update) { u.Status, u.EndedAt = s, at }
}

// app is a package of two files.
var app = ota.Package{
	Namespace:   home,
	UUID:        "11111111-1111-4111-8111-111111111111",
	ID:          ota.PackageID{Name: "app", Version: "1"},
	Description: "an app",
	Vendor:      "us",
	CreatedAt:   time.Date(2026, 2, 1, 0, 0, 0, 123456000, time.UTC),
	Forced: []ota.Forced{
		{At: time.Date(2026, 2, 1, 0, 0, 1, 123456000, time.UTC), By: "operator at 192.0.2.7", Doing: "publish", Reasons: []string{"not \"signed\"", "too old"}},
		{At: time.Date(2026, 2, 2, 0, 0, 0, 0, time.UTC), Doing: "notify"},
	},
	Artifacts: []ota.Artifact{
		{Name: "image", Sums: ota.Sums{Size: 5 << 30, SHA256: "aa", SHA1: "bb", MD5: "cc"}, Signature: "signed"},
		{Name: "doc", Sums: ota.Sums{Size: 0, SHA256: "dd", SHA1: "ee", MD5: "ff"}},
	},
}
