package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/updraft-ota/updraft/coap"
)

// coapFile is what constrained peers fetch again and again, in bytes: as much
// as libcoap's server takes for its example.
const coapFile = 8 << 10

const (
	coapPeers = 50
	roleEnv   = "UPDRAFT_BENCH_ROLE" // of this program when it is a server
)

// constrained measures blocks of 1024 bytes beside libcoap's own server, and
// beside a program that answers each datagram with one as long as a block.
// Each server is a process of its own; all serve the same 50 peers.
func constrained(ctx context.Context, o options, dir string) error {
	file := dir + "/firmware"
	if err := os.WriteFile(file, []byte(strings.Repeat("firmware", coapFile/8)), 0o600); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	kinds := []struct {
		name, path string
		command    func(addr netip.AddrPort) *exec.Cmd
	}{
		{"our CoAP server", "/file", func(a netip.AddrPort) *exec.Cmd { return role(self, "coap", a, file) }},
		{"libcoap", "/example_data", func(a netip.AddrPort) *exec.Cmd {
			return exec.Command("coap-server-notls", "-A", a.Addr().String(), "-p", fmt.Sprint(a.Port()))
		}},
		{"bare responder", "/file", func(a netip.AddrPort) *exec.Cmd { return role(self, "responder", a, file) }},
	}
	addrs := make([]netip.AddrPort, len(kinds))
	for i, k := range kinds {
		if addrs[i], err = freePort(); err != nil {
			return err
		}
		stop, err := startServer(ctx, k.command(addrs[i]), addrs[i], k.path)
		if err != nil {
			return fmt.Errorf("%s: %w", k.name, err)
		}
		defer stop()
	}
	rates := make([][]float64, len(kinds))
	for r := -1; r < o.rounds; r++ { // round -1 warms up
		for i, k := range kinds {
			rate, err := fetchBlocks(addrs[i], k.path, coapPeers, o.round)
			if err != nil {
				return fmt.Errorf("%s: %w", k.name, err)
			}
			if r >= 0 {
				rates[i] = append(rates[i], rate)
			}
		}
	}
	fmt.Printf("\n%-18s %12s   (%d peers, 1024 bytes)\n", "", "blocks/s", coapPeers)
	for i, k := range kinds {
		fmt.Printf("%-18s %12.0f\n", k.name, median(rates[i]))
	}
	fmt.Printf("CoAP : libcoap                %s  (aim 1.5)\n", ratios(rates[0], rates[1]))
	fmt.Printf("CoAP : bare responder         %s  (aim 0.6)\n", ratios(rates[0], rates[2]))
	return nil
}

// role is this program as a server.
func role(self, name string, addr netip.AddrPort, file string) *exec.Cmd {
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %s", roleEnv, name, addr, file))
	cmd.Stderr = os.Stderr
	return cmd
}

func freePort() (netip.AddrPort, error) {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return netip.AddrPort{}, err
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort(), nil
}

// startServer starts a server, waits for it, and gives libcoap's the file.
func startServer(ctx context.Context, cmd *exec.Cmd, addr netip.AddrPort, path string) (stop func(), err error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("%w: scripts/bootstrap test installs it", err)
	}
	stop = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	if err = listening(addr); err == nil && path == "/example_data" {
		err = putFile(ctx, addr, path)
	}
	if err != nil {
		stop()
		return nil, err
	}
	return stop, nil
}

// listening waits until a ping is answered, somehow.
func listening(addr netip.AddrPort) error {
	c, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return err
	}
	defer c.Close()
	for range 100 {
		_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		_, _ = c.Write([]byte{0x40, 0, 0, 1}) // refused while nobody listens
		if _, err = c.Read(make([]byte, 1500)); err == nil {
			return nil
		}
		if errors.Is(err, syscall.ECONNREFUSED) {
			time.Sleep(50 * time.Millisecond)
		}
	}
	return err
}

func putFile(ctx context.Context, addr netip.AddrPort, path string) error {
	c, err := coap.Dial(ctx, addr.String())
	if err != nil {
		return err
	}
	defer c.Close()
	m, err := c.Put(ctx, path, coap.OctetStream, []byte(strings.Repeat("firmware", coapFile/8)))
	if err != nil {
		return err
	}
	return m.Err()
}

// playRole is what this program does as a server, until it is killed.
func playRole(ctx context.Context, play string) error {
	var name, addr, path string
	if _, err := fmt.Sscan(play, &name, &addr, &path); err != nil {
		return err
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	c, err := net.ListenPacket("udp4", addr)
	if err != nil {
		return err
	}
	if name == "responder" {
		return respond(c.(*net.UDPConn))
	}
	s := &coap.Server{Handler: oneFile{coap.Content{Body: file, Size: coapFile, ETag: "firmware", Format: coap.OctetStream}}}
	return s.Serve(ctx, c)
}

// oneFile is served whatever is asked for.
type oneFile struct{ content coap.Content }

func (f oneFile) Content(*coap.Request) (coap.Content, bool) { return f.content, true }

func (f oneFile) ServeCOAP(w coap.ResponseWriter, _ *coap.Request) { w.SendContent(f.content) }

// respond answers whatever comes with as many bytes as our server does.
func respond(c *net.UDPConn) error {
	in, out := make([]byte, 1500), make([]byte, 0, 1500)
	block := make([]byte, 1024)
	for {
		n, from, err := c.ReadFromUDPAddrPort(in)
		if err != nil {
			return err
		}
		token := int(in[0] & 15)
		if n < 4+token {
			continue
		}
		// An acknowledgement with its ID and token, and the options of ours.
		out = append(out[:0], 0x60|byte(token), byte(coap.ContentCode), in[2], in[3])
		out = append(out, in[4:4+token]...)
		out = append(out, "\x48firmware\x81\x2a\xb1\x0e\x52\x20\x00\xff"...)
		out = append(out, block...)
		if _, err := c.WriteToUDPAddrPort(out, from); err != nil && !errors.Is(err, syscall.ECONNREFUSED) {
			return err
		}
	}
}
