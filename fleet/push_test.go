package fleet_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/updraft-ota/updraft/fleet"
	"github.com/updraft-ota/updraft/ota"
)

// queue is what a door that speaks first finds now, as "name=version status".
func (w *world) queue(d ota.DeviceID) string {
	w.t.Helper()
	entries, err := w.Uplink(d).Queue(w.ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Update.Package.String()+" "+string(e.Update.Status))
	}
	return strings.Join(out, ", ")
}

func (w *world) unanswered(d ota.DeviceID, ids ...ota.UpdateID) {
	w.t.Helper()
	if err := w.Uplink(d).Unanswered(w.ctx, ids, "no answer to 5 messages"); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) sent(d ota.DeviceID, u ota.UpdateID) {
	w.t.Helper()
	if err := w.Uplink(d).Sent(w.ctx, u); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) unreported(d ota.DeviceID, u ota.UpdateID) {
	w.t.Helper()
	if err := w.Uplink(d).Unreported(w.ctx, u); err != nil {
		w.t.Fatal(err)
	}
}

func TestAQueueIsWhatPendingOffersButNoWordFromTheDevice(t *testing.T) {
	w := newWorld(t)
	car := w.device("car")
	first, _ := w.send(car, w.publish("a=1", "a")), w.send(car, w.publish("b=1", "b"))
	w.fetch(car, first)
	wantString(t, "queue", w.queue(car), "a=1 InFlight, b=1 Pending")
	wantString(t, "status", w.status(car), "NotSeen")
	if err := w.Block(w.ctx, ns, car); err != nil {
		t.Fatal(err)
	}
	wantString(t, "what is held back", w.queue(car), "a=1 InFlight")
	w.Uplink(car).Heard()
	wantString(t, "status", w.status(car), "Outdated")
	_, err := w.Uplink("nobody").Queue(w.ctx)
	wantKind(t, err, ota.KindNotFound, "missing_device")
}

func TestADeviceThatNeverAnswersIsToldTenTimes(t *testing.T) {
	w := newWorld(t)
	car := w.device("car")
	u, _ := w.send(car, w.publish("a=1", "a")), w.send(car, w.publish("b=1", "b"))
	minutes := []time.Duration{5, 10, 20, 40, 60, 60, 60, 60, 60}
	for i, m := range minutes {
		w.fetch(car, u)
		w.unanswered(car, u)
		up := w.update(car, u)
		if up.Status != ota.Pending || up.Tries != i+1 || up.Reason != "no answer to 5 messages" || !up.RetryAt.Equal(w.now.Add(m*time.Minute)) {
			t.Fatalf("round %d at %v: %+v", i+1, w.now, up)
		}
		wantString(t, "queue", w.queue(car), "a=1 Pending, b=1 Pending")
		w.now = up.RetryAt
	}
	w.fetch(car, u)
	w.unanswered(car, u)
	up := w.update(car, u)
	if up.Status != ota.Failed || up.Reason != "unreachable: no answer to 5 messages" || !up.EndedAt.Equal(w.now) {
		t.Fatalf("%+v", up)
	}
	wantString(t, "what comes next is not blocked", w.queue(car), "b=1 Pending")
	wantString(t, "history", w.history(car), "DeviceCreated Pending Pending"+strings.Repeat(" InFlight Pending", 9)+" InFlight Failed")
}

func TestAnAnswerCountsTheTriesAnew(t *testing.T) {
	w := newWorld(t)
	car := w.device("car")
	u := w.send(car, w.publish("a=1", "a"))
	for range ota.MaxTries - 1 {
		w.fetch(car, u)
		w.unanswered(car, u)
	}
	w.fetch(car, u)
	w.sent(car, u)
	if up := w.update(car, u); up.Status != ota.InFlight || up.Tries != 0 || up.Reason != "" || !up.SentAt.Equal(w.now) {
		t.Fatalf("%+v", up)
	}
	w.unanswered(car, u)
	wantString(t, "what only lacks its report", w.queue(car), "a=1 InFlight")
	w.report(car, u, ota.OK, "")
	wantString(t, "queue", w.queue(car), "")
}

func TestWhatWasSentAndNeverReportedHasFailed(t *testing.T) {
	w := newWorld(t)
	car := w.device("car")
	u, _ := w.send(car, w.publish("a=1", "a")), w.send(car, w.publish("b=1", "b"))
	w.unreported(car, u)
	w.fetch(car, u)
	w.unreported(car, u)
	wantString(t, "what was not sent", w.queue(car), "a=1 InFlight, b=1 Pending")
	w.sent(car, u)
	w.now = w.now.Add(24 * time.Hour)
	w.unreported(car, u)
	if up := w.update(car, u); up.Status != ota.Failed || !strings.HasPrefix(up.Reason, "no report: sent ") {
		t.Fatalf("%+v", up)
	}
	wantString(t, "what comes next is not blocked", w.queue(car), "b=1 Pending")
	w.report(car, u, ota.OK, "late")
	if up := w.update(car, u); up.Status != ota.Failed {
		t.Fatalf("a late report changed %+v", up)
	}
}

func TestAFetchAfterAllWasSentBeginsAnew(t *testing.T) {
	w := newWorld(t)
	car := w.device("car")
	u := w.send(car, w.publish("a=1", "a"))
	w.fetch(car, u)
	w.sent(car, u)
	if c, err := w.Uplink(car).Fetch(w.ctx, ota.FetchRequest{Update: u, Peek: true}); err != nil || w.update(car, u).SentAt.IsZero() {
		t.Fatalf("a look at it began it: %v", err)
	} else if err := c.Body.Close(); err != nil {
		t.Fatal(err)
	}
	w.fetch(car, u)
	if up := w.update(car, u); up.Status != ota.InFlight || !up.SentAt.IsZero() {
		t.Fatalf("%+v", up)
	}
	w.unanswered(car, u)
	wantString(t, "queue", w.queue(car), "a=1 Pending")
}

