package coap_test

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"net"
	"strings"

	"github.com/updraft-ota/updraft/coap"
)

// firmware serves files that are known at once, and lets everything else be
// handled at leisure.
type firmware struct{ files map[string]coap.Content }

func (f firmware) Content(r *coap.Request) (coap.Content, bool) {
	c, ok := f.files[string(r.PathBytes())] // no copy, no memory
	return c, ok
}

func (f firmware) ServeCOAP(w coap.ResponseWriter, r *coap.Request) {
	coap.Fail(w, coap.NotFound, "there is no %s", r.Path())
}

// A server with files and a resource to observe, and a client that asks it.
func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	image := strings.Repeat("firmware", 1000)
	var mux coap.Mux
	mux.Handle("/fw", firmware{map[string]coap.Content{
		"/fw/file1": {Body: strings.NewReader(image), Size: int64(len(image)), ETag: "v1", Format: coap.OctetStream},
	}})
	mux.Handle("/u", coap.HandlerFunc(func(w coap.ResponseWriter, r *coap.Request) {
		w.Observable() // until Server.Changed("/u/device1")
		coap.Write(w, coap.ContentCode, coap.TextPlain, []byte("version 1 for "+r.Segments()[1]))
	}))
	server := &coap.Server{Handler: &mux}

	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	served := make(chan error)
	go func() { served <- server.Serve(ctx, socket) }()

	client, err := coap.Dial(ctx, socket.LocalAddr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	m, err := client.Get(ctx, "/fw/file1")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(m.Code, len(m.Payload), bytes.Equal(m.Payload, []byte(image)))
	for m, err := range client.Observe(ctx, "/u/device1") {
		fmt.Println(m.Code, string(m.Payload), err)
		break
	}
	cancel()
	fmt.Println(<-served)
	// Output:
	// 2.05 8000 true
	// 2.05 version 1 for device1 <nil>
	// <nil>
}
