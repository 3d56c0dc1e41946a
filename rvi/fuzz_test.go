package rvi

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Each message has a fuzz target: whatever bytes come, reading them ends, and
// what is taken is written so that it is read as the same.

func fuzz(f *testing.F, device bool, service Service) {
	for _, kind := range []string{"valid", "invalid"} {
		for _, v := range vectors(f, kind) {
			if c := v.call(f); v.atDevice() == device && ServiceOf(c.Params.Service) == service {
				f.Add([]byte(c.Params.Parameters))
			}
		}
	}
	f.Fuzz(func(t *testing.T, params []byte) {
		m, err := readAs(device, service.Local(), params)
		if err != nil {
			if o := RefusedAtDevice(err); o.Reason == "internal" || o.Reason == "" {
				t.Errorf("a fault of theirs is told as one of ours: %v", err)
			}
			return
		}
		again, err := readAs(device, service.Local(), m.AppendParams(nil))
		if err != nil {
			t.Fatalf("%v: %s", err, m.AppendParams(nil))
		}
		if d := cmp.Diff(m, again); d != "" {
			t.Error(d)
		}
	})
}

func FuzzNotify(f *testing.F)       { fuzz(f, true, ServiceNotify) }
func FuzzStart(f *testing.F)        { fuzz(f, true, ServiceStart) }
func FuzzChunk(f *testing.F)        { fuzz(f, true, ServiceChunk) }
func FuzzFinish(f *testing.F)       { fuzz(f, true, ServiceFinish) }
func FuzzGetPackages(f *testing.F)  { fuzz(f, true, ServiceGetPackages) }
func FuzzAbort(f *testing.F)        { fuzz(f, true, ServiceAbort) }
func FuzzBackendStart(f *testing.F) { fuzz(f, false, ServiceStart) }
func FuzzAck(f *testing.F)          { fuzz(f, false, ServiceAck) }
func FuzzReport(f *testing.F)       { fuzz(f, false, ServiceReport) }
func FuzzPackages(f *testing.F)     { fuzz(f, false, ServicePackages) }

// FuzzJSON compares the reader's idea of JSON with that of encoding/json.
func FuzzJSON(f *testing.F) {
	for _, s := range []string{`{"a":[1,-2.5e3,"\u00e9\n",{}],"b":null}`, `[`, `{"a"}`, `"\x"`, `01`, ` [ ] `, `{"a":1,}`, `truex`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) { compareJSON(t, text) })
}
