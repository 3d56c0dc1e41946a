package httpapi

import (
	"encoding/json"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/updraft-ota/updraft/ota"
)

// FuzzReport checks that whatever is taken for a report is a valid one that
// reads the same again once written.
func FuzzReport(f *testing.F) {
	const id = "7fc9a0e2-2d0f-4c1e-9a4b-0c5a8f1a9c11"
	f.Add([]byte(`[{"id":"` + id + `","result_code":0,"result_text":"ok"}]`))
	f.Add([]byte(`[{"id":"` + id + `","result_code":19}]`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := parseReport(id, body)
		if err != nil {
			if ota.KindOf(err) != ota.KindInvalid {
				t.Fatalf("%v is no fault of the caller", err)
			}
			return
		}
		if !utf8.Valid(body) {
			return // ReadBody refuses it
		}
		again, err := json.Marshal(FromReport(r))
		if err != nil {
			t.Fatal(err)
		}
		r2, err := parseReport(id, again)
		if err != nil {
			t.Fatalf("%s became %s: %v", body, again, err)
		}
		if diff := cmp.Diff(r, r2); diff != "" {
			t.Error(diff)
		}
	})
}

// FuzzInstalled does the same for inventories.
func FuzzInstalled(f *testing.F) {
	f.Add([]byte(`[]`))
	f.Add([]byte(`[{"name":"a","version":"1"}]`))
	f.Add([]byte(`{"packages":[{"name":"a","version":"1"}],"firmware":[{"module":"m","firmwareId":"f","lastModified":1}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		inv, err := parseInstalled(body)
		if err != nil {
			if ota.KindOf(err) != ota.KindInvalid {
				t.Fatalf("%v is no fault of the caller", err)
			}
			return
		}
		if !utf8.Valid(body) {
			return
		}
		again, err := json.Marshal(FromInventory(inv))
		if err != nil {
			t.Fatal(err)
		}
		inv2, err := parseInstalled(again)
		if err != nil {
			t.Fatalf("%s became %s: %v", body, again, err)
		}
		if diff := cmp.Diff(inv, inv2, cmpopts.EquateEmpty()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestLongListsTakeNoMemory(t *testing.T) {
	const size = 3 << 19 // bytes
	empty := "[" + strings.Repeat("{},", size/3) + "{}]"
	for name, parse := range map[string]func() error{
		"report":    func() error { _, err := parseReport("u", []byte(empty)); return err },
		"installed": func() error { _, err := parseInstalled([]byte(empty)); return err },
		"firmware":  func() error { _, err := parseInstalled([]byte(`{"packages":[],"firmware":` + empty + `}`)); return err },
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := parse()
		runtime.ReadMemStats(&after)
		if ota.KindOf(err) != ota.KindInvalid {
			t.Errorf("%s: %v", name, err)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > 16*size {
			t.Errorf("%s: %d MB were taken for a body of %d", name, took>>20, size>>20)
		}
	}
}

func TestEveryKindHasAStatusAndBack(t *testing.T) {
	for kind := ota.KindInternal; kind <= ota.KindUnreachable; kind++ {
		want, code := kind, ""
		switch kind {
		case ota.KindCorrupt:
			code = "corrupt_blob"
		case ota.KindUnreachable: // beyond the server: to its client it is just not available
			want = ota.KindUnavailable
		}
		if got := kindOf(StatusOf(kind), code); got != want {
			t.Errorf("%v becomes %d becomes %v", kind, StatusOf(kind), got)
		}
	}
}
