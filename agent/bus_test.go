package agent

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

func TestSlowSubscriberMissesOldEvents(t *testing.T) {
	var b bus
	slow, quick := b.subscribe(2), b.subscribe(10)
	for _, e := range []Event{Error{"1"}, Error{"2"}, Error{"3"}, Error{"4"}} {
		b.send(e)
	}
	for i, want := range []struct {
		text   string
		missed int
	}{{"3", 2}, {"4", 0}} {
		e, missed, err := slow.Next(t.Context())
		if e != (Error{want.text}) || missed != want.missed || err != nil {
			t.Errorf("%d: %v, %d, %v", i, e, missed, err)
		}
	}
	for _, want := range []string{"1", "2", "3", "4"} {
		if e, missed, err := quick.Next(t.Context()); e != (Error{want}) || missed != 0 || err != nil {
			t.Errorf("%v, %d, %v", e, missed, err)
		}
	}
}

func TestSubscriptionEnds(t *testing.T) {
	var b bus
	closed, left := b.subscribe(0), b.subscribe(1)
	closed.Close()
	closed.Close()
	b.send(Authenticated{})
	if e, _, err := closed.Next(t.Context()); err != ErrStopped {
		t.Errorf("%v, %v", e, err)
	}
	b.close()
	if e, _, err := left.Next(t.Context()); e != (Authenticated{}) || err != nil {
		t.Errorf("what was told is lost: %v, %v", e, err)
	}
	for range 2 {
		if _, _, err := left.Next(t.Context()); err != ErrStopped {
			t.Errorf("%v", err)
		}
	}
	if _, _, err := b.subscribe(1).Next(t.Context()); err != ErrStopped {
		t.Errorf("subscribed after the end: %v", err)
	}
}

func TestNextWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bus
		s := b.subscribe(1)
		go func() {
			time.Sleep(time.Second)
			b.send(Authenticated{})
		}()
		if e, _, err := s.Next(t.Context()); e != (Authenticated{}) || err != nil {
			t.Errorf("%v, %v", e, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, _, err := s.Next(ctx); err != context.DeadlineExceeded {
			t.Errorf("%v", err)
		}
	})
}

func TestSubscriberThatNeverReadsStopsNobody(t *testing.T) {
	story(t, func(w *world) {
		w.start()
		stuck := w.agent.Subscribe(1)
		defer stuck.Close()
		for range 5 {
			w.do(GetUpdateRequests{})
		}
		if e, missed, err := stuck.Next(w.Context()); e != (NoUpdateRequests{}) || missed != 4 || err != nil {
			t.Errorf("%v, %d, %v", e, missed, err)
		}
	})
}

func TestQueueIsBounded(t *testing.T) {
	q := newQueue()
	var err error
	for range maxQueue {
		if err = q.push(job{command: GetUpdateRequests{}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := q.push(job{command: GetUpdateRequests{}}); err == nil {
		t.Error("no end")
	}
}

// Long commands fill the queue sooner, and each leaves its room to another.
func TestQueueIsBoundedInBytes(t *testing.T) {
	long := SendUpdateReport{ota.Outcome("u1", ota.OK, strings.Repeat("x", 1<<20))}
	q := newQueue()
	waiting := 0
	for ; waiting < maxQueue && q.push(job{command: long}) == nil; waiting++ {
	}
	if waiting != maxQueueBytes>>20-1 {
		t.Errorf("%d MiB wait", waiting)
	}
	q.take()
	if err := q.push(job{command: long}); err != nil {
		t.Error(err)
	}
	for range waiting {
		q.take()
	}
	if q.size != 0 {
		t.Errorf("an empty queue has %d bytes", q.size)
	}
	if err := q.push(job{command: SendUpdateReport{ota.Outcome("u1", ota.OK, strings.Repeat("x", 2*maxQueueBytes))}}); err != nil {
		t.Error(err)
	}
}
