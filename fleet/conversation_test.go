package fleet_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/updraft-ota/updraft/fleet"
	"github.com/updraft-ota/updraft/ota"
)

func TestOneUpdateFromOperatorToDevice(t *testing.T) {
	w := newWorld(t)
	car := w.device("car")
	wantString(t, "status", w.status(car), "NotSeen")
	vim := w.publish("vim=1", "the bytes")
	wantString(t, "offered", w.offered(car), "")
	wantString(t, "status", w.status(car), "UpToDate")

	u := w.send(car, vim)
	wantString(t, "offered", w.offered(car), "vim=1 Pending")
	wantString(t, "status", w.status(car), "Outdated")
	wantString(t, "bytes", w.fetch(car, u), "the bytes")
	wantString(t, "offered", w.offered(car), "vim=1 InFlight")
	w.report(car, u, ota.OK, "done")
	wantString(t, "offered", w.offered(car), "")
	wantString(t, "status", w.status(car), "UpToDate")
	wantString(t, "history", w.history(car), "DeviceCreated DeviceActivated Pending InFlight Finished")
}

func TestFailureBlocksTheQueueUntilSomeoneOpensIt(t *testing.T) {
	w := newWorld(t)
	car := w.device("car")
	first, second, third := w.send(car, w.publish("a=1", "a")), w.send(car, w.publish("b=1", "b")), w.send(car, w.publish("c=1", "c"))
	w.fetch(car, first)
	w.fetch(car, second)
	w.report(car, first, ota.DiskFull, "no room")

	wantString(t, "offered", w.offered(car), "b=1 InFlight")
	wantString(t, "status", w.status(car), "Error")
	_, err := w.Uplink(car).Fetch(w.ctx, ota.FetchRequest{Update: third})
	wantKind(t, err, ota.KindLocked, "device_blocked")
	wantString(t, "what runs goes on", w.fetch(car, second), "b")

	_, block, err := w.Send(w.ctx, ns, fleet.Request{Device: car, Packages: []ota.PackageID{w.id("a=1")}})
	if err != nil || block.Update != first || !strings.Contains(block.Reason, "a=1 failed: DISK_FULL: no room") || block.Since.IsZero() {
		t.Fatalf("sending to it does not say so: %+v, %v", block, err)
	}
	if err := w.Unblock(w.ctx, ns, car); err != nil {
		t.Fatal(err)
	}
	wantString(t, "offered", w.offered(car), "b=1 InFlight, c=1 Pending, a=1 Pending")
}

func TestTheSameReportAgainIsTakenOnce(t *testing.T) {
	w := newWorld(t)
	car := w.device("car")
	u := w.send(car, w.publish("a=1", "a"))
	count := func() int {
		rs, err := w.Results(w.ctx, ns, car, u)
		if err != nil {
			t.Fatal(err)
		}
		return len(rs)
	}
	w.report(car, u, ota.OK, "done")
	before := w.history(car)
	w.report(car, u, ota.OK, "done")
	if count() != 1 || w.history(car) != before {
		t.Fatalf("%d results, history %s", count(), w.history(car))
	}
	w.report(car, u, ota.InstallFailed, "or not")
	if count() != 2 || w.update(car, u).Status != ota.Finished || w.history(car) != before {
		t.Fatalf("a later report changed something: %+v", w.update(car, u))
	}
	err := w.Uplink(car).Report(w.ctx, ota.Report{Update: u})
	wantKind(t, err, ota.KindInvalid, "invalid_entity")
}

func TestReportsDoNotGatherWithoutEnd(t *testing.T) {
	w := newWorld(t)
	car := w.device("car")
	u := w.send(car, w.publish("a=1", "a"))
	long := ota.Report{Update: u}
	for range 50 {
		long.Results = append(long.Results, ota.OperationResult{ID: string(u), Text: strings.Repeat("x", ota.MaxResultText)})
	}
	for i := 0; ; i++ {
		long.Results[0].Text = strings.Repeat("y", i) // another report each time
		err := w.Uplink(car).Report(w.ctx, long)
		if i == 0 && err != nil || i > 5 {
			t.Fatalf("report %d of 3 MB: %v", i, err)
		}
		if err != nil {
			wantKind(t, err, ota.KindInvalid, "invalid_entity")
			break
		}
	}
	if rs, err := w.Results(w.ctx, ns, car, u); err != nil || len(rs) == 0 || w.update(car, u).Status != ota.Finished {
		t.Errorf("%d results, %v", len(rs), err)
	}
}

