package rvi

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-ota/updraft/ota"
)

func TestNextChunk(t *testing.T) {
	var file struct {
		Cases []struct {
			Chunkscount int
			Ack         []int
			Next        any
		}
	}
	load(t, "next-chunk.json", &file)
	for _, c := range file.Cases {
		s := NewSender(Unit{Package: ghc}, c.Chunkscount, 1)
		s.Start(noon)
		orders, err := s.Ack(ChunkSet(c.Ack...), noon)
		if err != nil {
			t.Fatal(err)
		}
		want := Order{Service: ServiceFinish, Unit: Unit{Package: ghc}}
		if n, ok := c.Next.(float64); ok {
			want.Service, want.Index = ServiceChunk, int(n)
		}
		if d := cmp.Diff([]Order{want}, orders); d != "" {
			t.Errorf("%v: %s", c, d)
		}
	}
}

// TestFilesAreCutAndAssembled sends the files of transfer.json from a Sender to
// a Device and looks at each chunk on the way.
func TestFilesAreCutAndAssembled(t *testing.T) {
	var file struct {
		Cases []struct {
			Size             int
			Chunkscount      int
			Checksum, SHA256 string
			Chunks           []struct {
				Index, Offset, Size int
				Length              int    `json:"base64_length"`
				Head                string `json:"base64_head"`
				Tail                string `json:"base64_tail"`
			}
		}
	}
	load(t, "transfer.json", &file)
	for _, c := range file.Cases {
		content := make([]byte, c.Size)
		for i := range content {
			content[i] = byte((7*i + 3) % 251)
		}
		sums := sumsOf(content)
		start := StartOf(Unit{Package: ghc}, ota.Artifact{Sums: sums})
		if start.Chunks != c.Chunkscount || start.Checksum != c.Checksum || string(start.SHA256) != c.SHA256 {
			t.Errorf("%d bytes: %+v", c.Size, start)
		}
		var d Device
		if fresh, err := d.Start(start, noon); !fresh || err != nil {
			t.Fatal(fresh, err)
		}
		var got bytes.Buffer
		for _, want := range c.Chunks {
			piece := Chunk{Unit: start.Unit, Index: want.Index, Bytes: content[want.Offset : want.Offset+want.Size]}
			text := unwrap(t, piece.AppendParams(nil)).(map[string]any)["bytes"].(string)
			if len(text) != want.Length || !strings.HasPrefix(text, want.Head) || !strings.HasSuffix(text, want.Tail) {
				t.Errorf("chunk %d of %d is %.20s…", want.Index, c.Size, text)
			}
			place, err := d.Chunk(piece, noon)
			if err != nil || place != (Place{Write: true, Offset: int64(want.Offset)}) {
				t.Fatal(place, err)
			}
			got.Write(piece.Bytes)
			d.Stored(start.Unit, want.Index, noon)
		}
		if ending, err := d.Finish(Finish{Unit: start.Unit}, noon); ending != Check || err != nil {
			t.Error(ending, err)
		}
		if err := d.Checked(start.Unit, sumsOf(got.Bytes())); err != nil {
			t.Error(err)
		}
	}
}

func sumsOf(b []byte) ota.Sums {
	s1, s2 := sha1.Sum(b), sha256.Sum256(b)
	return ota.Sums{Size: int64(len(b)), SHA1: hex.EncodeToString(s1[:]), SHA256: ota.Digest(hex.EncodeToString(s2[:]))}
}

// session is one of the recorded conversations.
type session struct {
	ChunkSize int    `json:"chunk_size"`
	Payload   string `json:"payload_base64"`
	Steps     []struct {
		From    string
		Message call
	}
}

func readSession(t *testing.T, name string) (s session, content []byte) {
	t.Helper()
	load(t, "sessions/"+name, &s)
	content, err := base64.StdEncoding.DecodeString(s.Payload)
	if err != nil {
		t.Fatal(err)
	}
	return s, content
}

// said are the session's messages between device and backend, in order.
func (s session) said() (list []call, fromDevice []bool) {
	for _, step := range s.Steps {
		if step.Message.Method == "message" {
			list, fromDevice = append(list, step.Message), append(fromDevice, step.From == "device")
		}
	}
	return list, fromDevice
}

