package coap

import (
	"context"
	"net"
	"testing"
	"time"
)

// anywhere serves on all addresses and returns the port.
func anywhere(t *testing.T, network, address string) int {
	t.Helper()
	c, err := net.ListenPacket(network, address)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld()
	w.file("/f", 100)
	background(t, func(ctx context.Context) error { return w.srv.Serve(ctx, c) })
	return c.LocalAddr().(*net.UDPAddr).Port
}

// ask sends a ping from a socket that hears only whom it asked.
func ask(t *testing.T, network string, ip net.IP, port int) bool {
	t.Helper()
	c, err := net.DialUDP(network, nil, &net.UDPAddr{IP: ip, Port: port})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := c.Write([]byte{0x40, 0, 0x12, 0x34}); err != nil {
		t.Fatal(err)
	}
	n, err := c.Read(make([]byte, 100))
	return err == nil && n == 4
}

func TestAnswersComeFromTheAddressAsked(t *testing.T) {
	port := anywhere(t, "udp4", "0.0.0.0:0")
	for _, ip := range []net.IP{net.IPv4(127, 0, 0, 1), net.IPv4(127, 0, 0, 2), net.IPv4(127, 9, 9, 9)} {
		if !ask(t, "udp4", ip, port) {
			t.Errorf("no answer from %v", ip)
		}
	}
	port = anywhere(t, "udp", "[::]:0")
	if !ask(t, "udp6", net.IPv6loopback, port) {
		t.Error("no answer from ::1")
	}
	if !ask(t, "udp4", net.IPv4(127, 0, 0, 2), port) {
		t.Error("no answer from 127.0.0.2 by a socket for both")
	}
}

// What is sent to everybody is answered, and handled, by nobody.
func TestBroadcastsAreNotAnswered(t *testing.T) {
	for network, address := range map[string]string{"udp4": "0.0.0.0:0", "udp": "[::]:0"} {
		s, err := net.ListenPacket(network, address)
		if err != nil {
			t.Fatal(err)
		}
		w := newWorld()
		background(t, func(ctx context.Context) error { return w.srv.Serve(ctx, s) })
		port := s.LocalAddr().(*net.UDPAddr).Port
		if !ask(t, "udp4", net.IPv4(127, 0, 0, 1), port) {
			t.Fatal("the server does not run")
		}
		c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for _, datagram := range []string{"4000bbbb", "4002bbbb b4706f7374 ff 6869"} {
			if _, err := c.WriteToUDP(unhex(t, datagram), &net.UDPAddr{IP: net.IPv4(127, 255, 255, 255), Port: port}); err != nil {
				t.Fatal(err)
			}
		}
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		b := make([]byte, 100)
		for range 10 {
			if _, err := c.WriteToUDP(unhex(t, "40001234"), &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}); err != nil {
				t.Fatal(err)
			}
			n, _, err := c.ReadFromUDP(b)
			if err != nil || n != 4 || b[2] == 0xBB {
				t.Fatalf("%s: got %x, %v", address, b[:n], err)
			}
		}
		if n := len(w.posted()); n != 0 {
			t.Errorf("%s: %d handlers ran", address, n)
		}
	}
}
