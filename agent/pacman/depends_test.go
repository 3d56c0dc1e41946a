package pacman

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseClauses(t *testing.T) {
	got, err := parseClauses("libc6 (>= 2.36), default-mta | mail-transport-agent,\n python3:any (>=3~), gcc-12:amd64(= 1:2.0+b1), old (<2), exact (7) ,")
	if err != nil {
		t.Fatal(err)
	}
	want := []clause{
		{{Name: "libc6", Op: ">=", Version: "2.36"}},
		{{Name: "default-mta"}, {Name: "mail-transport-agent"}},
		{{Name: "python3", Arch: "any", Op: ">=", Version: "3~"}},
		{{Name: "gcc-12", Arch: "amd64", Op: "=", Version: "1:2.0+b1"}},
		{{Name: "old", Op: "<", Version: "2"}},
		{{Name: "exact", Op: "=", Version: "7"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{"a b", "a (", "a (>=)", "a (>= 1", "a (>= 1 2)", "a (!= 1)", "a | | b", "|", "-a", "a:", "a [amd64]"} {
		if got, err := parseClauses(bad); err == nil {
			t.Errorf("%q was read as %v", bad, got)
		}
	}
}

func FuzzParseClauses(f *testing.F) {
	f.Add("a | b:any (>= 1.0~rc1-2), c")
	f.Fuzz(func(t *testing.T, field string) {
		clauses, err := parseClauses(field)
		if err != nil {
			return
		}
		words := make([]string, len(clauses))
		for i, c := range clauses {
			words[i] = c.String()
		}
		again, err := parseClauses(strings.Join(words, ", "))
		if diff := cmp.Diff(clauses, again); err != nil || diff != "" {
			t.Errorf("%q: %v\n%s", field, err, diff)
		}
	})
}

// The system of the table below: "name version arch multi-arch provides state".
var system = []string{
	"lib\t2.0-1\tamd64\tsame\t\tinstall ok installed",
	"interp\t3.11\tamd64\tallowed\t\tinstall ok installed",
	"docs\t1\tall\tforeign\t\tinstall ok installed",
	"data\t1\tall\t\t\tinstall ok installed",
	"mta\t4\tamd64\t\tmail-agent, smtpd (= 5)\tinstall ok installed",
	"alien\t1\ti386\t\t\tinstall ok installed",
	"broken\t1\tamd64\t\t\tinstall ok half-configured",
	"waiting\t1\tamd64\t\t\tinstall ok triggers-pending",
	"gone\t1\tamd64\t\t\tdeinstall ok config-files",
	"tool\t1\tamd64\t\told-face\tinstall ok installed",
}

func TestUnmet(t *testing.T) {
	db := database{native: "amd64"}
	for _, line := range system {
		e, err := parseEntry(line)
		if err != nil {
			t.Fatal(err)
		}
		db.entries = append(db.entries, e)
	}
	for _, c := range []struct{ arch, depends, unmet string }{
		{"amd64", "", ""},
		{"amd64", "lib", ""},
		{"amd64", "lib (>= 2.0), lib (<< 2.1~), lib (= 2.0-1)", ""},
		{"amd64", "lib (>> 2.0-1)", "lib (>> 2.0-1)"},
		{"amd64", "nothing | lib", ""},
		{"amd64", "nothing | lib (>= 3), lib", "nothing | lib (>= 3)"},
		{"amd64", "mail-agent", ""},
		{"amd64", "mail-agent (>= 1)", "mail-agent (>= 1)"}, // provided without a version
		{"amd64", "smtpd (>= 5), smtpd (<< 6)", ""},
		{"amd64", "smtpd (= 4)", "smtpd (= 4)"}, // not mta's own version
		{"amd64", "broken", "broken"},
		{"amd64", "waiting", ""},
		{"amd64", "gone", "gone"},
		{"amd64", "interp:any, lib:amd64", ""},
		{"amd64", "lib:any", "lib:any"}, // it does not allow that
		{"amd64", "alien, alien:i386", "alien"},
		{"i386", "alien, docs, interp:any", ""},
		{"i386", "lib, data", "lib, data"},
		{"all", "lib, data, docs", ""},
		{"all", "alien", "alien"},
		{"amd64", "old-face", "old-face"},                     // goes with the old tool
		{"amd64", "new-face, tool (= 2)", ""},                 // comes with the new one
		{"amd64", "docs:native", ""},                          // all is native
		{"amd64", "docs:i386", "docs:i386"},                   // and not i386
		{"amd64", "nothing, no-more", "nothing, no-more"},     // each is named
		{"amd64", "nothing:any | gone", "nothing:any | gone"}, // as it was written
	} {
		pkg := control{Name: "tool", Version: "2", Arch: c.arch}
		var err error
		if pkg.Depends, err = parseClauses(c.depends); err != nil {
			t.Fatal(err)
		}
		if pkg.Provides, err = parseClauses("new-face"); err != nil {
			t.Fatal(err)
		}
		unmet, err := db.unmet(t.Context(), pkg)
		if got := strings.Join(unmet, ", "); err != nil || got != c.unmet {
			t.Errorf("%s on %s: unmet %q, want %q (%v)", c.depends, c.arch, got, c.unmet, err)
		}
	}
}

func TestPreDependsCountToo(t *testing.T) {
	db := database{native: "amd64"}
	unmet, err := db.unmet(t.Context(), control{Name: "a", Arch: "all", PreDepends: []clause{{{Name: "b"}}}, Depends: []clause{{{Name: "c"}}}})
	if diff := cmp.Diff([]string{"b", "c"}, unmet); err != nil || diff != "" {
		t.Error(err, diff)
	}
}

func TestFind(t *testing.T) {
	db := database{native: "amd64", entries: []entry{
		{Name: "lib", Arch: "amd64", MultiArch: "same"}, {Name: "lib", Arch: "i386", MultiArch: "same"}, {Name: "tool", Arch: "amd64"},
	}}
	for _, c := range []struct {
		pkg  control
		want string
	}{
		{control{Name: "lib", Arch: "i386", MultiArch: "same"}, "lib:i386"},
		{control{Name: "lib", Arch: "armhf", MultiArch: "same"}, ":"},
		{control{Name: "tool", Arch: "all"}, "tool:amd64"},
		{control{Name: "other", Arch: "all"}, ":"},
	} {
		if got := db.find(c.pkg).ref(); got != c.want {
			t.Errorf("find(%+v) = %s, want %s", c.pkg, got, c.want)
		}
	}
}

func TestCompareVersions(t *testing.T) {
	for _, c := range []struct {
		a, op, b string
		want     bool
	}{
		{"1.0~rc1", "<<", "1.0", true}, {"1:1", ">>", "9", true}, {"1.0-0", "=", "1.0", true}, {"1.10", ">=", "1.9", true}, {"1", "<", "1", true},
		{"20261121000000000000000000001", ">>", "20261121000000000000000000000", true}, // beyond 64 bits
	} {
		if got, err := compare(t.Context(), c.a, c.op, c.b); err != nil || got != c.want {
			t.Errorf("%s %s %s: %v, %v", c.a, c.op, c.b, got, err)
		}
	}
	if _, err := compare(t.Context(), "1", "~", "2"); err == nil {
		t.Error("an unknown relation got an answer")
	}
}

func TestParseEntryRefuses(t *testing.T) {
	for _, line := range []string{"", "a\t1\tall\t\t", "a\t1\tall\t\t\tinstall ok", "a\t1\tall\t\t(\tinstall ok installed"} {
		if e, err := parseEntry(line); err == nil {
			t.Errorf("%q was read as %+v", line, e)
		}
	}
}

func TestParseFields(t *testing.T) {
	got := parseFields("Package: a\nDepends: b,\n c (>= 1),\n\td\nEmpty:\n")
	if diff := cmp.Diff(map[string]string{"Package": "a", "Depends": "b, c (>= 1),\n\td\n", "Empty": ""}, got); diff != "" {
		t.Error(diff)
	}
}
