package device

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/rvi"
	"github.com/updraft-ota/updraft/rvi/node"
)

// original is a server that speaks no more than it must, as in seed 001: it
// notifies when a vehicle's services come, and sends what is accepted.
type original struct {
	*testing.T
	*node.Node
	link    string
	unit    rvi.Unit
	content []byte

	mu       sync.Mutex
	vehicle  *rvi.Vehicle
	services rvi.DeviceServices
	reports  []rvi.Report
	packages chan rvi.Packages
}

func newOriginal(t *testing.T, u rvi.Unit, content []byte) *original {
	o := &original{T: t, unit: u, content: content, vehicle: rvi.NewVehicle(), packages: make(chan rvi.Packages, 10)}
	n, err := node.New(node.Options{Prefix: rvi.BackendPrefix, Plain: node.Vehicles(rvi.BackendPrefix), Audit: func(node.Event) {},
		Rights: node.Rights{{Receive: []string{rvi.BackendPrefix}, Invoke: []string{"genivi.org/"}}}, Announced: o.announced})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	o.Node = n
	for _, s := range rvi.AtBackend {
		if _, err := n.Handle(s.Local(), o.hear); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o.link = l.Addr().String()
	go n.ServeLink(l)
	return o
}

func (o *original) announced(a node.Announcement) {
	for _, s := range a.Services {
		if a.Available && rvi.ServiceOf(s) == rvi.ServiceNotify {
			m := rvi.Notify{Services: rvi.DefaultBackend()}
			if o.unit.Update == "" {
				m.Packages = []rvi.OfferedPackage{{Package: o.unit.Package, Size: 35_768}}
			} else {
				m.Update = &rvi.OfferedUpdate{Update: o.unit.Update, Description: "a test", Size: 35_768}
			}
			o.send(s, m)
		}
	}
}

func (o *original) send(service string, m rvi.Message) {
	if err := o.Send(context.Background(), service, m.AppendParams(nil), time.Minute); err != nil {
		o.Error(err)
	}
}

func (o *original) hear(_ context.Context, n node.Message) error {
	m, err := rvi.ReadAtBackend(n.Service, n.Params)
	if err == nil {
		err = rvi.CheckSender(m, n.Peer.Prefix)
	}
	if err != nil {
		o.Error(err)
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	var turn rvi.Turn
	switch m := m.(type) {
	case rvi.BackendStart:
		o.services = m.Services
		turn = o.vehicle.Begin([]rvi.File{{Unit: m.Units[0], Chunks: rvi.ChunkCount(int64(len(o.content))), Window: 1}}, time.Now())
	case rvi.Ack:
		turn, err = o.vehicle.Ack(m.Unit, m.Chunks, time.Now())
	case rvi.Report:
		o.reports = append(o.reports, m)
		turn = o.vehicle.Report(m.Unit, time.Now())
	case rvi.Packages:
		o.packages <- m
	}
	for _, order := range turn.Send {
		o.send(o.services.Name(order.Service), o.message(order))
	}
	return err
}

func (o *original) message(order rvi.Order) rvi.Message {
	switch order.Service {
	case rvi.ServiceStart:
		sum := sha1.Sum(o.content)
		return rvi.Start{Unit: o.unit, Chunks: rvi.ChunkCount(int64(len(o.content))), Checksum: hex.EncodeToString(sum[:]), Size: -1}
	case rvi.ServiceChunk:
		at := (order.Index - 1) * rvi.ChunkSize
		return rvi.Chunk{Unit: o.unit, Index: order.Index, Bytes: o.content[at:min(at+rvi.ChunkSize, len(o.content))]}
	case rvi.ServiceFinish:
		return rvi.Finish{Unit: o.unit, Signature: "s"}
	}
	return rvi.GetPackages{}
}

// A client is updated by a server that knows nothing of ours, in both dialects,
// with a node of its own and with one that is another program.
func TestTheClientOverRVI(t *testing.T) {
	const uuid, vin = "9ea653bc-3486-44cd-aa86-d936bd957e52", "VINOOLAM0FAU2DEEP"
	for dialect, u := range map[string]rvi.Unit{
		"2015": {Package: ota.PackageID{Name: "ghc", Version: "7.6-2"}},
		"2016": {Update: "0f3c2f0e-6a0b-4a0a-9d0b-7f3e0c9d1a11"},
	} {
		for _, own := range []bool{true, false} {
			t.Run(fmt.Sprint(dialect, " own node ", own), func(t *testing.T) {
				content := bytes.Repeat([]byte("0123456789"), 20_000)
				o := newOriginal(t, u, content)
				dir := t.TempDir()
				ctx, cancel := context.WithCancel(t.Context())
				var log syncBuffer
				ended := make(chan int, 2)
				begin := func(args ...string) {
					go func() { ended <- mainUntil(ctx, args, "test", Hooks{In: strings.NewReader(""), Out: &log, Log: &log}) }()
				}
				at := "server = '" + o.link + "'"
				programs := 1
				if !own {
					programs = 2
					who := []string{"node", "--vin", vin}
					if dialect == "2016" {
						who = []string{"node", "--device", uuid}
					}
					data := filepath.Join(dir, "node")
					begin(append(who, "--server", o.link, "--edge", "127.0.0.1:0", "--data", data)...)
					var addresses struct {
						Edge string `json:"rvi_edge"`
					}
					readWhenThere(t, filepath.Join(data, "addresses.json"), &addresses)
					at = "client = 'http://" + addresses.Edge + "'"
				}
				installed := filepath.Join(dir, "installed")
				if err := os.WriteFile(installed, nil, 0o600); err != nil {
					t.Fatal(err)
				}
				begin("--config", file(t, fmt.Sprintf(`
[device]
uuid = '%s'
vin = '%s'
packages_dir = '%s'
package_manager = 'file:%s'
system_info = 'off'
[gateway]
rvi = true
[network]
rvi_edge_server = '127.0.0.1:0'
[rvi]
dialect = '%s'
storage_dir = '%s'
%s
`, uuid, vin, filepath.Join(dir, "packages"), installed, dialect, filepath.Join(dir, "rvi"), at)))
				waitFor(t, "report", func() bool {
					o.mu.Lock()
					defer o.mu.Unlock()
					return len(o.reports) > 0
				})
				if r := o.reports[0]; r.Unit != u || !r.Of("x").Success() {
					t.Errorf("%+v", r)
				}
				for asked := range 2 { // after the start, and when it is asked
					select {
					case <-o.packages:
					case <-time.After(20 * time.Second):
						t.Error("the list of packages does not come", asked)
					}
				}
				cancel()
				for range programs {
					if s := <-ended; s != 0 {
						t.Errorf("exit %d: %s", s, log.String())
					}
				}
				if names, err := os.ReadDir(filepath.Join(dir, "rvi")); len(names) != 1 || err != nil {
					t.Error("chunks are left", names, err)
				}
				if text, err := os.ReadFile(installed); !strings.Contains(string(text), string(u.ID())) || err != nil {
					t.Errorf("installed: %s %v", text, err)
				}
			})
		}
	}
}
