// Package gateway holds the doors through which people and programs on the
// device talk to the client: a file per door, one text grammar (client.md 3)
// and one JSON form (client.md 4) for all of them.
//
//	console.go    a person at a terminal, or a script at a pipe
//	http.go       a POST with one command, answered by its final event
//	websocket.go  every event as it happens, any command in; GET /events
//	socket.go     a Unix socket: one command for each connection
//	announce.go   an installer's Unix socket: downloads, as they end
//
// D-Bus has a package of its own. A door translates and decides nothing. Each
// is made by its New function, which takes what it needs to listen, and runs
// in Serve until its context or its input ends; the client runs on without it.
// Doors on TCP share who may come in: network.go.
package gateway

import (
	"bytes"
	"context"

	"github.com/updraft-ota/updraft/agent"
)

// Client is the part of the client that doors use.
type Client interface {
	// Do runs a command and returns its final event. If ctx ends first the
	// command still runs. Shutdown has no event, only an error.
	Do(ctx context.Context, c agent.Command) (agent.Event, error)
}

// Teller is a Client whose events can be heard.
type Teller interface {
	Client

	// Subscribe collects every event from now on, up to buffer of them unread.
	Subscribe(buffer int) *agent.Subscription

	// Since returns the events after number n that are still known.
	Since(n uint64) []agent.Told
}

// maxInput bounds one command, in bytes.
const maxInput = 1 << 20

// parse reads a command in either form: JSON begins with "{" or a quote, which
// no text command does.
func parse(input []byte) (agent.Command, error) {
	start := bytes.TrimLeft(input, " \t")
	if len(start) > 0 && (start[0] == '{' || start[0] == '"') {
		return DecodeCommand(start)
	}
	return ParseText(string(input))
}
