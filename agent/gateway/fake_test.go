package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"

	"github.com/updraft-ota/updraft/agent"
	"github.com/updraft-ota/updraft/ota"
)

// client answers like the real one and remembers what it was asked.
type client struct {
	mu    sync.Mutex
	asked []agent.Command
	stuck chan struct{} // if not nil, StartInstall waits for it
}

var discard = slog.New(slog.DiscardHandler)

var errStopped = errors.New("the client has ended")

func (c *client) Do(ctx context.Context, command agent.Command) (agent.Event, error) {
	c.mu.Lock()
	c.asked = append(c.asked, command)
	c.mu.Unlock()
	switch command := command.(type) {
	case agent.Shutdown:
		return nil, errStopped
	case agent.SendSystemInfo:
		return nil, errStopped
	case agent.ListInstalledPackages:
		return agent.FoundInstalledPackages{Packages: []ota.PackageID{{Name: "Movie&MusicPlayer", Version: "rc2-beta3"}}}, nil
	case agent.StartDownload:
		return agent.DownloadComplete{Image: agent.Downloaded{Update: command.Update, Path: "/tmp/" + string(command.Update)}}, nil
	case agent.StartInstall:
		if c.stuck != nil {
			select {
			case <-c.stuck:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		return agent.InstallComplete{Report: ota.Outcome(command.Update, ota.OK, "done")}, nil
	case agent.SendUpdateReport:
		return agent.UpdateReportSent{}, nil
	}
	return agent.NoUpdateRequests{}, nil
}

func (c *client) heard() []agent.Command {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asked
}

// deaf is a client for doors that do not listen to events.
type deaf struct{ *client }

func (deaf) Subscribe(int) *agent.Subscription { panic("nobody should listen") }
func (deaf) Since(uint64) []agent.Told         { panic("nobody should listen") }

// contextWithLocal says which of our addresses a request has reached.
func contextWithLocal(r *http.Request, ip string) context.Context {
	return context.WithValue(r.Context(), http.LocalAddrContextKey, net.Addr(&net.TCPAddr{IP: net.ParseIP(ip), Port: 8888}))
}
