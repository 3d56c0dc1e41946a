package swm

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/swm/image"
)

// Offer is an update that waits to be downloaded.
type Offer struct {
	Update      ota.UpdateID
	Description string
	Signature   string
	Confirm     bool // someone has to agree first
}

// Consent says whether an update is wanted. An error means that nobody
// answered, and the update goes on waiting.
type Consent func(ctx context.Context, o Offer) (bool, error)

// Yes agrees to everything, No to nothing.
func Yes(context.Context, Offer) (bool, error) { return true, nil }
func No(context.Context, Offer) (bool, error)  { return false, nil }

// ErrNobody says that there is no one to ask.
var ErrNobody = errors.New("nobody is there to be asked: use --accept all or none, or start the manager in a terminal")

// Terminal asks on out and reads answers, a line each, from in.
func Terminal(in io.Reader, out io.Writer) Consent {
	lines := bufio.NewScanner(in)
	return func(ctx context.Context, o Offer) (bool, error) {
		fmt.Fprintf(out, "Update %s: %s\n", shown(string(o.Update)), shown(o.Description))
		for {
			fmt.Fprint(out, "Download and install it? [y/n] ")
			if !lines.Scan() {
				fmt.Fprintln(out)
				return false, ErrNobody
			}
			switch strings.ToLower(strings.TrimSpace(lines.Text())) {
			case "y", "yes":
				return true, nil
			case "n", "no":
				return false, nil
			}
		}
	}
}

// shown is foreign text that a terminal may be given.
func shown(s string) string { return strings.ReplaceAll(clean(s, 1000), "\n", " ") }

// offers are those nobody has decided on yet.
type offers struct {
	mu      *sync.Mutex
	waiting map[ota.UpdateID]bool
	list    chan Offer
}

// maxOffers bounds them.
const maxOffers = 100

func newOffers() offers {
	return offers{new(sync.Mutex), map[ota.UpdateID]bool{}, make(chan Offer, maxOffers)}
}

// UpdateAvailable says that an update waits. One that waits already is no
// news. It fails with KindInvalid for what cannot be an update, and KindTooMany.
func (m *Manager) UpdateAvailable(o Offer) error {
	if _, err := image.UpdateID(string(o.Update)); err != nil {
		return err
	}
	m.offers.mu.Lock()
	defer m.offers.mu.Unlock()
	if m.offers.waiting[o.Update] {
		return nil
	}
	select {
	case m.offers.list <- o:
		m.offers.waiting[o.Update] = true
		return nil
	default:
		return ota.Fail(ota.KindTooMany, "too_many", "%d updates wait for an answer already", maxOffers)
	}
}

// consult decides on one offer after the other, and tells the client.
func (m *Manager) consult(ctx context.Context, c Client) {
	for {
		select {
		case o := <-m.offers.list:
			m.decide(ctx, c, o)
			m.offers.mu.Lock()
			delete(m.offers.waiting, o.Update)
			m.offers.mu.Unlock()
		case <-ctx.Done():
			return
		}
	}
}

func (m *Manager) decide(ctx context.Context, c Client, o Offer) {
	yes := !o.Confirm
	if o.Confirm {
		var err error
		if yes, err = m.answer(ctx, o); err != nil {
			m.Log.Warn("an update goes on waiting", "update", o.Update, "err", err)
			return
		}
	}
	m.Log.Info("decided on an update", "update", o.Update, "accepted", yes)
	for wait := firstPause; ; wait = min(2*wait, longestPause) {
		var err error
		if yes {
			err = c.StartDownload(ctx, o.Update)
		} else {
			err = c.SendUpdateReport(ctx, ota.Outcome(o.Update, ota.UserDeclined, "the user declined the update"))
		}
		if err == nil || ctx.Err() != nil {
			return
		}
		m.Log.Warn("cannot tell the client of a decision, will try again", "update", o.Update, "in", wait, "err", err)
		m.pause(ctx, wait)
	}
}

// answer asks, but does not wait for the answer longer than ctx lives: nothing
// can stop a terminal's read.
func (m *Manager) answer(ctx context.Context, o Offer) (bool, error) {
	type answer struct {
		yes bool
		err error
	}
	given := make(chan answer, 1)
	go func() {
		yes, err := m.Consent(ctx, o)
		given <- answer{yes, err}
	}()
	select {
	case a := <-given:
		return a.yes, a.err
	case <-ctx.Done():
		return false, ctx.Err()
	}
}
