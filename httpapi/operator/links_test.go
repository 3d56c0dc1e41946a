package operator_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-ota/updraft/fleet"
	"github.com/updraft-ota/updraft/httpapi"
	"github.com/updraft-ota/updraft/httpapi/operator"
	"github.com/updraft-ota/updraft/ota"
)

func TestOperatorsSeeWhoIsOnTheLine(t *testing.T) {
	w := start(t)
	if got := w.ask("GET", "/api/v1/links", "", 200); got.text != "[]\n" {
		t.Errorf("nobody is %s", got.text)
	}
	car := w.device("car")
	theirs, err := w.fleet.AddDevice(t.Context(), "elsewhere", fleet.NewDevice{Name: "bus"})
	if err != nil {
		t.Fatal(err)
	}
	w.links = []ota.Link{
		{Protocol: "rvi", Peer: "genivi.org/vin/STRANGER/", Addr: "192.0.2.7:4711", Since: w.now},
		{Protocol: "rvi", Peer: "genivi.org/vin/BUS/", Device: theirs.ID, Since: w.now},
		{Protocol: "coap", Peer: "bus", Since: w.now.Add(-time.Hour)},
		{Protocol: "rvi", Peer: "genivi.org/vin/CAR/", Addr: "192.0.2.8:4711", Device: ota.DeviceID(car), Secure: true, Since: w.now.Add(-time.Minute),
			Dialect: "2015", Transfers: []ota.Transfer{{Update: "u", Package: ota.PackageID{Name: "maps", Version: "2"}, State: "sending",
				Size: 1 << 20, Held: 1 << 19, Chunks: 16, Done: 8, Resends: 1, Rate: 1234.5}}},
	}
	before := slices.Clone(w.links)
	want := []operator.Link{
		{Protocol: "rvi", Peer: "genivi.org/vin/CAR/", Address: "192.0.2.8:4711", Device: car, DeviceName: "car", Secure: true,
			Since: w.now.Add(-time.Minute), Dialect: "2015", Transfers: []operator.Transfer{{UpdateID: "u",
				PackageID: httpapi.PackageID{Name: "maps", Version: "2"}, State: "sending", Size: 1 << 20, Received: 1 << 19,
				Chunks: 16, ChunksReceived: 8, Resends: 1, BytesPerSecond: 1234}}},
		{Protocol: "rvi", Peer: "genivi.org/vin/STRANGER/", Address: "192.0.2.7:4711", Since: w.now, Transfers: []operator.Transfer{}},
	}
	for query, want := range map[string][]operator.Link{"?protocol=rvi": want, "?protocol=rvi&offset=1": want[1:], "?protocol=rvi&limit=1": want[:1], "?protocol=x": {}} {
		if diff := cmp.Diff(want, into[[]operator.Link](t, w.ask("GET", "/api/v1/links"+query, "", 200))); diff != "" {
			t.Errorf("%s: %s", query, diff)
		}
	}
	if got := into[[]operator.Link](t, w.ask("GET", "/api/v1/links", "", 200)); len(got) != 3 || got[0].Protocol != "coap" {
		t.Errorf("all: %+v", got)
	}
	elsewhere := into[[]operator.Link](t, w.ask("GET", "/api/v1/links?protocol=rvi", "", 200, "x-ats-namespace", "elsewhere"))
	if len(elsewhere) != 2 || elsewhere[0].DeviceName != "bus" || elsewhere[1].Device != "" {
		t.Errorf("elsewhere: %+v", elsewhere)
	}
	if diff := cmp.Diff(before, w.links); diff != "" {
		t.Errorf("whose list it is finds it changed: %s", diff)
	}
	w.auth = ""
	w.refused("GET", "/api/v1/links", "", 401, "not_authenticated")
}

func TestAnUpdateTellsOfItsTries(t *testing.T) {
	w := start(t)
	car := w.device("car")
	w.upload("/api/v1/packages/maps/2", "hello", 204)
	sent := into[operator.Sent](t, w.ask("POST", "/api/v1/device_updates/"+car, `{"name":"maps","version":"2"}`, 200))
	id := ota.UpdateID(sent.RequestID)
	up := w.fleet.Uplink(ota.DeviceID(car))
	fetch := func() {
		t.Helper()
		c, err := up.Fetch(t.Context(), ota.FetchRequest{Update: id})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Body.Close(); err != nil {
			t.Fatal(err)
		}
	}
	now := func() operator.Update {
		t.Helper()
		return into[[]operator.Update](t, w.ask("GET", "/api/v1/updates", "", 200))[0]
	}
	fetch()
	if err := up.Unanswered(t.Context(), []ota.UpdateID{id}, "no answer"); err != nil {
		t.Fatal(err)
	}
	if u := now(); u.Status != "Pending" || u.Reason != "no answer" || u.Tries != 1 || u.RetryAt == nil || !u.RetryAt.Equal(w.now.Add(5*time.Minute)) {
		t.Errorf("%+v", u)
	}
	fetch()
	if u := now(); u.Tries != 1 || u.RetryAt != nil {
		t.Errorf("%+v", u)
	}
	if err := up.Sent(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if u := now(); u.Status != "InFlight" || u.Reason != "" || u.Tries != 0 || u.SentAt == nil || !u.SentAt.Equal(w.now) {
		t.Errorf("%+v", u)
	}
}
