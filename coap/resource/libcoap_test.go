package resource_test

import (
	"bytes"
	"context"
	"net"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// lines is what a program says, as it says it.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) has(s string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.b.String(), s)
}

func TestLibcoapObservesWhatItIsToInstall(t *testing.T) {
	w := newWorld(t)
	n := named("node")
	n.Plain = true
	d, _ := w.add(n)
	var said lines
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "coap-client-notls", "-s", "60", "-v", "7", "-m", "get", "coap://"+w.addr+"/u/node")
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatalf("coap-client-notls (Debian package libcoap3-bin): %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer func() { cancel(); <-ended }()
	until(t, "it observes", func() bool { return said.has("Observe:1") || said.has("Observe:0") || said.has("Observe:2") })

	first, second := w.publish("one", "manifest", "m1"), w.publish("two", "manifest", "m2")
	w.send(d, first)
	until(t, "the first", func() bool { return said.has("/m/" + short("m1")) })
	w.send(d, second)
	wantString(t, "report", w.tells(w.dial(), "/r/node", "a2 01 00 02 00"), "2.04 ")
	until(t, "what comes next", func() bool { return said.has("/m/" + short("m2")) })
}

// freeAddress is one on loopback that nobody listens at, by UDP or TCP:
// programs of libcoap take the port of both.
func freeAddress(t *testing.T) (addr, port string) {
	t.Helper()
	for range 100 {
		packets, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr = packets.LocalAddr().String()
		streams, err := net.Listen("tcp", addr)
		packets.Close()
		if err == nil {
			streams.Close()
			_, port, _ = net.SplitHostPort(addr)
			return addr, port
		}
	}
	t.Fatal("there is no port that is free for UDP and TCP")
	return "", ""
}

func TestLibcoapIsTriggered(t *testing.T) {
	addr, port := freeAddress(t)
	var said lines
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	server := exec.CommandContext(ctx, "coap-server-notls", "-A", "127.0.0.1", "-p", port, "-d", "10", "-v", "7")
	server.Stdout, server.Stderr = &said, &said
	if err := server.Start(); err != nil {
		t.Fatalf("coap-server-notls (Debian package libcoap3-bin): %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Wait() }()
	defer func() { cancel(); <-ended }()
	// The device has the resource once somebody puts something there.
	until(t, "the device is there", func() bool {
		return exec.CommandContext(ctx, "coap-client-notls", "-m", "put", "-e", "NONE", "-B", "1", "coap://"+addr+"/suit/trigger").Run() == nil && said.has("NONE")
	})
	w := newWorld(t)
	n := named("node")
	n.Address = addr
	d, _ := w.add(n)
	u := w.send(d, w.publish("app", "manifest", "m"))
	until(t, "it is told", func() bool { return said.has("/m/" + short("m")) })
	w.comes(d, u, "InFlight")
}
