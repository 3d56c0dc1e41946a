package rvi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/rvi/node"
)

// vehicle is a Client whose node and backend are the test. Time is synctest's,
// unless the test is not in a bubble.
type vehicle struct {
	*testing.T
	opt     ClientOptions
	edge    bool
	size    int // of chunks
	client  *Client
	cancel  context.CancelFunc
	ended   chan struct{}
	offline bool // messages fail

	mu   sync.Mutex
	sent []parcelOut
}

type parcelOut struct {
	service string
	message BackendMessage
}

const ownUUID = "9ea653bc-3486-44cd-aa86-d936bd957e52"

func newVehicle(t *testing.T, dialect Dialect) *vehicle {
	return &vehicle{T: t, opt: ClientOptions{VIN: vin, Device: ownUUID, Dialect: dialect, Dir: filepath.Join(t.TempDir(), "rvi")}}
}

// inside tells a story in which time is ours.
func inside(t *testing.T, dialect Dialect, tell func(v *vehicle)) {
	t.Helper()
	v := newVehicle(t, dialect)
	synctest.Test(t, func(t *testing.T) {
		v.T = t
		defer func() {
			if v.client != nil {
				v.stop()
			}
		}()
		tell(v)
	})
}

// Send is the node's: what the vehicle says arrives.
func (v *vehicle) Send(_ context.Context, service string, params json.RawMessage, _ time.Duration) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.offline {
		return errors.New("no node")
	}
	m, err := ReadAtBackend(service, params)
	if err != nil {
		v.Errorf("the vehicle says %s: %v", params, err)
	}
	v.sent = append(v.sent, parcelOut{service, m})
	return nil
}

// start starts the client over what an earlier one left.
func (v *vehicle) start() {
	v.Helper()
	v.opt.chunkSize = v.size
	c, err := NewClient(v.opt)
	if err != nil {
		v.Fatal(err)
	}
	c.sender, c.edge = v, v.edge
	ctx, cancel := context.WithCancel(context.Background())
	v.client, v.cancel, v.ended = c, cancel, make(chan struct{})
	go func(ended chan struct{}) {
		defer close(ended)
		if err := c.Run(ctx); err != nil {
			v.Error(err)
		}
	}(v.ended)
}

// linked has the backend's services announced.
func (v *vehicle) linked(there bool) {
	s := DefaultBackend()
	v.client.Announced(node.Announcement{Services: []string{s.Start, s.Ack, s.Report, s.Packages}, Available: there})
	synctest.Wait()
}

func (v *vehicle) stop() {
	v.cancel()
	<-v.ended
	if err := v.client.Close(); err != nil {
		v.Error(err)
	}
	v.client = nil
}

// tell brings a message of the backend.
func (v *vehicle) tell(m DeviceMessage) error {
	return v.raw(m.Service().Local(), m.AppendParams(nil))
}

func (v *vehicle) raw(service string, params []byte) error {
	return v.client.hear(context.Background(), node.Message{Service: service, Params: params})
}

func (v *vehicle) must(m DeviceMessage) {
	v.Helper()
	if err := v.tell(m); err != nil {
		v.Fatal(err)
	}
	synctest.Wait()
}

// said are the messages since the last call, when all is quiet.
func (v *vehicle) said() (list []BackendMessage) {
	synctest.Wait()
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, p := range v.sent {
		list = append(list, p.message)
	}
	v.sent = nil
	return list
}

func (v *vehicle) expect(want ...BackendMessage) {
	v.Helper()
	if d := cmp.Diff(want, v.said(), cmp.Comparer(Chunks.Equal)); d != "" {
		v.Errorf("the vehicle says (-want +got):\n%s", d)
	}
}

// notices are those that wait.
func (v *vehicle) notices() (list []ota.Notice) {
	synctest.Wait()
	for {
		ctx, cancel := context.WithTimeout(context.Background(), time.Nanosecond)
		n, err := v.client.Next(ctx)
		cancel()
		if err != nil {
			return list
		}
		list = append(list, n)
	}
}

// fetched is what a reader of an update has got.
type fetched struct {
	content *ota.Content
	bytes   bytes.Buffer
	err     error // nil at the end of the file
	done    chan struct{}
	cancel  context.CancelFunc
}

// fetch reads an update in the background.
func (v *vehicle) fetch(q ota.FetchRequest) *fetched {
	ctx, cancel := context.WithCancel(context.Background())
	f := &fetched{done: make(chan struct{}), cancel: cancel}
	c := v.client
	go func() {
		defer close(f.done)
		defer cancel()
		if f.content, f.err = c.Fetch(ctx, q); f.err != nil {
			return
		}
		defer f.content.Body.Close()
		_, f.err = io.Copy(&f.bytes, onlyReader{f.content.Body})
	}()
	synctest.Wait()
	return f
}

// file is one that the backend has, and its chunks.
type testFile struct {
	start Start
	bytes []byte
	size  int
}

func newFile(u Unit, content []byte, chunkSize int) testFile {
	sums := sumsOf(content)
	s := StartOf(u, ota.Artifact{Sums: sums, Signature: "sig"})
	if chunkSize != ChunkSize {
		s.Chunks, s.Size = (len(content)+chunkSize-1)/chunkSize, -1
	}
	return testFile{s, content, chunkSize}
}

func (f testFile) chunk(i int) Chunk {
	return Chunk{Unit: f.start.Unit, Index: i, Bytes: f.bytes[(i-1)*f.size : min(i*f.size, len(f.bytes))]}
}

func (f testFile) finish() Finish { return Finish{Unit: f.start.Unit} }

// original is the start without what is ours.
func (f testFile) original() Start {
	return Start{Unit: f.start.Unit, Chunks: f.start.Chunks, Checksum: f.start.Checksum, Size: -1}
}

var own15 = Identity{VIN: vin}

func notify15(p ota.PackageID, size int) Notify {
	return Notify{Services: DefaultBackend(), Packages: []OfferedPackage{{Package: p, Size: int64(size)}}}
}

func ackOf(held ...int) Ack { return Ack{From: own15, Unit: unit, Chunks: ChunkSet(held...)} }

func begin15() BackendStart {
	return BackendStart{From: own15, Units: []Unit{unit}, Services: ServicesOf(own15), Window: DefaultWindow}
}

func report15(code ota.ResultCode, text string) Report {
	return Report{From: own15, Unit: unit, Results: []ota.OperationResult{flatResult(code.Success(), text)}}
}

// left lists the files in the client's directory.
func (v *vehicle) left() (names []string) {
	entries, err := os.ReadDir(v.opt.Dir)
	if err != nil {
		v.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != stateFile {
			names = append(names, e.Name())
		}
	}
	return names
}