func TestAReportOfACanceledUpdateIsKeptAndRefused(t *testing.T) {
	w := newWorld(t)
	car := w.device("car")
	u := w.send(car, w.publish("a=1", "a"))
	if err := w.Cancel(w.ctx, ns, car, u); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		wantKind(t, w.Uplink(car).Report(w.ctx, ota.Outcome(u, ota.OK, "")), ota.KindConflict, "update_canceled")
	}
	if rs, _ := w.Results(w.ctx, ns, car, u); len(rs) != 1 || w.update(car, u).Status != ota.Canceled {
		t.Fatalf("%v, %+v", rs, w.update(car, u))
	}
}

func TestADeviceNeverSeesAnothers(t *testing.T) {
	w := newWorld(t)
	car, bus := w.device("car"), w.device("bus")
	u := w.send(car, w.publish("a=1", "a"))
	wantString(t, "offered", w.offered(bus), "")
	_, err := w.Uplink(bus).Fetch(w.ctx, ota.FetchRequest{Update: u})
	wantKind(t, err, ota.KindNotFound, "missing_entity")
	wantKind(t, w.Uplink(bus).Report(w.ctx, ota.Outcome(u, ota.OK, "")), ota.KindNotFound, "missing_entity")
	_, err = w.Uplink("nobody").Pending(w.ctx)
	wantKind(t, err, ota.KindNotFound, "missing_device")
	if w.update(car, u).Status != ota.Pending {
		t.Fatal("a stranger moved it")
	}
}

func TestNamespacesDoNotMeet(t *testing.T) {
	w := newWorld(t)
	car := w.device("car")
	p := w.publish("a=1", "a")
	const other ota.Namespace = "other"
	_, err := w.Device(w.ctx, other, car)
	wantKind(t, err, ota.KindNotFound, "missing_device")
	_, err = w.Package(w.ctx, other, p)
	wantKind(t, err, ota.KindNotFound, "missing_package")
	_, _, err = w.Send(w.ctx, other, fleet.Request{Device: car, Packages: []ota.PackageID{p}})
	wantKind(t, err, ota.KindNotFound, "missing_device")
	wantKind(t, w.RemoveDevice(w.ctx, other, car), ota.KindNotFound, "missing_device")
	wantKind(t, w.Block(w.ctx, other, car), ota.KindNotFound, "missing_device")
	if d, err := w.AddDevice(w.ctx, other, fleet.NewDevice{Name: "car"}); err != nil {
		t.Fatal("a name is taken across namespaces:", err)
	} else if _, _, err = w.Send(w.ctx, other, fleet.Request{Device: d.ID, Packages: []ota.PackageID{p}}); ota.CodeOf(err) != "missing_package" {
		t.Fatal(err)
	}
}

func TestFetchResumesAndPeeksWithoutBeginning(t *testing.T) {
	w := newWorld(t)
	car := w.device("car")
	u := w.send(car, w.publish("a=1", "0123456789"))
	c, err := w.Uplink(car).Fetch(w.ctx, ota.FetchRequest{Update: u, Peek: true})
	if err != nil || c.Size != 10 || w.update(car, u).Status != ota.Pending {
		t.Fatalf("%+v, %v", c, err)
	}
	c.Body.Close()
	for _, q := range []struct {
		from   int64
		digest ota.Digest
		want   string
	}{{4, c.Digest, "456789"}, {10, c.Digest, ""}, {4, "another", "0123456789"}, {11, c.Digest, "0123456789"}, {-1, "", "0123456789"}} {
		c, err := w.Uplink(car).Fetch(w.ctx, ota.FetchRequest{Update: u, From: q.from, Digest: q.digest})
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(c.Body)
		c.Body.Close()
		if string(b) != q.want {
			t.Errorf("from %d: %q", q.from, b)
		}
	}
	if _, err := w.Uplink(car).Fetch(w.ctx, ota.FetchRequest{Update: u, Artifact: "other"}); ota.KindOf(err) != ota.KindNotFound {
		t.Fatal(err)
	}
}

