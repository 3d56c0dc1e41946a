package resource_test

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/updraft-ota/updraft/coap"
	"github.com/updraft-ota/updraft/coap/resource"
	"github.com/updraft-ota/updraft/ota"
)

// device is a CoAP server on loopback, as a microcontroller would be one.
func device(t *testing.T, h coap.HandlerFunc) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &coap.Server{Handler: h}
	ctx, end := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, conn) }()
	t.Cleanup(func() { end(); <-ended })
	return conn.LocalAddr().String()
}

func TestADeviceIsTold(t *testing.T) {
	heard := make(chan string, 10)
	addr := device(t, func(w coap.ResponseWriter, r *coap.Request) {
		heard <- strings.Join([]string{r.Code.String(), r.Path(), string(r.Payload)}, " ")
		switch {
		case r.Path() == "/strange/suit/slot/inactive":
			coap.Write(w, coap.ContentCode, coap.TextPlain, []byte("one"))
		case strings.HasSuffix(r.Path(), "/suit/slot/inactive"):
			coap.Write(w, coap.ContentCode, coap.TextPlain, []byte("1"))
		case r.Path() == "/no":
			coap.Fail(w, coap.Forbidden, "not today")
		default:
			coap.Write(w, coap.Changed, coap.TextPlain, nil)
		}
	})
	var d resource.Trigger
	ctx := t.Context()
	for target, path := range map[string]string{addr + "/url": "/url", addr: "/", addr + "/a/b": "/a/b"} {
		if err := d.Post(ctx, target, "coap://[::1]/x/manifest"); err != nil {
			t.Errorf("%s: %v", target, err)
		}
		if got := <-heard; got != "0.02 "+path+" coap://[::1]/x/manifest" {
			t.Errorf("%s: the device heard %q", target, got)
		}
	}
	for target, path := range map[string]string{addr: "", addr + "/": "", addr + "/sub": "/sub"} {
		if n, err := d.Slot(ctx, target); n != 1 || err != nil {
			t.Errorf("%s: slot %d, %v", target, n, err)
		}
		if got := <-heard; got != "0.01 "+path+"/suit/slot/inactive " {
			t.Errorf("%s: the device heard %q", target, got)
		}
	}
	if _, err := d.Slot(ctx, addr+"/strange"); ota.KindOf(err) != ota.KindInvalid || !strings.Contains(err.Error(), "one") {
		t.Errorf("no number: %v", err)
	}
	if err := d.Post(ctx, addr+"/no", "x"); ota.CodeOf(err) != "refused_by_device" || !strings.Contains(err.Error(), "4.03") {
		t.Errorf("refused: %v", err)
	}
	for _, target := range []string{"[ff02::1]/x", "coap://" + addr, "", addr + "/a?b", "127.255.255.255/x"} {
		if err := d.Post(ctx, target, "x"); ota.CodeOf(err) != "invalid_target" {
			t.Errorf("%s: %v", target, err)
		}
	}
}

// Whoever wants to tell a device something, it hears one thing at a time.
func TestADeviceIsToldOneThingAtATime(t *testing.T) {
	entered, leave := make(chan string), make(chan struct{})
	addr := device(t, func(w coap.ResponseWriter, r *coap.Request) {
		entered <- r.Path()
		<-leave
		w.SetCode(coap.Changed)
	})
	var d resource.Trigger
	done := make(chan error)
	go func() { done <- d.Post(t.Context(), addr+"/first", "x") }()
	wantString(t, "it hears", <-entered, "/first")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	go func() { done <- d.Post(ctx, addr+"/impatient", "x") }()
	select {
	case path := <-entered:
		t.Errorf("it hears %s beside the first", path)
	case err := <-done:
		if ota.KindOf(err) != ota.KindUnreachable || err.Error() != "the device does not answer" {
			t.Errorf("%v", err)
		}
	}
	go func() { done <- d.Post(t.Context(), addr+"/second", "x") }()
	close(leave)
	if err := <-done; err != nil {
		t.Error(err)
	}
	wantString(t, "then", <-entered, "/second")
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestNobodyThere(t *testing.T) {
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err = new(resource.Trigger).Post(ctx, silent.LocalAddr().String()+"/x", "x")
	if ota.KindOf(err) != ota.KindUnreachable || err.Error() != "the device does not answer" {
		t.Errorf("%v", err)
	}
}
