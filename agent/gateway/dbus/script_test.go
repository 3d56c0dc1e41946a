package dbus

import (
	"fmt"
	"strings"
	"testing"
	"time"

	godbus "github.com/godbus/dbus/v5"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/updraft-ota/updraft/agent"
	"github.com/updraft-ota/updraft/ota"
)

// Stories are scripts: see testdata.
func TestStories(t *testing.T) {
	w := start(t)
	s := &stage{world: w}
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			e.Setenv("DBUS_SESSION_BUS_ADDRESS", w.bus.address)
			e.Setenv("PACKAGES", w.cfg.Device.PackagesDir)
			e.Setenv("LC_ALL", "C")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"monitor": func(*testscript.TestScript, bool, []string) { s.ear = w.listen() },
			"hears":   s.hears,
			"server":  s.serverDoes,
			"manager": s.managerDoes,
		},
	})
}

// stage is what a script's own commands act on.
type stage struct {
	*world
	ear     *ear
	manager *peer
	conn    *godbus.Conn
}

func (s *stage) serverDoes(ts *testscript.TestScript, _ bool, args []string) {
	switch what := strings.Join(args, " "); {
	case args[0] == "offers" || args[0] == "asks":
		s.server.offer(args[1], "an image", args[0] == "asks")
		s.do(agent.GetUpdateRequests{})
	case what == "wants list":
		select {
		case s.server.notices <- ota.ListWanted{}:
		case <-time.After(time.Minute):
			ts.Fatalf("the client takes no notice")
		}
	case strings.HasPrefix(what, "has report "):
		r := receive(s.T, s.server.reports).Results[0]
		same(ts, what, fmt.Sprintf("has report %s %s", r.Code, r.Text))
	case strings.HasPrefix(what, "has packages "):
		got := "has packages"
		for _, p := range receive(s.T, s.server.lists).Packages {
			got += " " + p.Name + " " + p.Version
		}
		same(ts, what, got)
	default:
		ts.Fatalf("no such thing: server %s", what)
	}
}

func (s *stage) managerDoes(ts *testscript.TestScript, _ bool, args []string) {
	switch args[0] {
	case "starts":
		s.manager, s.conn = s.world.manager(inventory)
	case "dies":
		s.conn.Close()
	case "hears":
		same(ts, args[1]+" "+goForm(args[2:]), receive(s.T, s.manager.heard))
	default:
		ts.Fatalf("no such thing: manager %s", args[0])
	}
}

// inventory answers like a manager that has one package installed.
func inventory(method string, _ []any) ([]any, error) {
	if method != listMethod {
		return nil, nil
	}
	gcc := map[string]any{"package_id": "gcc-7.63", "name": "gcc", "description": "", "last_modified": uint64(0)}
	return []any{[]map[string]any{gcc}, []map[string]any{}}, nil
}

// hears waits for the signal of an event, and compares the beginning of its JSON.
func (s *stage) hears(_ *testscript.TestScript, _ bool, args []string) {
	s.ear.hears(fmt.Sprintf("Event ('%s', '%s", args[0], strings.Join(args[1:], "")))
}

// goForm writes arguments as a peer notes them.
func goForm(args []string) string {
	list := make([]any, len(args))
	for i, a := range args {
		list[i] = a
		if a == "true" || a == "false" {
			list[i] = a == "true"
		}
	}
	return fmt.Sprintf("%#v", list)
}

func same(ts *testscript.TestScript, want, got string) {
	if got != want {
		ts.Fatalf("got  %s\nwant %s", got, want)
	}
}
