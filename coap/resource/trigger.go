package resource

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/updraft-ota/updraft/coap"
	"github.com/updraft-ota/updraft/ota"
)

// Trigger tells devices over plain CoAP where to look.
type Trigger struct{}

var _ ota.Trigger = Trigger{}

const (
	defaultPort = "5683"
	slotPath    = "/suit/slot/inactive" // ota-server.md 4.2
)

// Post sends a text to a target, without a content format, as devices of the
// original expect it.
func (Trigger) Post(ctx context.Context, target, text string) error {
	path := pathOf(target)
	if path == "" {
		path = "/"
	}
	m := coap.NewRequest(coap.POST, path)
	m.Payload = []byte(text)
	_, err := ask(ctx, target, m)
	return err
}

// Slot asks the device below a target which slot is free.
func (Trigger) Slot(ctx context.Context, target string) (int, error) {
	answer, err := ask(ctx, target, coap.NewRequest(coap.GET, strings.TrimSuffix(pathOf(target), "/")+slotPath))
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
func ask(ctx context.Context, target string, m coap.Message) (coap.Message, error) {
	if err := ota.Target(target); err != nil {
		return coap.Message{}, err
	}
	address, err := lookUp(ctx, strings.TrimSuffix(target, pathOf(target)))
	if err != nil {
		return coap.Message{}, err
	}
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
	addr, err := netip.ParseAddr(host)
	if err == nil {
		return net.JoinHostPort(addr.String(), port), nil
	}
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return "", unreachable(err)
	}
	for _, addr := range found {
		if ota.Reachable(addr) {
			return net.JoinHostPort(addr.Unmap().String(), port), nil
		}
	}
	return "", ota.Fail(ota.KindInvalid, "invalid_target", "%s is not the name of one machine", host)
}

func unreachable(err error) error {
	text := "the device does not answer"
	if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, coap.ErrTimeout) {
		text = err.Error()
	}
	return &ota.Error{Kind: ota.KindUnreachable, Code: "no_answer", Text: text}
}
