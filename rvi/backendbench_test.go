package rvi

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/rvi/node"
)

// What a backend may hold of a vehicle, in heap and stacks after a collection,
// beside the link and what is being sent.
const (
	idleTalk   = 3 << 10
	activeTalk = 8 << 10
)

func TestAVehicleCostsLittle(t *testing.T) {
	const vehicles = 100
	synctest.Test(t, func(t *testing.T) {
		p := benched{&pushed{file: ota.Artifact{Sums: ota.Sums{Size: 4 * ChunkSize, SHA1: strings.Repeat("a", 40), SHA256: ota.Digest(strings.Repeat("b", 64))}}}}
		s := &server{t: t, backend: NewBackend(BackendOptions{Devices: p, Feed: p})}
		s.backend.carrier, s.backend.services = s, DefaultBackend
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { _ = s.backend.Run(ctx) }()
		inUse := func() int64 {
			s.take()
			runtime.GC()
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return int64(m.HeapAlloc + m.StackInuse)
		}
		cars := make([]*car, vehicles)
		for i := range cars {
			who := Identity{VIN: fmt.Sprintf("VIN%014d", i)}
			cars[i] = &car{server: s, prefix: who.Prefix(), who: who}
		}
		step := func(do func(*car)) int64 {
			do(cars[0]) // what the first one leaves behind is nobody's
			before := inUse()
			for _, c := range cars[1:] {
				do(c)
				s.take()
			}
			return (inUse() - before) / (vehicles - 1)
		}
		idle := step(func(c *car) { c.comes() })
		active := step(func(c *car) {
			c.accepts(Unit{Package: ghc})
			c.holds(Unit{Package: ghc})
			c.holds(Unit{Package: ghc}, 1)
		})
		t.Logf("%d bytes idle, %d with a transfer", idle, active)
		if idle > idleTalk || active > activeTalk {
			t.Error("that is too much")
		}
		runtime.KeepAlive(cars)
	})
}

// pushed is a fleet of one update for benchmarks: it keeps nothing.
type pushed struct {
	ota.Push
	file ota.Artifact
}

// benched are its devices and its feed.
type benched struct{ *pushed }

func (benched) Vehicle(_ context.Context, vin string) (ota.DeviceID, error) {
	return ota.DeviceID(vin), nil
}
func (benched) Known(context.Context, ota.DeviceID) error { return nil }
func (b benched) Push(ota.DeviceID) ota.Push              { return b.pushed }
func (benched) Next(ctx context.Context) (ota.DeviceID, ota.Notice, error) {
	<-ctx.Done()
	return "", nil, ctx.Err()
}

func (p *pushed) Heard()                                                    {}
func (p *pushed) PutContact(context.Context, string, json.RawMessage) error { return nil }
func (p *pushed) Sent(context.Context, ota.UpdateID) error                  { return nil }
func (p *pushed) Contact(context.Context, string) (json.RawMessage, error) {
	return nil, ota.Fail(ota.KindNotFound, "missing_entity", "none")
}

func (p *pushed) Queue(context.Context) ([]ota.QueueEntry, error) {
	u := ota.Update{ID: someUpdate, Package: ghc, Status: ota.Pending}
	return []ota.QueueEntry{{Update: u, Package: ota.Package{ID: ghc, Artifacts: []ota.Artifact{p.file}}}}, nil
}

func (p *pushed) Fetch(context.Context, ota.FetchRequest) (*ota.Content, error) {
	return &ota.Content{Body: zeros{strings.NewReader("")}, Size: p.file.Size, Digest: p.file.SHA256}, nil
}

// zeros is a file of any size.
type zeros struct{ *strings.Reader }

func (zeros) Read(b []byte) (int, error)          { clear(b); return len(b), nil }
func (zeros) Seek(at int64, _ int) (int64, error) { return at, nil }
func (zeros) Close() error                        { return nil }

// BenchmarkTransfer sends chunks as a server does, to a vehicle that only
// acknowledges them; see node's BenchmarkBareChunks.
func BenchmarkTransfer(b *testing.B) {
	p := &pushed{file: ota.Artifact{Sums: ota.Sums{Size: MaxChunks * ChunkSize, SHA1: strings.Repeat("a", 40), SHA256: ota.Digest(strings.Repeat("b", 64))}}}
	back := NewBackend(BackendOptions{Devices: benched{p}, Feed: benched{p}, Log: slog.Default()})
	quiet := func(node.Event) {}
	server, err := node.New(node.Options{Prefix: BackendPrefix, Plain: node.Vehicles(BackendPrefix), Audit: quiet, Announced: back.Announced,
		Rights: node.Rights{{Receive: []string{backendRights}, Invoke: []string{"genivi.org/vin/"}}}})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = server.Close() }()
	if err := back.AttachNode(server); err != nil {
		b.Fatal(err)
	}
	car, err := node.New(node.Options{Prefix: vinOwner, Plain: node.Backend(BackendPrefix, vinOwner), Audit: quiet,
		Rights: node.Rights{{Receive: []string{vinOwner}, Invoke: []string{backendRights}}}})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = car.Close() }()
	acked := make(chan struct{})
	ack := func(ctx context.Context, chunks string) error {
		return car.Send(ctx, DefaultBackend().Ack, json.RawMessage(`[{"package":{"name":"ghc","version":"7.6.2"},"chunks":[`+chunks+`],"vin":"`+vin+`"}]`), time.Minute)
	}
	handle := func(s Service, h node.Handler) {
		if _, err := car.Handle(s.Local(), h); err != nil {
			b.Fatal(err)
		}
	}
	for _, s := range AtDevice {
		handle(s, func(context.Context, node.Message) error { return nil })
	}
	who := Identity{VIN: vin}
	handle(ServiceNotify, func(ctx context.Context, _ node.Message) error {
		m := BackendStart{From: who, Units: []Unit{{Package: ghc}}, Services: ServicesOf(who)}
		return car.Send(ctx, DefaultBackend().Start, m.AppendParams(nil), time.Minute)
	})
	handle(ServiceStart, func(ctx context.Context, _ node.Message) error { return ack(ctx, "") })
	n := 0
	handle(ServiceChunk, func(ctx context.Context, m node.Message) error {
		var c []struct{ Bytes string }
		if err := json.Unmarshal(m.Params, &c); err != nil {
			return err
		}
		acked <- struct{}{}
		n++
		return ack(ctx, fmt.Sprint(n)) // a short list, as the length is not the matter here
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go func() { _ = server.ServeLink(l) }()
	go func() { _ = car.Connect(b.Context(), l.Addr().String()) }()
	b.SetBytes(ChunkSize)
	for b.Loop() {
		<-acked
	}
	go func() {
		for range acked {
		}
	}()
}
