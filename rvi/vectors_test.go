package rvi

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The files of testdata are the vectors of rvi.md 7.

const (
	vin        = "VINOOLAM0FAU2DEEP"
	vinOwner   = "genivi.org/vin/" + vin + "/"
	uuidOwner  = "genivi.org/device/9ea653bc-3486-44cd-aa86-d936bd957e52/"
	someUpdate = "0f3c2f0e-6a0b-4a0a-9d0b-7f3e0c9d1a11"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func load(t testing.TB, name string, into any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatal(name, err)
	}
}

// vector is one line of index.json.
type vector struct {
	File, Layer, Direction, Receiver, Dialect string
	Expect                                    struct {
		Action, Reason, Hex, SHA1 string
		Code                      int
		NextChunk                 int `json:"next_chunk"`
		Size                      *int
		Success                   *bool
	}
	State struct {
		SenderPrefix string `json:"sender_prefix"`
		Transfer     json.RawMessage
	}
}

func (v vector) name() string { return strings.TrimSuffix(filepath.Base(v.File), ".json") }

// at tells whether the message is for a device.
func (v vector) atDevice() bool {
	return v.Receiver == "device" || v.Direction == "backend->device"
}

// vectors are the lines of index.json for this layer: "valid" or "invalid".
func vectors(t testing.TB, kind string) []vector {
	var index struct{ Valid, Invalid []vector }
	load(t, "index.json", &index)
	all := index.Valid
	if kind == "invalid" {
		all = index.Invalid
	}
	var ours []vector
	for _, v := range all {
		if v.Layer == "sota" {
			ours = append(ours, v)
		}
	}
	if len(ours) < 30 {
		t.Fatalf("only %d %s vectors", len(ours), kind)
	}
	return ours
}

// call is what is in a vector's file.
type call struct {
	ID     json.RawMessage
	Method string
	Params struct {
		Service    string `json:"service_name"`
		Timeout    int64
		Parameters json.RawMessage
	}
}

func (v vector) call(t testing.TB) call {
	t.Helper()
	var c call
	load(t, v.File, &c)
	return c
}

// read reads a vector's message in the role of its receiver.
func (v vector) read(t testing.TB) (Message, error) {
	t.Helper()
	c := v.call(t)
	return readAs(v.atDevice(), c.Params.Service, c.Params.Parameters)
}

func readAs(device bool, service string, params []byte) (Message, error) {
	if device {
		return ReadAtDevice(service, params)
	}
	return ReadAtBackend(service, params)
}

func owner(v vector) string {
	if v.State.SenderPrefix != "" {
		return v.State.SenderPrefix
	}
	if strings.HasPrefix(v.name(), "sota16-") {
		return uuidOwner
	}
	return vinOwner
}
