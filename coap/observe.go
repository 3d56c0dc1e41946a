package coap

import (
	"context"
	"iter"
	"time"
)

// Observe yields what is at a target, and again whenever that changes, until
// the loop is left or ctx ends. A success without Observe option, or anything
// that is no success, is the last. When nothing comes for longer than Max-Age
// allows, it registers anew, as servers forget their observers when they
// restart (RFC 7641 3.3.1). Of changes in quick succession only the newest may
// be seen. An error is the last; they are those of Do.
func (c *Client) Observe(ctx context.Context, target string) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		m := NewRequest(GET, target)
		m.Options.AddUint(Observe, 0)
		m.Token = newToken()
		w := &watch{c: c, m: m, news: make(chan struct{}, 1), age: 60}
		defer w.end()
		w.register()
		for {
			got, err := w.next(ctx)
			if !yield(got, err) || err != nil || w.over {
				return
			}
		}
	}
}

// watch is an observation from the client's side.
type watch struct {
	c    *Client
	m    Message
	stop func()
	news chan struct{} // there is something in slot
	slot slot
	seq  uint32 // of the newest notification
	at   time.Time
	age  uint32 // for how long it is good, seconds
	over bool
	echo bool // the address has just been proven
}

// register asks to observe, under the same token as before.
func (w *watch) register() {
	if w.stop != nil {
		w.stop()
	}
	w.at = time.Time{}
	w.stop = w.c.wire.subscribe(w.m, func(m Message, err error) {
		w.slot.put(m, err)
		select {
		case w.news <- struct{}{}:
		default:
		}
	})
}

// next waits for something new.
func (w *watch) next(ctx context.Context) (Message, error) {
	silence := time.NewTimer(w.patience())
	defer silence.Stop()
	for {
		select {
		case <-ctx.Done():
			return Message{}, context.Cause(ctx)
		case <-silence.C:
			w.register()
			silence.Reset(w.patience())
			continue
		case <-w.news:
		}
		m, err := w.slot.get()
		if err != nil {
			w.over = true
			return Message{}, err
		}
		if echo, ok := m.Options.Get(Echo); ok && m.Code == Unauthorized && !w.echo {
			w.echo = true
			w.m.Options.Set(Echo, echo)
			w.register()
			continue
		}
		if !w.newer(&m) {
			continue
		}
		return w.whole(ctx, m)
	}
}

// newer reports whether m is not an old notification that was late
// (RFC 7641 3.4).
func (w *watch) newer(m *Message) bool {
	seq, ok := m.Options.Uint(Observe)
	if !ok || m.Code.Class() != 2 {
		w.over = true
		return true
	}
	now := time.Now()
	ahead := (seq - w.seq) & 0xFFFFFF
	if !w.at.IsZero() && (ahead == 0 || ahead >= 1<<23) && now.Sub(w.at) < 128*time.Second {
		return false
	}
	w.seq, w.at, w.echo = seq, now, false
	if w.age, ok = m.Options.Uint(MaxAge); !ok {
		w.age = 60
	}
	return true
}

// patience is how long to wait for the next notification.
func (w *watch) patience() time.Duration {
	return time.Duration(w.age)*time.Second + exchangeLifetime/4
}

// whole fetches what did not fit into a notification.
func (w *watch) whole(ctx context.Context, m Message) (Message, error) {
	if b, ok := m.Options.block(Block2); !ok || !b.More {
		return m, nil
	}
	get := w.m
	get.Options = w.m.Options.clone()
	get.Options.Del(Observe)
	body := buffer{max: w.c.Body}
	or(&body.max, 1<<20)
	last, err := w.c.download(ctx, get, m, 0, &body)
	last.Payload = body.b
	return last, err
}

// end tells the server, without waiting for it, that nobody listens any more.
func (w *watch) end() {
	if w.stop != nil {
		w.stop()
	}
	if w.over {
		return
	}
	bye := w.m
	bye.Options = w.m.Options.clone()
	bye.Options.SetUint(Observe, 1)
	stop := w.c.wire.subscribe(bye, func(Message, error) {})
	time.AfterFunc(ackTimeout, stop)
}
