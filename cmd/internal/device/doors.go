package device

import (
	"context"
	"log/slog"
	"os"

	"golang.org/x/term"

	"github.com/updraft-ota/updraft/agent"
	"github.com/updraft-ota/updraft/agent/gateway"
	"github.com/updraft-ota/updraft/agent/gateway/dbus"
)

// door is a gateway. Serve runs until ctx ends, or its input does.
type door interface {
	Serve(ctx context.Context) error
}

// opener makes a door that listens from now on.
type opener struct {
	on   bool
	open func() (door, error)
}

// doors opens the gateways that are switched on, any number of them. If one
// cannot be opened those before it are closed again.
func doors(cfg agent.Config, client gateway.Teller, hooks Hooks, log *slog.Logger) ([]door, error) {
	token, err := gateway.ReadToken(cfg.Gateway.TokenFile)
	if err != nil {
		return nil, err
	}
	on, at := cfg.Gateway, cfg.Network
	var list []door
	for _, o := range []opener{
		{on.HTTP, func() (door, error) {
			return gateway.NewHTTP(client, gateway.Network{Addr: at.HTTPServer, Token: token, Log: log})
		}},
		{on.Websocket, func() (door, error) {
			return gateway.NewWebsocket(client, gateway.Network{Addr: at.WebsocketServer, Token: token, Log: log})
		}},
		{on.Socket, func() (door, error) { return gateway.NewSocket(client, at.SocketCommandsPath, log) }},
		{on.Socket, func() (door, error) { return gateway.NewAnnouncer(client, at.SocketEventsPath, log), nil }},
		{on.DBus, func() (door, error) {
			return dbus.New(client, dbus.Options{Config: *cfg.DBus, Getenv: os.Getenv, Log: log}), nil
		}},
		{on.Console, func() (door, error) { return openConsole(client, hooks, log), nil }},
	} {
		if !o.on {
			continue
		}
		d, err := o.open()
		if err != nil {
			closeDoors(list)
			return nil, err
		}
		list = append(list, d)
	}
	return list, nil
}

// openConsole makes the console. A log that goes to the same terminal goes
// through it.
func openConsole(client gateway.Teller, hooks Hooks, log *slog.Logger) door {
	c := gateway.NewConsole(client, hooks.In, hooks.Out, log)
	if s := c.Screen(); s != nil && hooks.Log == os.Stderr && term.IsTerminal(int(os.Stderr.Fd())) {
		divert(log, s)
	}
	return c
}

// closeDoors ends doors that have not served anyone.
func closeDoors(list []door) {
	ended, end := context.WithCancel(context.Background())
	end()
	for _, d := range list {
		d.Serve(ended)
	}
}

var _ gateway.Teller = (*agent.Agent)(nil)
