package resource

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"

	"github.com/updraft-ota/updraft/coap"
	"github.com/updraft-ota/updraft/ota"
)

// Trigger tells devices over plain CoAP where to look. Whoever has it told, a
// device is asked one thing at a time (NSTART, RFC 7252 4.7).
type Trigger struct {
	mu    sync.Mutex
	asked map[string]*turns // by address
}

var _ ota.Trigger = (*Trigger)(nil)

// turns are of those who ask a device.
type turns struct {
	one   chan struct{}
	users int
}

// turn waits until nobody else asks what is at an address. It fails with
// KindUnreachable if ctx ends first.
func (t *Trigger) turn(ctx context.Context, address string) (end func(), err error) {
	t.mu.Lock()
	at := t.asked[address]
	if at == nil {
		if t.asked == nil {
			t.asked = map[string]*turns{}
		}
		at = &turns{one: make(chan struct{}, 1)}
		t.asked[address] = at
	}
	at.users++
	t.mu.Unlock()
	leave := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if at.users--; at.users == 0 {
			delete(t.asked, address)
		}
	}
	select {
	case at.one <- struct{}{}:
		return func() { <-at.one; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, unreachable(ctx.Err())
	}
}

const (
	defaultPort = "5683"
	slotPath    = "/suit/slot/inactive" // ota-server.md 4.2
)

// Post sends a text to a target, without a content format, as devices of the
// original expect it.
func (t *Trigger) Post(ctx context.Context, target, text string) error {
	path := pathOf(target)
	if path == "" {
		path = "/"
	}
	m := coap.NewRequest(coap.POST, path)
	m.Payload = []byte(text)
	_, err := t.ask(ctx, target, m)
	return err
}

// Slot asks the device below a target which slot is free.
func (t *Trigger) Slot(ctx context.Context, target string) (int, error) {
	answer, err := t.ask(ctx, target, coap.NewRequest(coap.GET, strings.TrimSuffix(pathOf(target), "/")+slotPath))
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(answer.Payload)))
	if err != nil {
		return 0, ota.Invalid("the device says that slot %.20q is free, which is no number", answer.Payload)
	}
	return n, nil
}

func pathOf(target string) string {
	if i := strings.IndexByte(target, '/'); i >= 0 {
		return target[i:]
	}
	return ""
}

// ask sends one request, and takes any success for an answer.
func (t *Trigger) ask(ctx context.Context, target string, m coap.Message) (coap.Message, error) {
	if err := ota.Target(target); err != nil {
		return coap.Message{}, err
	}
	address, err := lookUp(ctx, strings.TrimSuffix(target, pathOf(target)))
	if err != nil {
		return coap.Message{}, err
	}
	end, err := t.turn(ctx, address)
	if err != nil {
		return coap.Message{}, err
	}
	defer end()
	client, err := coap.Dial(ctx, address)
	if err != nil {
		return coap.Message{}, unreachable(err)
	}
	defer client.Close()
	answer, err := client.Do(ctx, m)
	if err != nil {
		return coap.Message{}, unreachable(err)
	}
	if err := answer.Err(); err != nil {
		return coap.Message{}, ota.Fail(ota.KindConflict, "refused_by_device", "the device refuses: %v", err)
	}
	return answer, nil
}

// lookUp finds the address and the port an authority means. A name may mean
// anything by now, so that ota.Reachable is asked again.
func lookUp(ctx context.Context, authority string) (string, error) {
	host, port, err := net.SplitHostPort(authority)
	if err != nil {
		host, port = strings.Trim(authority, "[]"), defaultPort
	}
	var found []netip.Addr
	if addr, err := netip.ParseAddr(host); err == nil {
		found = []netip.Addr{addr}
	} else if found, err = net.DefaultResolver.LookupNetIP(ctx, "ip", host); err != nil {
		return "", unreachable(err)
	}
	for _, addr := range found {
		if addr = addr.Unmap(); ota.Reachable(addr) && !broadcast(addr) {
			return net.JoinHostPort(addr.String(), port), nil
		}
	}
	return "", ota.Fail(ota.KindInvalid, "invalid_target", "%s is not the address of one machine", host)
}

// broadcast reports whether all machines of a network we are in would hear
// what is sent to an address.
func broadcast(a netip.Addr) bool {
	if !a.Is4() {
		return false
	}
	ours, _ := net.InterfaceAddrs() // without any, nobody hears
	for _, n := range ours {
		p, err := netip.ParsePrefix(n.String())
		if err != nil || !p.Contains(a) || p.Bits() > 30 {
			continue
		}
		if ones := ^uint32(0) >> p.Bits(); binary.BigEndian.Uint32(a.AsSlice())&ones == ones {
			return true
		}
	}
	return false
}

func unreachable(err error) error {
	text := "the device does not answer"
	if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, coap.ErrTimeout) {
		text = err.Error()
	}
	return &ota.Error{Kind: ota.KindUnreachable, Code: "no_answer", Text: text}
}
