package fleet_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/updraft-ota/updraft/blob"
	"github.com/updraft-ota/updraft/fleet"
	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/store"
)

const ns = ota.DefaultNamespace

// world is a fleet on a real store and real files, with a clock to turn.
type world struct {
	*fleet.Fleet
	t    *testing.T
	ctx  context.Context
	now  time.Time
	gone []string // what ended, and whose
}

func newWorld(t *testing.T, change ...func(*fleet.Options)) *world {
	w := &world{t: t, ctx: t.Context(), now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)}
	clock := func() time.Time { return w.now }
	st, err := store.Open(w.ctx, store.Options{Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	blobs, err := blob.Open(t.TempDir(), blob.Options{})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	o := fleet.Options{
		Store: st, Blobs: blobs, Now: clock,
		NewID:          func() string { n++; return fmt.Sprintf("00000000-0000-7000-8000-%012d", n) },
		DeviceGone:     func(id ota.DeviceID) { w.gone = append(w.gone, "device "+string(id)) },
		CredentialGone: func(id ota.DeviceID) { w.gone = append(w.gone, "credential "+string(id)) },
		KeyGone:        func(id ota.DeviceID) { w.gone = append(w.gone, "key "+string(id)) },
	}
	for _, c := range change {
		c(&o)
	}
	w.Fleet = fleet.New(o)
	return w
}

func (w *world) device(name string) ota.DeviceID {
	w.t.Helper()
	d, err := w.AddDevice(w.ctx, ns, fleet.NewDevice{Name: name})
	if err != nil {
		w.t.Fatal(err)
	}
	return d.ID
}

func (w *world) publish(id, content string) ota.PackageID {
	w.t.Helper()
	p := w.id(id)
	if _, err := w.PutPackage(w.ctx, ns, fleet.NewPackage{ID: p}, strings.NewReader(content)); err != nil {
		w.t.Fatal(err)
	}
	return p
}

func (w *world) id(s string) ota.PackageID {
	w.t.Helper()
	p, err := ota.ParsePackageID(s)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// send queues one package and turns the clock by a second.
func (w *world) send(d ota.DeviceID, p ota.PackageID) ota.UpdateID {
	w.t.Helper()
	us, _, err := w.Send(w.ctx, ns, fleet.Request{Device: d, Packages: []ota.PackageID{p}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.now = w.now.Add(time.Second)
	return us[0].ID
}

// offered is what the device would be told now, as "name=version status".
func (w *world) offered(d ota.DeviceID) string {
	w.t.Helper()
	offers, err := w.Uplink(d).Pending(w.ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for i, o := range offers {
		if o.Pos != i {
			w.t.Errorf("offer %d has position %d", i, o.Pos)
		}
		out = append(out, fmt.Sprintf("%s %s", o.Package, o.Status))
	}
	return strings.Join(out, ", ")
}

func (w *world) fetch(d ota.DeviceID, u ota.UpdateID) string {
	w.t.Helper()
	c, err := w.Uplink(d).Fetch(w.ctx, ota.FetchRequest{Update: u})
	if err != nil {
		w.t.Fatal(err)
	}
	defer c.Body.Close()
	b, err := io.ReadAll(c.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(b)
}

func (w *world) report(d ota.DeviceID, u ota.UpdateID, code ota.ResultCode, text string) {
	w.t.Helper()
	if err := w.Uplink(d).Report(w.ctx, ota.Outcome(u, code, text)); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) update(d ota.DeviceID, u ota.UpdateID) ota.Update {
	w.t.Helper()
	us, err := w.Updates(w.ctx, ota.UpdateFilter{Namespace: ns, Device: d, ID: u})
	if err != nil || len(us) != 1 {
		w.t.Fatalf("%v, %v", us, err)
	}
	return us[0]
}

func (w *world) status(d ota.DeviceID) string {
	w.t.Helper()
	s, err := w.Device(w.ctx, ns, d)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(s.Status)
}

func (w *world) lastEvent() (n int64) {
	w.t.Helper()
	err := w.Store.Read(w.ctx, func(tx ota.ReadTx) (err error) {
		n, err = tx.LastEvent()
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

// history is the story the event log tells of a device.
func (w *world) history(d ota.DeviceID) string {
	w.t.Helper()
	var out []string
	err := w.Store.Read(w.ctx, func(tx ota.ReadTx) error {
		events, err := tx.Events(ota.EventFilter{Namespace: ns, Device: d}, 0, 1000)
		for _, e := range events {
			line := string(e.Type)
			if e.Type == ota.UpdateChanged {
				line = strings.Split(string(e.Data), `"status":"`)[1]
				line = line[:strings.Index(line, `"`)]
			}
			out = append(out, line)
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return strings.Join(out, " ")
}

func wantKind(t *testing.T, err error, kind ota.Kind, code string) {
	t.Helper()
	if err == nil || ota.KindOf(err) != kind || ota.CodeOf(err) != code {
		t.Fatalf("error %v (%v, %s), want %v, %s", err, ota.KindOf(err), ota.CodeOf(err), kind, code)
	}
}

func wantString(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Fatalf("%s:\n got %s\nwant %s", what, got, want)
	}
}