func TestToldAgainAFleetChangesNothing(t *testing.T) {
	w := newWorld(t)
	car := w.device("car")
	u, other := w.send(car, w.publish("a=1", "a")), w.send(car, w.publish("b=1", "b"))
	w.fetch(car, u)
	w.fetch(car, other)
	w.unanswered(car, u, "unheard-of", other, u)
	for _, id := range []ota.UpdateID{u, other} {
		if up := w.update(car, id); up.Status != ota.Pending || up.Tries != 1 {
			t.Fatalf("%+v", up)
		}
	}
	w.fetch(car, other)
	w.sent(car, other)
	if err := w.Cancel(w.ctx, ns, car, u); err != nil {
		t.Fatal(err)
	}
	before := w.history(car)
	for range 2 {
		w.now = w.now.Add(time.Minute)
		w.unanswered(car, u, other) // one was canceled meanwhile, the other sent
		w.sent(car, u)
		w.sent(car, other)
		w.unreported(car, u)
	}
	wantString(t, "history", w.history(car), before)
	if up := w.update(car, u); up.Status != ota.Canceled || up.Reason != "canceled by an operator" {
		t.Fatalf("%+v", up)
	}
}

func TestABlockHoldsBackWhatReturned(t *testing.T) {
	w := newWorld(t)
	car := w.device("car")
	a, b := w.send(car, w.publish("a=1", "a")), w.send(car, w.publish("b=1", "b"))
	w.fetch(car, a)
	w.fetch(car, b)
	w.report(car, a, ota.InstallFailed, "broken")
	w.unanswered(car, b)
	wantString(t, "queue", w.queue(car), "")
	_, err := w.Uplink(car).Fetch(w.ctx, ota.FetchRequest{Update: b})
	wantKind(t, err, ota.KindLocked, "device_blocked")
	if err := w.Unblock(w.ctx, ns, car); err != nil {
		t.Fatal(err)
	}
	wantString(t, "queue", w.queue(car), "b=1 Pending")
}

func TestAProtocolKeepsWhatItKnowsOfADevice(t *testing.T) {
	w := newWorld(t)
	up := w.Uplink(w.device("car"))
	_, err := up.Contact(w.ctx, "rvi")
	wantKind(t, err, ota.KindNotFound, "missing_entity")
	for _, doc := range []string{`{"dialect":"2015"}`, `{"dialect":"2016"}`, `{"dialect":"2016"}`} {
		if err := up.PutContact(w.ctx, "rvi", json.RawMessage(doc)); err != nil {
			t.Fatal(err)
		}
		got, err := up.Contact(w.ctx, "rvi")
		if err != nil || string(got) != doc {
			t.Fatalf("%s, %v", got, err)
		}
	}
	long := json.RawMessage(`"` + strings.Repeat("x", ota.MaxContact-2) + `"`)
	if err := up.PutContact(w.ctx, "rvi", long); err != nil {
		t.Fatal(err)
	}
	wantKind(t, up.PutContact(w.ctx, "rvi", append(long, ' ')), ota.KindTooLarge, "too_large")
	wantKind(t, up.PutContact(w.ctx, "rvi", json.RawMessage(`{`)), ota.KindInvalid, "invalid_entity")
	wantKind(t, w.Uplink("nobody").PutContact(w.ctx, "rvi", long), ota.KindNotFound, "missing_device")
	_, err = w.Uplink("nobody").Contact(w.ctx, "rvi")
	wantKind(t, err, ota.KindNotFound, "missing_device")
}

func TestAVehicleIsFoundByItsVIN(t *testing.T) {
	w := newWorld(t)
	d, err := w.AddDevice(w.ctx, ns, fleet.NewDevice{Name: "car", HardwareID: "VINOOLAM0FAU2DEEP"})
	if err != nil {
		t.Fatal(err)
	}
	w.device("no hardware id")
	if id, err := w.Vehicle(w.ctx, ns, "VINOOLAM0FAU2DEEP"); err != nil || id != d.ID {
		t.Fatalf("%s, %v", id, err)
	}
	for _, vin := range []string{"", "OTHER", "vinoolam0fau2deep"} {
		_, err := w.Vehicle(w.ctx, ns, vin)
		wantKind(t, err, ota.KindNotFound, "missing_device")
	}
	_, err = w.Vehicle(w.ctx, "other", "VINOOLAM0FAU2DEEP")
	wantKind(t, err, ota.KindNotFound, "missing_device")

	if err := w.Known(w.ctx, ns, d.ID); err != nil {
		t.Fatal(err)
	}
	wantKind(t, w.Known(w.ctx, "other", d.ID), ota.KindNotFound, "missing_device")
	wantKind(t, w.Known(w.ctx, ns, "nobody"), ota.KindNotFound, "missing_device")
}

func TestNamesAreThoseOfTheNamespacesDevices(t *testing.T) {
	w := newWorld(t)
	car := w.device("car")
	bus, err := w.AddDevice(w.ctx, "other", fleet.NewDevice{Name: "bus"})
	if err != nil {
		t.Fatal(err)
	}
	names, err := w.Names(w.ctx, ns, []ota.DeviceID{car, bus.ID, "", "nobody", car})
	if err != nil || len(names) != 1 || names[car] != "car" {
		t.Errorf("%v, %v", names, err)
	}
}
