package coap

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// slow answers in its own time, and at the length asked for.
func slow(after time.Duration, length int) Handler {
	return HandlerFunc(func(w ResponseWriter, r *Request) {
		time.Sleep(after)
		fmt.Fprint(w, strings.Repeat("x", length))
	})
}

// What comes after an acknowledgement is no more than what comes with one, and
// counts for every time that it is sent.
func TestSeparateResponsesToTheUnproven(t *testing.T) {
	for _, c := range []struct {
		name         string
		length, rate int
		want         string
		messages     int
	}{
		{"long", 1000, 0, "51810325aadcef", 1},
		{"short", 50, 0, "41", 1 + maxRetransmit},
		{"short, but with no budget", 50, 1, "51810325aadcef", 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t)
			b.srv.Handler, b.srv.content = slow(2*time.Second, c.length), nil
			if c.rate > 0 {
				b.srv.buckets.rate = c.rate
			}
			if got := b.send(t, "41021234aa"); !strings.HasPrefix(got, "60001234 "+c.want) {
				t.Errorf("%s: sent %.60s, want an acknowledgement and then %s", c.name, got, c.want)
			}
			time.Sleep(2 * time.Minute)
			if n := 1 + len(strings.Fields(b.rec.take())); n != c.messages {
				t.Errorf("%s: sent %d times, want %d", c.name, n, c.messages)
			}
		})
	}
}

// The same request again and again costs as much as other ones.
func TestRepetitionsHaveABudget(t *testing.T) {
	b := newBench(t)
	b.srv.Handler, b.srv.content = slow(0, 100), nil
	b.srv.buckets.rate = 500
	sent := 0
	for range 100 {
		if got := b.send(t, "40021234"); strings.HasPrefix(got, "6044") {
			sent += len(got) / 2
		}
	}
	if sent > 1000+100*12 {
		t.Errorf("%d bytes in answer to 400, with a budget of 1000", sent)
	}
}

// A request that comes again is known, whether its sender proved its address
// in between, or its proof ran out.
func TestRepetitionsAreKnownWhateverIsProven(t *testing.T) {
	const post = "41021234 aa b4706f7374 ff 6869"
	b := newBench(t)
	first := b.send(t, post)
	b.prove()
	if again := b.send(t, post); again != first || len(b.posts) != 1 {
		t.Errorf("once proven: answered %s, then %s; %d posts", first, again, len(b.posts))
	}
	const other = "41021235 aa b4706f7374 ff 6869"
	first = b.send(t, other)
	b.srv.proofs = newProofs(b.srv.limits)
	if again := b.send(t, other); again != first || len(b.posts) != 2 {
		t.Errorf("proven no more: answered %s, then %s; %d posts", first, again, len(b.posts))
	}
}

// A device that has restarted counts from the beginning: what it says now is
// something else, though it has the number of what it said before.
func TestAnotherRequestUnderTheSameID(t *testing.T) {
	b := newBench(t)
	for i, post := range []string{"41020001 aa b4706f7374 ff 6869", "41020001 bb b4706f7374 ff 6869", "41020001 bb b4706f7374 ff 6868"} {
		if got := b.send(t, post); got != "61440001"+post[9:11]+"ff32206279746573" || len(b.posts) != i+1 {
			t.Errorf("%s is answered by %s, %d posts", post, got, len(b.posts))
		}
	}
}

// However many requests come after one that takes long, it is not forgotten.
func TestWhatIsUnderWayIsNotForgotten(t *testing.T) {
	b := newBench(t)
	b.prove()
	began, end, asked := make(chan bool, 10), make(chan bool), 0
	b.srv.content = nil
	b.srv.Handler = HandlerFunc(func(w ResponseWriter, r *Request) {
		if r.Path() == "/slow" {
			asked++
			began <- true
			<-end
		}
	})
	slow := unhex(t, "40021234b4736c6f77")
	b.u.layer.receive(b.s, slow, b.from)
	<-began
	for i := range 2 * b.srv.limits.PeerExchanges {
		b.u.layer.receive(b.s, unhex(t, fmt.Sprintf("4002%04xb466617374", i)), b.from)
		for b.rec.empty() {
			time.Sleep(0)
		}
		b.rec.take()
	}
	b.u.layer.receive(b.s, slow, b.from)
	close(end)
	b.u.wg.Wait()
	if asked != 1 {
		t.Errorf("the handler was asked %d times", asked)
	}
}

// panics is a handler with a fault where it hurts most.
type panics struct{}

func (panics) ServeCOAP(w ResponseWriter, r *Request) { w.SetCode(GET) }

func (panics) Content(r *Request) (Content, bool) {
	switch r.Path() {
	case "/panic":
		panic("a fault of the handler")
	case "/nobody":
		return Content{Size: 10}, true
	}
	return Content{}, false
}

func TestFaultsOfHandlersEndNothing(t *testing.T) {
	b := newBench(t)
	b.srv.Handler, b.srv.content = panics{}, panics{}
	for _, path := range []string{"/panic", "/nobody", "/other"} {
		if got := b.exchange(t, get(path, nil)); got.Code != InternalServerError {
			t.Errorf("%s is answered by %v", path, got.Code)
		}
		m := get(path, nil)
		m.Options.AddUint(Observe, 0) // by another way
		if got := b.exchange(t, m); got.Code != InternalServerError {
			t.Errorf("%s is answered by %v", path, got.Code)
		}
		m.Options.AddUint(NoResponse, 2)
		if got := b.exchange(t, m); got.Code != InternalServerError {
			t.Errorf("%s is answered by %v", path, got.Code)
		}
	}
}