// TestRecordedSessionsAtTheBackend plays the device's half to a Vehicle and
// expects the backend's half, field for field.
func TestRecordedSessionsAtTheBackend(t *testing.T) {
	for _, name := range []string{"2015-single-chunk.json", "2015-resume.json"} {
		s, content := readSession(t, name)
		calls, fromDevice := s.said()
		chunks := (len(content) + s.ChunkSize - 1) / s.ChunkSize
		v := NewVehicle()
		unit := Unit{Package: ghc}
		var turn Turn
		if name == "2015-resume.json" { // it begins after the BackendStart
			turn = v.Begin([]File{{Unit: unit, Chunks: chunks}}, noon)
		}
		for i, c := range calls {
			if ServiceOf(c.Params.Service) == ServiceNotify {
				continue
			}
			if !fromDevice[i] {
				want := unwrap(t, c.Params.Parameters)
				if len(turn.Send) != 1 {
					t.Fatalf("%s: %v, want %s %v", name, turn.Send, c.Params.Service, want)
				}
				got := message(turn.Send[0], chunks, s.ChunkSize, content)
				if d := cmp.Diff(want, unwrap(t, got.AppendParams(nil))); d != "" || got.Service().Local() != c.Params.Service {
					t.Errorf("%s: %s", got.Service(), d)
				}
				turn = Turn{}
				continue
			}
			m, err := ReadAtBackend(c.Params.Service, c.Params.Parameters)
			if err != nil {
				t.Fatal(err)
			}
			if err := CheckSender(m, vinOwner); err != nil {
				t.Fatal(err)
			}
			switch m := m.(type) {
			case BackendStart:
				turn = v.Begin([]File{{Unit: m.Units[0], Chunks: chunks, Window: m.Window}}, noon)
			case Ack:
				turn, err = v.Ack(m.Unit, m.Chunks, noon)
			case Report:
				turn = v.Report(m.Unit, noon)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if !v.Idle() {
			t.Errorf("%s: something is left: %v", name, v.Progress())
		}
	}
}

// message makes the message of an order, as the server does.
func message(o Order, chunks, chunkSize int, content []byte) Message {
	switch o.Service {
	case ServiceStart:
		return Start{Unit: o.Unit, Chunks: chunks, Checksum: sumsOf(content).SHA1, Size: -1}
	case ServiceChunk:
		from := (o.Index - 1) * chunkSize
		return Chunk{Unit: o.Unit, Index: o.Index, Bytes: content[from:min(from+chunkSize, len(content))]}
	case ServiceFinish:
		return Finish{Unit: o.Unit}
	case ServiceAbort:
		return Abort{}
	}
	return GetPackages{}
}

// TestRecordedSessionsAtTheDevice plays the backend's half to a Device and
// expects the device's half, field for field.
func TestRecordedSessionsAtTheDevice(t *testing.T) {
	for _, name := range []string{"2015-single-chunk.json", "2015-resume.json"} {
		s, content := readSession(t, name)
		calls, fromDevice := s.said()
		d := Device{ChunkSize: s.ChunkSize}
		if name == "2015-resume.json" {
			d.Restore(Start{Unit: Unit{Package: ghc}, Chunks: 5, Checksum: sumsOf(content).SHA1, Size: -1}, ChunkSet(1, 2, 5), Receiving, noon)
		}
		own := Identity{VIN: vin}
		var answer Message
		for i, c := range calls {
			if fromDevice[i] {
				if answer == nil {
					t.Fatalf("%s: no answer, want %s", name, c.Params.Parameters)
				}
				want := reportLike(t, c)
				if d := cmp.Diff(want, unwrap(t, answer.AppendParams(nil))); d != "" {
					t.Errorf("%s: %s", name, d)
				}
				answer = nil
				if ServiceOf(c.Params.Service) == ServiceReport {
					d.Reported(Unit{Package: ghc}, noon)
				}
				continue
			}
			m, err := ReadAtDevice(c.Params.Service, c.Params.Parameters)
			if err != nil {
				t.Fatal(err)
			}
			answer = answerOf(t, &d, own, m, content)
		}
	}
}

// reportLike is what the session says, with the texts and packages that the
// test's installer gives.
func reportLike(t *testing.T, c call) any {
	v := unwrap(t, c.Params.Parameters).(map[string]any)
	if _, ok := v["description"]; ok {
		v["description"] = "done"
	}
	return v
}

func answerOf(t *testing.T, d *Device, own Identity, m DeviceMessage, content []byte) Message {
	var err error
	switch m := m.(type) {
	case Notify:
		unit := Unit{Package: m.Packages[0].Package}
		d.Ask(unit, noon)
		return BackendStart{From: own, Units: []Unit{unit}, Services: ServicesOf(own)}
	case Start:
		_, err = d.Start(m, noon)
		if err == nil {
			return Ack{From: own, Unit: m.Unit, Chunks: d.Held(m.Unit)}
		}
	case Chunk:
		_, err = d.Chunk(m, noon)
		if err == nil {
			d.Stored(m.Unit, m.Index, noon)
			return Ack{From: own, Unit: m.Unit, Chunks: d.Held(m.Unit)}
		}
	case Finish:
		var ending Ending
		if ending, err = d.Finish(m, noon); ending == Check && err == nil {
			if err = d.Checked(m.Unit, sumsOf(content)); err == nil {
				return Report{From: own, Unit: m.Unit, Results: []ota.OperationResult{{Text: "done"}}}
			}
		}
	case GetPackages:
		return Packages{From: own, Form: Dialect2015, Packages: []InstalledPackage{{PackageID: ghc}}}
	}
	t.Fatal(m, err)
	return nil
}

func at(seconds int) time.Time { return noon.Add(time.Duration(seconds) * time.Second) }