func TestExpiryIsItsOwnOutcomeAndBlocksNothing(t *testing.T) {
	w := newWorld(t)
	car := w.device("car")
	p := w.publish("a=1", "a")
	us, _, err := w.Send(w.ctx, ns, fleet.Request{Device: car, Packages: []ota.PackageID{p}, Until: w.now.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	w.now = w.now.Add(time.Hour)
	wantString(t, "offered", w.offered(car), "")
	_, err = w.Uplink(car).Fetch(w.ctx, ota.FetchRequest{Update: us[0].ID})
	wantKind(t, err, ota.KindConflict, "update_ended")
	if u := w.update(car, us[0].ID); u.Status != ota.Expired || u.EndedAt.IsZero() {
		t.Fatalf("%+v", u)
	}
	wantString(t, "status", w.status(car), "UpToDate")
	w.send(car, p)
	wantString(t, "offered", w.offered(car), "a=1 Pending")
	_, _, err = w.Send(w.ctx, ns, fleet.Request{Device: car, Packages: []ota.PackageID{p}, Until: w.now})
	wantKind(t, err, ota.KindInvalid, "invalid_entity")
}

func TestTheInboxTellsOfferWithdrawAndListWanted(t *testing.T) {
	w := newWorld(t)
	car, bus := w.device("car"), w.device("bus")
	p := w.publish("a=1", "a")
	up := w.Uplink(car).Since(w.lastEvent())
	w.send(bus, p)
	u := w.send(car, p)
	if err := w.Cancel(w.ctx, ns, car, u); err != nil {
		t.Fatal(err)
	}
	if err := w.WantList(w.ctx, ns, car); err != nil {
		t.Fatal(err)
	}
	for _, want := range []ota.Notice{ota.Offered{}, ota.Withdrawn{Update: u}, ota.ListWanted{}} {
		n, err := up.Next(w.ctx)
		if err != nil {
			t.Fatal(err)
		}
		switch want := want.(type) {
		case ota.Offered:
			if _, ok := n.(ota.Offered); !ok {
				t.Fatalf("got %#v", n)
			}
		default:
			if n != want {
				t.Fatalf("got %#v, want %#v", n, want)
			}
		}
	}
	wantSilence(t, w, car)
}

// wantSilence checks that a fresh inbox has nothing to tell.
func wantSilence(t *testing.T, w *world, d ota.DeviceID) {
	t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, 20*time.Millisecond)
	defer cancel()
	if n, err := w.Uplink(d).Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("more is told than happened: %#v, %v", n, err)
	}
}

func TestWhoWaitsIsWoken(t *testing.T) {
	w := newWorld(t)
	car := w.device("car")
	p := w.publish("a=1", "a")
	up := w.Uplink(car).Since(w.lastEvent())
	got := make(chan error, 1)
	go func() {
		_, err := up.Next(w.ctx)
		got <- err
	}()
	// Not w.send, as the one who waits reads the clock that it turns.
	if _, _, err := w.Send(w.ctx, ns, fleet.Request{Device: car, Packages: []ota.PackageID{p}}); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil {
		t.Fatal(err)
	}
}

func TestLastSeenIsGatheredAndWrittenByUpkeep(t *testing.T) {
	w := newWorld(t)
	car := w.device("car")
	w.offered(car)
	seen := func() (at time.Time) {
		w.Store.Read(context.Background(), func(tx ota.ReadTx) error {
			d, err := tx.Device(car)
			at = d.LastSeen
			return err
		})
		return at
	}
	if !seen().IsZero() {
		t.Fatal("a poll cost a transaction")
	}
	if err := w.Close(w.ctx); err != nil {
		t.Fatal(err)
	}
	if !seen().Equal(w.now) {
		t.Fatalf("seen %v, want %v", seen(), w.now)
	}
	if d, _ := w.Device(w.ctx, ns, car); !d.ActivatedAt.Equal(w.now) {
		t.Fatalf("activated %v", d.ActivatedAt)
	}
}

// full is a store on a full disk.
type full struct{ ota.Store }

func (full) Write(context.Context, func(ota.Tx) error) error {
	return ota.Fail(ota.KindNoSpace, "no_space", "no space left")
}

func TestAFullDiskHidesNothing(t *testing.T) {
	w := newWorld(t)
	car := w.device("car")
	due := fleet.Request{Device: car, Packages: []ota.PackageID{w.publish("a=1", "one")}, Until: w.now.Add(time.Minute)}
	if _, _, err := w.Send(w.ctx, ns, due); err != nil {
		t.Fatal(err)
	}
	w.now = due.Until // its expiry is to be written
	w.offered(car)    // and when it was seen
	w.Store = full{w.Store}
	if d, err := w.Device(w.ctx, ns, car); err != nil || d.Name != "car" {
		t.Errorf("%+v, %v", d, err)
	}
	if list, _, err := w.Devices(w.ctx, ota.DeviceFilter{Namespace: ns}); err != nil || len(list) != 1 {
		t.Errorf("%v, %v", list, err)
	}
	if list, err := w.Updates(w.ctx, ota.UpdateFilter{Namespace: ns}); err != nil || len(list) != 1 {
		t.Errorf("%v, %v", list, err)
	}
}

func TestUpkeepEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		f := fleet.New(fleet.Options{Store: idle{}})
		done := make(chan struct{})
		go func() { f.Upkeep(ctx); close(done) }()
		time.Sleep(time.Minute)
		cancel()
		<-done
	})
}

// idle is a store that has nothing to do.
type idle struct{ ota.Store }

func (idle) Read(context.Context, func(ota.ReadTx) error) error { return nil }
