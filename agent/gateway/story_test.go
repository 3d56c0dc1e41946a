package gateway

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/updraft-ota/updraft/ota"
)

// TestStories runs the scripts of testdata: commands typed, events seen. Each
// has a client with a scripted server, package manager "off" and no polling,
// and all gateways open; curl and nc are strangers at their doors. Scripts find
// $HTTP, $WEBSOCKET, $COMMANDS and $EVENTS, and say
//
//	offer ID...          what the server offers from now on
//	server gone|back     whether it can be reached
//	console FILE         type the lines of FILE at the console, show its output
//	watch NAME           open a websocket
//	say NAME TEXT        send a frame over it
//	hear NAME FILE       read as many frames as FILE has lines, and compare
//	leave NAME           close it
//	installer            begin to listen on the event socket
//	told FILE            hear as many envelopes as FILE has lines, and compare
//	reported FILE        compare the reports that the server has, a line each
//	ended                the client has ended
//
// In files, PACKAGES stands for the directory of downloads.
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txtar"), func(t *testing.T) { tellStory(t, f) })
	}
}

func tellStory(t *testing.T, file string) {
	s := &stage{device: newDevice(t), watchers: map[string]watcher{}}
	s.events = filepath.Join(s.dir, "events.socket")
	s.start()
	h, err := NewHTTP(s, local)
	if err != nil {
		t.Fatal(err)
	}
	serve(t, h)
	w := openWebsocket(t, s)
	serve(t, w)
	commands, sock := openCommandSocket(t, s)
	serve(t, sock)
	a := NewAnnouncer(s, s.events, discard)
	a.wait = patience{make(chan int)}.wait // until the story ends, or news comes
	serve(t, a)
	s.websocket = w.Addr()
	testscript.Run(t, testscript.Params{
		Files: []string{file}, RequireExplicitExec: true, RequireUniqueNames: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("HTTP", "http://"+h.Addr())
			e.Setenv("WEBSOCKET", w.Addr())
			e.Setenv("COMMANDS", commands)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"offer": s.offer, "server": s.server, "console": s.console, "ended": s.hasEnded,
			"watch": s.watch, "say": s.say, "hear": s.hear, "leave": s.leave,
			"installer": s.installer, "told": s.told, "reported": s.reported,
		},
	})
}

// stage is where a story happens.
type stage struct {
	*device
	websocket, events string
	watchers          map[string]watcher
	envelopes         <-chan string
}

func (s *stage) offer(_ *testscript.TestScript, _ bool, ids []string) {
	s.link.offer(each(ids, func(id string) ota.UpdateID { return ota.UpdateID(id) })...)
}

func (s *stage) server(ts *testscript.TestScript, _ bool, args []string) {
	switch strings.Join(args, " ") {
	case "gone":
		away(s.device)
	case "back":
		failing(nil)(s.device)
	default:
		ts.Fatalf("usage: server gone|back")
	}
}

func (s *stage) console(ts *testscript.TestScript, _ bool, args []string) {
	in, err := os.Open(ts.MkAbs(args[0]))
	ts.Check(err)
	defer in.Close()
	var out strings.Builder
	ts.Check(NewConsole(s, in, &out, discard).Serve(s.Context()))
	_, err = ts.Stdout().Write([]byte(s.plain(out.String())))
	ts.Check(err)
}

func (s *stage) watch(_ *testscript.TestScript, _ bool, args []string) {
	s.watchers[args[0]] = watch(s.TB, s.websocket, nil)
}

func (s *stage) say(_ *testscript.TestScript, _ bool, args []string) {
	s.watchers[args[0]].say(args[1])
}

func (s *stage) leave(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(s.watchers[args[0]].CloseNow())
}

func (s *stage) hear(ts *testscript.TestScript, _ bool, args []string) {
	w := s.watchers[args[0]]
	s.compare(ts, args[1], func() string { return w.hear() })
}

func (s *stage) installer(*testscript.TestScript, bool, []string) {
	s.envelopes = installer(s.TB, s.events)
}

func (s *stage) told(ts *testscript.TestScript, _ bool, args []string) {
	s.compare(ts, args[0], func() string { return <-s.envelopes })
}

func (s *stage) reported(ts *testscript.TestScript, _ bool, args []string) {
	var lines []string
	s.link.set(func(u *uplink) {
		for _, r := range u.reports {
			b, err := marshal(toReport(r))
			ts.Check(err)
			lines = append(lines, string(b)+"\n")
		}
	})
	if diff := cmp.Diff(ts.ReadFile(args[0]), strings.Join(lines, "")); diff != "" {
		ts.Fatalf("reports (-want +got):\n%s", diff)
	}
}

func (s *stage) hasEnded(*testscript.TestScript, bool, []string) { <-s.ended }

// compare reads as many lines as the file has.
func (s *stage) compare(ts *testscript.TestScript, file string, next func() string) {
	want := ts.ReadFile(file)
	got := ""
	for range strings.Count(want, "\n") {
		got += next() + "\n"
	}
	if diff := cmp.Diff(want, s.plain(got)); diff != "" {
		ts.Fatalf("%s (-want +got):\n%s", file, diff)
	}
}

// plain makes text the same each time.
func (s *stage) plain(text string) string {
	return strings.ReplaceAll(text, s.config.Device.PackagesDir, "PACKAGES")
}
