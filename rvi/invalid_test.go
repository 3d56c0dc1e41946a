package rvi

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-ota/updraft/ota"
)

// transferOf is the transfer that a vector assumes.
func transferOf(t *testing.T, v vector, chunks int) (Unit, int, bool) {
	t.Helper()
	if string(v.State.Transfer) == "null" {
		return Unit{}, 0, false
	}
	s := struct{ Chunkscount int }{chunks}
	if v.State.Transfer != nil {
		if err := json.Unmarshal(v.State.Transfer, &s); err != nil {
			t.Fatal(err)
		}
	}
	return Unit{Package: ghc}, s.Chunkscount, true
}

func TestWhatADeviceRefuses(t *testing.T) {
	seen := 0
	for _, v := range vectors(t, "invalid") {
		if !v.atDevice() {
			continue
		}
		seen++
		t.Run(v.name(), func(t *testing.T) {
			var d Device
			if u, n, ok := transferOf(t, v, 1); ok {
				d.Restore(Start{Unit: u, Chunks: n, Size: -1, Checksum: "x"}, Chunks{}, Receiving, noon)
			}
			err := tellDevice(t, &d, v)
			compare(t, v, RefusedAtDevice(err), err)
			for u := range d.files {
				if d.files[u].held.Len() != 0 || d.files[u].stage != Receiving {
					t.Errorf("it changed the transfer: %+v", d.files[u])
				}
			}
		})
	}
	if seen < 20 {
		t.Errorf("only %d vectors", seen)
	}
}

func tellDevice(t *testing.T, d *Device, v vector) error {
	m, err := v.read(t)
	if err != nil {
		return err
	}
	switch m := m.(type) {
	case Chunk:
		_, err = d.Chunk(m, noon)
	case Finish:
		_, err = d.Finish(m, noon)
	case Start:
		_, err = d.Start(m, noon)
	}
	return err
}

func TestWhatABackendRefuses(t *testing.T) {
	seen := 0
	for _, v := range vectors(t, "invalid") {
		if v.atDevice() {
			continue
		}
		seen++
		t.Run(v.name(), func(t *testing.T) {
			vehicle := NewVehicle()
			u, n, _ := transferOf(t, v, 5)
			vehicle.Begin([]File{{Unit: u, Chunks: n}}, noon)
			before := vehicle.Progress()
			err := tellBackend(t, vehicle, v)
			compare(t, v, RefusedAtBackend(err), err)
			if d := cmp.Diff(before, vehicle.Progress()); d != "" {
				t.Error(d)
			}
		})
	}
	if seen < 15 {
		t.Errorf("only %d vectors", seen)
	}
}

func tellBackend(t *testing.T, vehicle *Vehicle, v vector) error {
	c := v.call(t)
	m, err := ReadAtBackend(c.Params.Service, c.Params.Parameters)
	if err != nil {
		return err
	}
	if err := CheckSender(m, owner(v)); err != nil {
		return err
	}
	switch m := m.(type) {
	case BackendStart:
		if m.Units[0].Package != ghc { // the server's to know
			return UnknownPackage(m.Units[0])
		}
	case Report:
		if m.Unit.Package != ghc {
			return UnknownUpdate(m.Unit)
		}
	case Ack:
		_, err = vehicle.Ack(m.Unit, m.Chunks, noon.Add(time.Second))
	}
	return err
}

func compare(t *testing.T, v vector, got Outcome, err error) {
	t.Helper()
	if err == nil {
		t.Fatal("it was taken")
	}
	want := v.Expect
	if got.Action.String() != want.Action || got.Code != want.Code || got.Reason != want.Reason {
		t.Errorf("%s %d %s, want %s %d %s (%v)", got.Action, got.Code, got.Reason, want.Action, want.Code, want.Reason, err)
	}
}

func TestFaultsOfOursAreNotTheirs(t *testing.T) {
	for _, c := range []struct {
		err  error
		want Outcome
	}{
		{json.Unmarshal([]byte("{"), new(int)), Outcome{Refuse, -32603, "internal"}},
		{ota.Fail(ota.KindInternal, "disk", "x"), Outcome{Refuse, -32603, "disk"}},
		{ota.Fail(ota.KindNoSpace, "no_space", "x"), Outcome{Refuse, -32100, "no_space"}},
		{unknownService("x"), Outcome{Refuse, -32600, "unknown_service"}},
		{badJSON(), Outcome{Refuse, -32700, "parse_error"}},
	} {
		if got := RefusedAtDevice(c.err); got != c.want {
			t.Errorf("%v: %+v", c.err, got)
		}
	}
}
