package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/pflag"

	"github.com/updraft-ota/updraft/cmd/internal/server"
	"github.com/updraft-ota/updraft/coap"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"updraft": main})
}

// TestStories runs the scripts of testdata, each with servers of its own:
//
//	server DIR [FLAG...]  runs a server on DIR and any free port until shutdown
//	                      or the story's end; sets UPDRAFT_SERVER, COAP (its
//	                      address), and UPDRAFT_TOKEN if it has one
//	shutdown              ends that server; stop is testscript's own, it would
//	                      end the story
//	exits CODE ARG...     runs updraft with that exit code expected
//	coapdevice VAR        runs a CoAP device that takes what it is told, but for
//	                      /no, and writes it to VAR.told; sets VAR to its address
func TestStories(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"server": startServer, "shutdown": stopServer, "exits": exits, "coapdevice": startDevice,
		},
		Setup: func(e *testscript.Env) error {
			e.Values[serverKey{}] = new(running)
			e.Setenv("GORACE", "atexit_sleep_ms=0") // else each program waits a second before it ends
			return nil
		},
	})
}

// running is a story's latest server.
type running struct{ stop func() error }

type serverKey struct{}

func startServer(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: server DIR [FLAG...]")
	}
	dir := ts.MkAbs(args[0])
	fs := pflag.NewFlagSet("server", pflag.ContinueOnError)
	load := server.Flags(fs)
	flags := append([]string{"--data", dir, "--http-port", "0", "--coap-port", "0", "--bind", "127.0.0.1"}, args[1:]...)
	ts.Check(fs.Parse(flags))
	config, err := load()
	ts.Check(err)

	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan server.Addresses, 1), make(chan error, 1)
	go func() {
		ended <- server.Run(ctx, config, server.Hooks{Log: os.Stderr, Ready: func(a server.Addresses) { ready <- a }})
	}()
	select {
	case err := <-ended:
		cancel()
		ts.Fatalf("the server did not start: %v", err)
	case a := <-ready:
		ts.Setenv("UPDRAFT_SERVER", "http://"+a.HTTP)
		ts.Setenv("COAP", a.CoAP)
	}
	if token, err := os.ReadFile(filepath.Join(dir, "admin.token")); err == nil {
		ts.Setenv("UPDRAFT_TOKEN", strings.TrimSpace(string(token)))
	}
	stop := sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	ts.Value(serverKey{}).(*running).stop = stop
	ts.Defer(func() { ts.Check(stop()) })
}

func stopServer(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Check(ts.Value(serverKey{}).(*running).stop())
}

func exits(ts *testscript.TestScript, _ bool, args []string) {
	want := map[string]int{"0": 0, "1": 1, "2": 2}[args[0]]
	err := ts.Exec("updraft", args[1:]...)
	got := 0
	if exit, ok := err.(*exec.ExitError); ok {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("updraft %s: exit code %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}

func startDevice(ts *testscript.TestScript, _ bool, args []string) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	ts.Check(err)
	told := ts.MkAbs(args[0] + ".told")
	device := &coap.Server{Handler: coap.HandlerFunc(func(w coap.ResponseWriter, r *coap.Request) {
		if r.Path() == "/no" {
			coap.Fail(w, coap.Forbidden, "no")
			return
		}
		f, err := os.OpenFile(told, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err == nil {
			fmt.Fprintln(f, r.Path(), string(r.Payload))
			err = f.Close()
		}
		if err != nil {
			coap.Fail(w, coap.InternalServerError, "%v", err)
			return
		}
		coap.Write(w, coap.Changed, coap.TextPlain, nil)
	})}
	ctx, end := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- device.Serve(ctx, conn) }()
	ts.Defer(func() { end(); <-ended })
	ts.Setenv(args[0], conn.LocalAddr().String())
}

// TestSignalsEndTheServerInOrder runs the program itself.
func TestSignalsEndTheServerInOrder(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			dir := t.TempDir()
			cmd := exec.CommandContext(t.Context(), "updraft", "server", "--data", dir, "--http-port", "0", "--coap-port", "0", "--auth", "none")
			stderr, err := cmd.StderrPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			addresses := filepath.Join(dir, "addresses.json")
			log := bufio.NewScanner(stderr)
			for log.Scan() && !strings.Contains(log.Text(), "listening") {
			}
			if _, err := os.Stat(addresses); err != nil {
				t.Errorf("it listens, but does not tell where: %v", err)
			}
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			for log.Scan() {
			}
			if err := cmd.Wait(); err != nil {
				t.Errorf("exit: %v", err)
			}
			if _, err := os.Stat(addresses); err == nil {
				t.Error("addresses.json outlives the server")
			}
		})
	}
}
