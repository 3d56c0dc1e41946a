package fleet_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/updraft-ota/updraft/fleet"
	"github.com/updraft-ota/updraft/ota"
)

// told is the next notice of a feed, which must be there.
func (w *world) told(f *fleet.Feed) string {
	w.t.Helper()
	id, n, err := f.Next(w.ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	return fmt.Sprintf("%s %T", id, n)
}

// wantSilentFeed checks that a feed has nothing more to tell, and that it ends
// with its context.
func wantSilentFeed(t *testing.T, f *fleet.Feed) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if id, n, err := f.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("more is told than happened: %s %T, %v", id, n, err)
	}
}

func TestAFeedTellsOfAllDevicesInOrder(t *testing.T) {
	w := newWorld(t)
	car, bus, van := w.device("car"), w.device("bus"), w.device("van")
	p := w.publish("a=1", "a")
	w.send(car, p) // before anyone listens
	feed := w.Feed()
	u := w.send(bus, p)
	w.send(car, p)
	for _, step := range []error{
		w.Cancel(w.ctx, ns, bus, u),
		w.WantList(w.ctx, ns, van),
		w.Block(w.ctx, ns, car),
		w.Unblock(w.ctx, ns, car),
	} {
		if step != nil {
			t.Fatal(step)
		}
	}
	for _, want := range []string{
		string(bus) + " ota.Offered", string(car) + " ota.Offered", string(bus) + " ota.Withdrawn",
		string(van) + " ota.ListWanted", string(car) + " ota.Held", string(car) + " ota.Offered",
	} {
		wantString(t, "told", w.told(feed), want)
	}
	wantSilentFeed(t, feed)
	wantSilentFeed(t, w.Feed()) // who comes later begins at the present
}

func TestAFeedDoesNotOfferWhatCameBack(t *testing.T) {
	w := newWorld(t)
	car := w.device("car")
	u := w.send(car, w.publish("a=1", "a"))
	feed := w.Feed()
	w.fetch(car, u)
	w.unanswered(car, u)
	if err := w.WantList(w.ctx, ns, car); err != nil {
		t.Fatal(err)
	}
	wantString(t, "told", w.told(feed), string(car)+" ota.ListWanted")
}

func TestAFeedReadsMoreThanAPage(t *testing.T) {
	w := newWorld(t)
	feed := w.Feed()
	car := w.device("car")
	for i := range 120 {
		rename := w.ChangeDevice(w.ctx, ns, car, fleet.NewDevice{Name: fmt.Sprint("car", i)}) // tells the device nothing
		for _, step := range []error{w.Block(w.ctx, ns, car), rename, w.Unblock(w.ctx, ns, car)} {
			if step != nil {
				t.Fatal(step)
			}
		}
	}
	for range 120 {
		wantString(t, "told", w.told(feed), string(car)+" ota.Held")
		wantString(t, "told", w.told(feed), string(car)+" ota.Offered")
	}
}

func TestAFeedWakesWhoWaits(t *testing.T) {
	w := newWorld(t)
	car := w.device("car")
	feed := w.Feed()
	got := make(chan string)
	go func() {
		for range 2 {
			id, n, err := feed.Next(w.ctx)
			got <- fmt.Sprintf("%s %T %v", id, n, err)
		}
	}()
	for range 2 {
		if err := w.WantList(w.ctx, ns, car); err != nil {
			t.Fatal(err)
		}
		wantString(t, "told", <-got, string(car)+" ota.ListWanted <nil>")
	}
}

// failing is a store that does not answer, until it is mended.
type failing struct {
	ota.Store
	broken bool
}

func (s *failing) Read(ctx context.Context, fn func(ota.ReadTx) error) error {
	if s.broken {
		return ota.Fail(ota.KindInternal, "internal", "the disk is gone")
	}
	return s.Store.Read(ctx, fn)
}

func TestAFeedGoesOnAfterAnErrorOfTheStore(t *testing.T) {
	w := newWorld(t)
	car := w.device("car")
	st := &failing{Store: w.Store}
	w.Store = st
	feed := w.Feed()
	if err := w.WantList(w.ctx, ns, car); err != nil {
		t.Fatal(err)
	}
	st.broken = true
	if _, _, err := feed.Next(w.ctx); ota.KindOf(err) != ota.KindInternal {
		t.Fatal(err)
	}
	st.broken = false
	wantString(t, "told", w.told(feed), string(car)+" ota.ListWanted")
}
