package rvi

import (
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-ota/updraft/ota"
)

// rewritten are the valid vectors that we read and write in another form.
var rewritten = map[string]string{
	"sota15-notify-extra":       "unknown members are not kept",
	"sota15-start-upperhex":     "checksums are written in lower case",
	"sota15-ack-unsorted":       "an ack is a set",
	"sota15-chunk-url-alphabet": "base64 is written in the standard alphabet",
	"sota15-chunk-unpadded":     "and padded",
	"sota15-chunk-crlf":         "and without line breaks",
	"sota15-abort-object":       "there is one form of object",
	"sota16-packages-client":    "we write the server's form",
	"sota16a-packages":          "with versions",
}

func TestEveryValidMessageIsWrittenAsItWasRead(t *testing.T) {
	for _, v := range vectors(t, "valid") {
		t.Run(v.name(), func(t *testing.T) {
			m, err := v.read(t)
			if err != nil {
				t.Fatal(err)
			}
			c := v.call(t)
			if m.Service() != ServiceOf(c.Params.Service) {
				t.Errorf("read as %s", m.Service())
			}
			written := m.AppendParams(nil)
			again, err := readAs(v.atDevice(), c.Params.Service, written)
			if err != nil {
				t.Fatalf("%v: %s", err, written)
			}
			if d := cmp.Diff(m, again); d != "" {
				t.Error(d)
			}
			same := cmp.Diff(unwrap(t, c.Params.Parameters), unwrap(t, written))
			if _, differs := rewritten[v.name()]; differs == (same == "") {
				t.Errorf("written as %s\n%s", written, same)
			}
			if b, ok := m.(BackendMessage); ok {
				if err := CheckSender(b, owner(v)); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// unwrap takes the array away that a message may be written without.
func unwrap(t *testing.T, params []byte) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(params, &v); err != nil {
		t.Fatalf("%v: %s", err, params)
	}
	if list, ok := v.([]any); ok && len(list) == 1 && list[0] != nil {
		return list[0]
	}
	return v
}

func TestWhatTheVectorsExpect(t *testing.T) {
	for _, v := range vectors(t, "valid") {
		m, err := v.read(t)
		if err != nil {
			t.Fatal(v.name(), err)
		}
		switch m := m.(type) {
		case Ack:
			if want := v.Expect.NextChunk; want != 0 && m.Chunks.Missing(1) != want {
				t.Errorf("%s: next is %d, want %d", v.name(), m.Chunks.Missing(1), want)
			}
		case Chunk:
			sum := sha1.Sum(m.Bytes)
			if v.Expect.SHA1 != "" && v.Expect.SHA1 != hex.EncodeToString(sum[:]) ||
				v.Expect.Hex != "" && v.Expect.Hex != hex.EncodeToString(m.Bytes) ||
				v.Expect.Size != nil && *v.Expect.Size != len(m.Bytes) {
				t.Errorf("%s: read %d bytes: %x", v.name(), len(m.Bytes), m.Bytes)
			}
		case Report:
			if want := v.Expect.Success; want != nil && m.Of("u").Success() != *want {
				t.Errorf("%s: %v", v.name(), m.Results)
			}
		}
	}
}

func TestDialectsAreToldApart(t *testing.T) {
	var file struct {
		Cases []struct{ File, Dialect string }
	}
	load(t, "dialects.json", &file)
	known := map[string]vector{}
	for _, v := range vectors(t, "valid") {
		known[v.File] = v
	}
	for _, c := range file.Cases {
		m, err := known[c.File].read(t)
		if err != nil {
			t.Fatal(c.File, err)
		}
		got := ""
		switch m := m.(type) {
		case BackendMessage:
			got = m.Dialect().String()
		case DeviceMessage:
			got = familyOf(m)
		}
		if got != c.Dialect {
			t.Errorf("%s: %s, want %s", c.File, got, c.Dialect)
		}
	}
}

// familyOf tells the two families apart that a device can see.
func familyOf(m DeviceMessage) string {
	update := false
	switch m := m.(type) {
	case Notify:
		update = m.Update != nil
	case Start:
		update = m.Unit.Update != ""
	case Chunk:
		update = m.Unit.Update != ""
	case Finish:
		update = m.Unit.Update != ""
	}
	if update {
		return "2016"
	}
	return "2015"
}

func TestTheDialectToNotifyIn(t *testing.T) {
	for _, c := range []struct {
		last, configured Dialect
		name             string
		want             Dialect
	}{
		{Dialect2016a, Dialect2015, uuidOwner, Dialect2016a},
		{Unknown, Dialect2016a, uuidOwner, Dialect2016a},
		{Unknown, Unknown, uuidOwner + "sota/notify", Dialect2016},
		{Unknown, Unknown, vinOwner + "sota/notify", Dialect2015},
	} {
		if got := Choose(c.last, c.configured, c.name); got != c.want {
			t.Errorf("%v: %s", c, got)
		}
	}
}

func TestExtensionsTravel(t *testing.T) {
	file := ota.Artifact{Sums: ota.Sums{Size: 70_000, SHA1: strings.Repeat("a", 40), SHA256: ota.Digest(strings.Repeat("b", 64))}, Signature: "sig"}
	for _, m := range []Message{
		StartOf(Unit{Update: someUpdate}, file),
		Chunk{Unit: Unit{Update: someUpdate}, Index: 7, Bytes: []byte("x"), SHA256: file.SHA256},
		Notify{Services: DefaultBackend(), Packages: []OfferedPackage{{Package: ghc, Size: 3, SHA256: file.SHA256, Confirm: true}},
			Update: &OfferedUpdate{Update: someUpdate, Signature: "s", Description: "ü\n\"", Confirm: true, Size: 3}},
	} {
		got, err := ReadAtDevice(m.Service().Local(), m.AppendParams(nil))
		if d := cmp.Diff(m, Message(got)); d != "" || err != nil {
			t.Error(err, d)
		}
	}
	start := BackendStart{From: Identity{VIN: vin}, Units: []Unit{{Package: ghc}}, Services: ServicesOf(Identity{VIN: vin}), Window: 8}
	got, err := ReadAtBackend("genivi.org/backend/sota/start", start.AppendParams(nil))
	if d := cmp.Diff(BackendMessage(start), got); d != "" || err != nil {
		t.Error(err, d)
	}
}

var ghc = ota.PackageID{Name: "ghc", Version: "7.6.2"}

func TestNullWhereSomethingIsWantedIsNothing(t *testing.T) {
	for _, c := range []struct{ service, params, reason string }{
		{"/sota/start", `[null]`, "wrong_type:parameters"},
		{"/sota/start", `{"package":null,"chunkscount":1,"checksum":"x"}`, "wrong_type:package"},
		{"/sota/start", `{"chunkscount":0,"checksum":"da39a3ee5e6b4b0d3255bfef95601890afd80709","update_id":"` + someUpdate + `","size":1}`, "out_of_range:size"},
		{"/sota/start", `{"chunkscount":131073,"checksum":"da39a3ee5e6b4b0d3255bfef95601890afd80709","update_id":"` + someUpdate + `"}`, "out_of_range:chunkscount"},
		{"/sota/finish", `{"update_id":"` + someUpdate + `"}`, "missing_field:signature"},
		{"/sota/abort", `[{},{}]`, "extra_parameters"},
		{"/sota/abort", `7`, "wrong_type:parameters"},
		{"/sota/chunk", `{"package":{"name":"a","version":"1"},"index":1,"bytes":"QUJD","sha256":"00"}`, "bad_sha256_format"},
		{"/sota/chunk", `{"package":{"name":"a","version":".."},"index":1,"bytes":"QUJD"}`, "bad_package_version"},
		{"/sota/chunk", strings.Repeat("[", 100), "parse_error"},
		{"/sota/chunk", `{"a":1}x`, "parse_error"},
		{"/sota/chunk", `{"a":"` + strings.Repeat("x", MaxParams) + `"}`, "too_large"},
		{"/sota/selfdestruct", `{}`, "unknown_service"},
		{"/other/abort", `{}`, "unknown_service"},
	} {
		m, err := ReadAtDevice(c.service, []byte(c.params))
		if got := ota.CodeOf(err); got != c.reason {
			t.Errorf("%.80s: %q (%v), want %s", c.params, got, m, c.reason)
		}
	}
}

func TestNothingAtAllIsEnoughForAbort(t *testing.T) {
	for _, params := range []string{"", "[]", "[null]", "[{}]", "{}", "null", " [ null ] "} {
		for _, service := range []string{"/sota/abort", "/sota/getpackages"} {
			if _, err := ReadAtDevice(service, []byte(params)); err != nil {
				t.Errorf("%s %q: %v", service, params, err)
			}
		}
	}
}

func TestUnitsBecomeSafePathElements(t *testing.T) {
	for want, u := range map[ota.UpdateID]Unit{
		someUpdate:       {Update: someUpdate},
		"ghc-7.6.2":      {Package: ghc},
		"a-b-c":          {Package: ota.PackageID{Name: "a-b", Version: "c"}},
		"a-b%2Dc":        {Package: ota.PackageID{Name: "a", Version: "b-c"}},
		"%C3%BC%20%25-1": {Package: ota.PackageID{Name: "ü %", Version: "1"}},
	} {
		if got := u.ID(); got != want {
			t.Errorf("%s: %s, want %s", u, got, want)
		}
	}
	long := Unit{Package: ota.PackageID{Name: strings.Repeat("ü", 100), Version: "1"}}
	if len(long.ID()) != 64 {
		t.Errorf("%s is no safe file name", long.ID())
	}
}

func TestAPackageNamedOnlyByItsLabelIsKept(t *testing.T) {
	for _, c := range []struct{ params, version, inventory string }{
		{`{"name":"ghc","package_id":"ghc-7.6.2"}`, "7.6.2", "7.6.2"},
		{`{"name":"ghc","package_id":"haskell"}`, "", "haskell"},
		{`{"name":"ghc","version":"1","package_id":"ghc-2"}`, "1", "1"},
	} {
		m, err := ReadAtBackend("/sota/packages", []byte(`[{"device":"9ea653bc-3486-44cd-aa86-d936bd957e52","installed":{"packages":[`+c.params+`]}}]`))
		if err != nil {
			t.Fatal(err)
		}
		list := m.(Packages)
		if list.Packages[0].Version != c.version || list.Inventory().Packages[0].Version != c.inventory {
			t.Errorf("%s: %v", c.params, list)
		}
		if err := list.Inventory().Validate(); err != nil {
			t.Error(err)
		}
	}
}

func TestWhoSaysItIsNotTrusted(t *testing.T) {
	own := Identity{VIN: vin}
	for _, c := range []struct {
		m      BackendMessage
		prefix string
		reason string
	}{
		{Ack{From: own, Unit: Unit{Package: ghc}}, vinOwner, ""},
		{Ack{From: own, Unit: Unit{Package: ghc}}, "genivi.org/vin/OTHER/", "vin_mismatch"},
		{Ack{From: own, Unit: Unit{Package: ghc}}, "", "vin_mismatch"},
		{Packages{From: Identity{Device: "9ea653bc-3486-44cd-aa86-d936bd957e52"}}, uuidOwner, ""},
		{Packages{From: Identity{Device: "9ea653bc-3486-44cd-aa86-d936bd957e52"}}, vinOwner, "device_mismatch"},
		{BackendStart{From: own, Services: ServicesOf(Identity{VIN: vin + "X"})}, vinOwner, "service_prefix_mismatch"},
	} {
		if got := ota.CodeOf(CheckSender(c.m, c.prefix)); got != c.reason {
			t.Errorf("%v from %q: %q, want %q", c.m, c.prefix, got, c.reason)
		}
	}
	for name, ok := range map[string]bool{vinOwner: true, uuidOwner + "sota/notify": true, "genivi.org/vin//": false,
		"genivi.org/vin/a b/": false, "genivi.org/device/7/": false, BackendPrefix: false} {
		id, err := IdentityOf(name)
		if (err == nil) != ok || ok && !strings.HasPrefix(name, id.Prefix()) {
			t.Errorf("%s: %v %v", name, id, err)
		}
	}
	bad := DefaultBackend()
	bad.Report = vinOwner + "sota/start"
	if ota.CodeOf(bad.CheckBackend(own)) != "service_prefix_mismatch" || DefaultBackend().CheckBackend(own) != nil {
		t.Error("a notify may not name the device's own services")
	}
}
