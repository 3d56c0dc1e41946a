package rvi

import (
	"context"
	"encoding/json"
	"time"

	"github.com/updraft-ota/updraft/rvi/node"
)

// Carrier takes messages to services, given their full names; see node.Send.
// Nil says that the message is on its way, not that it will arrive.
type Carrier interface {
	Send(ctx context.Context, service string, params json.RawMessage, timeout time.Duration) error
}

// lateCarrier is a Carrier that asks for what it carries when it is about to
// write it; see node.SendFunc.
type lateCarrier interface {
	SendFunc(ctx context.Context, service string, params func(buf []byte) ([]byte, error), timeout time.Duration) error
}

var (
	_ lateCarrier = (*node.Node)(nil)

	_ Carrier = (*node.Node)(nil)
	_ Carrier = (*node.Program)(nil)
)
