package rvi

import (
	"bytes"
	"context"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/rvi/node"
)

// cutter is a connection that breaks when so much has come.
type cutter struct {
	net.Conn
	left int
}

func (c *cutter) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.left -= n; c.left < 0 {
		_ = c.Conn.Close()
		return 0, io.ErrUnexpectedEOF
	}
	return n, err
}

// Both halves of ours, with real nodes and a link that breaks in the middle:
// only what was under way comes twice.
func TestAClientAndABackend(t *testing.T) {
	for _, external := range []bool{false, true} {
		t.Run(map[bool]string{false: "link", true: "edge"}[external], func(t *testing.T) {
			t.Parallel() // a link takes seconds to come back
			content := bytes.Repeat([]byte("0123456789abcdef"), 100_000)
			w := newWire(t, external)
			w.addVehicle(vin)
			w.put(ghc, string(content))
			film := w.send(ghc)

			var chunks atomic.Int32
			v := newVehicle(t, Dialect2015)
			c, err := NewClient(v.opt)
			if err != nil {
				t.Fatal(err)
			}
			first := true
			n, err := node.New(node.Options{Prefix: vinOwner, Plain: node.Backend(BackendPrefix, vinOwner), Announced: c.Announced, Audit: func(node.Event) {},
				Rights: node.Rights{{Receive: []string{vinOwner}, Invoke: []string{backendRights}}},
				Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
					conn, err := new(net.Dialer).DialContext(ctx, network, addr)
					if err == nil && first {
						first = false
						conn = &cutter{conn, 1 << 20}
					}
					return conn, err
				}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = n.Close() })
			if err := c.AttachNode(n); err != nil {
				t.Fatal(err)
			}
			if _, err := n.Handle(ServiceChunk.Local(), func(ctx context.Context, m node.Message) error {
				chunks.Add(1)
				return c.hear(ctx, m)
			}); err != nil {
				t.Fatal(err)
			}
			s := &script{T: t, client: c}
			s.run(func(ctx context.Context) error { return n.Connect(ctx, w.addr) })

			offered, err := c.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			id := offered.(ota.Offered).Offers[0].Update
			body, err := c.Fetch(t.Context(), ota.FetchRequest{Update: id})
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(body.Body)
			if err != nil || !bytes.Equal(got, content) {
				t.Fatal(len(got), err)
			}
			c.Release(id)
			if err := c.Report(t.Context(), ota.Outcome(id, ota.OK, "")); err != nil {
				t.Fatal(err)
			}
			w.until("finished", func() bool {
				time.Sleep(5 * time.Millisecond)
				return w.status(film) == "Finished"
			})
			if n, all := int(chunks.Load()), ChunkCount(int64(len(content))); n < all || n > all+DefaultWindow {
				t.Errorf("%d chunks came, of %d", n, all)
			}
		})
	}
}
