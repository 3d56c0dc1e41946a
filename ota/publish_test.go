package ota

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestPublishIDsAreCleaned(t *testing.T) {
	for raw, want := range map[string]string{
		"raw/id": "raw_id", `raw\id`: "raw_id", "raw_id": "raw_id", "fw/suit_update/samr21-xpro": "fw_suit_update_samr21-xpro",
		"..x": "..x", "x..": "x..", "...": "...", ".hidden": ".hidden", "ü": "ü", "bm": "bm", "b/m": "b_m", "B": "B", "rd_x": "rd_x",
		"%2e%2e": "%2e%2e", "a?b#c": "a?b#c", strings.Repeat("n", 200): strings.Repeat("n", 200),
	} {
		if got, err := CleanPublishID(raw); got != want || err != nil {
			t.Errorf("%q: %q, %v", raw, got, err)
		}
	}
}

func TestHostilePublishIDs(t *testing.T) {
	for _, raw := range []string{
		"", "/", "//", "/etc", "/etc/passwd", "etc/", "a//b", "../x", "a/..", "a/../b", "..", ".", "./a", "a/./b", `\`, `a\\b`, `..\x`, `a\..\b`, `a/\b`,
		"a b", "a\tb", "a\nb", "\x00", "a\x00", "a\x7f", "a\u00a0b", "a\u0085b", "\xff", "a/\xc3\x28", strings.Repeat("n", 201), strings.Repeat("a/", 100) + "b",
		"b", "m", "u", "r", "e", "rd", "fw", "rd-lookup", ".well-known",
	} {
		if got, err := CleanPublishID(raw); KindOf(err) != KindInvalid || CodeOf(err) != "invalid_publish_id" {
			t.Errorf("%q became %q, %v", raw, got, err)
		}
	}
}

// Whatever is taken is one segment of a path and a package's name.
func TestCleanIDsAreNames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.OneOf(rapid.String(), rapid.StringMatching(`[ab./\\ ]{0,8}`)).Draw(t, "id")
		id, err := CleanPublishID(raw)
		if err != nil {
			return
		}
		if err := (PackageID{id, "1"}).Validate(); err != nil {
			t.Errorf("%q became %q: %v", raw, id, err)
		}
		if again, err := CleanPublishID(id); again != id || err != nil {
			t.Errorf("%q became %q, and then %q, %v", raw, id, again, err)
		}
	})
}

func TestStoredNames(t *testing.T) {
	for _, tt := range [][3]string{
		{"manifest", "x.bin", "manifest"}, {"file1", "", "file1"}, {"./build/slot0.1.bin", "y", "slot0.1.bin"}, {"/etc/passwd", "", "passwd"},
		{`C:\fw\a.bin`, "", "a.bin"}, {"files", "a.bin", "a.bin"}, {"files", "/tmp/a.bin", "a.bin"}, {"dir/files", "x", "files"},
	} {
		if got, err := StoredName(tt[0], tt[1]); got != tt[2] || err != nil {
			t.Errorf("%q: %q, %v", tt, got, err)
		}
	}
	for _, tt := range [][2]string{{"", "x"}, {"a/", "x"}, {"..", ""}, {"a/..", ""}, {".", ""}, {"a b", ""}, {"a\x00", ""}, {"\xff", ""},
		{"files", ""}, {"files", ".."}, {"files", "a b"}, {strings.Repeat("n", 201), ""}} {
		if got, err := StoredName(tt[0], tt[1]); CodeOf(err) != "invalid_file_name" {
			t.Errorf("%q became %q, %v", tt, got, err)
		}
	}
}

func TestRIOTNames(t *testing.T) {
	for name, want := range map[string]string{
		"suit_update-slot0.1557151500.riot.bin":         "image 0 1557151500",
		"suit_update-slot1.riot.suit.1557151500.bin":    "manifest 1 1557151500 slot",
		"suit_update-riot.suitv4_signed.1557151500.bin": "manifest  1557151500 v4",
		"suit_update-riot.suit_signed.5.bin":            "manifest  5 v4",
		"suit_update-riot.suitv4_signed.latest.bin":     "manifest  latest v4",
		"riot.suit.1700000000.bin":                      "manifest  1700000000 v4",
		"slot1.1700000000.bin":                          "image 1 1700000000",
		"fw.7.bin":                                      "image  7",
		"manifest":                                      "direct",
		"file1":                                         "",
		"slot0.riot.bin":                                "",
		"riot.suit.bin":                                 "",
		"slot2.1.bin":                                   "",
		"myslot0.1.bin":                                 "",
		"riot.suit.1.2.bin":                             "",
		"manifest.bin":                                  "",
		"x.riot.suit.1.bin":                             "",
		"a-b-slot0.riot.suit.9.bin":                     "manifest 0 9 slot",
		"suit_update-slot0.1557151500.riot.suit.2.riot.bin": "",
	} {
		n, ok := ParseRIOTName(name)
		got := ""
		if ok {
			got = map[bool]string{true: "manifest", false: "image"}[n.Manifest] + " " + n.Slot + " " + n.Version
			if n.String() != name {
				t.Errorf("%s is written as %s", name, n)
			}
		}
		if s, ok := SchemeOf(name); ok {
			got = strings.TrimSpace(got + " " + string(s))
		}
		if got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestTheVersionInNames(t *testing.T) {
	for want, names := range map[string][]string{
		"":  {"manifest", "file1", "x-riot.suitv4_signed.latest.bin"},
		"5": {"a-slot0.5.riot.bin", "a-slot1.5.riot.bin", "readme", "a-slot0.riot.suit.5.bin", "a-slot0.riot.suit.latest.bin"},
	} {
		if got, err := NamedVersion(names); got != want || err != nil {
			t.Errorf("%q: %q, %v", names, got, err)
		}
	}
	if _, err := NamedVersion([]string{"slot0.1.bin", "slot1.2.bin"}); KindOf(err) != KindInvalid {
		t.Errorf("two versions: %v", err)
	}
}

// archive is a package's versions as a story makes them: files are written as
// name:content.
type archive struct {
	versions []Package // newest first
	used     map[string]bool
}

func files(words string) (list []Artifact) {
	for _, w := range strings.Fields(words) {
		name, content, _ := strings.Cut(w, ":")
		list = append(list, Artifact{Name: name, Sums: Sums{SHA256: Digest(content)}})
	}
	return list
}

func (a *archive) publish(version, words string, force bool) string {
	r, err := Revise(a.versions, version, files(words), force, func(v string) (bool, error) { return a.used[v], nil })
	if err != nil {
		return CodeOf(err)
	}
	if r.Opened {
		a.versions = append([]Package{{ID: PackageID{"p", r.Version}, CreatedAt: time.Unix(int64(len(a.versions)), 0)}}, a.versions...)
	}
	got := r.Version
	for i := range a.versions {
		if p := &a.versions[i]; p.ID.Version == r.Version {
			p.Artifacts = r.Artifacts
		}
	}
	for _, f := range r.Artifacts {
		got += " " + f.Name + ":" + string(f.SHA256)
	}
	if !r.Changed {
		got += " (as it was)"
	}
	return got
}

func TestRevisions(t *testing.T) {
	a := &archive{used: map[string]bool{}}
	step := func(version, words, want string) {
		t.Helper()
		if got := a.publish(version, words, false); got != want {
			t.Errorf("%s %s:\n got %s\nwant %s", version, words, got, want)
		}
	}
	step("", "file1:a file2:b", "r1 file1:a file2:b")
	step("", "file2:b file1:a", "r1 file1:a file2:b (as it was)")
	step("", "manifest:m", "r1 file1:a file2:b manifest:m") // new names join
	step("", "file1:c", "r2 file1:c file2:b manifest:m")    // a replaced one opens
	step("", "file1:a", "r3 file1:a file2:b manifest:m")    // and so does going back
	a.used["r3"] = true
	step("", "file1:a", "r3 file1:a file2:b manifest:m (as it was)")
	step("", "extra:x", "r4 file1:a file2:b manifest:m extra:x") // some device has an update to r3
	step("", "more:y", "r4 file1:a file2:b manifest:m extra:x more:y")

	a.versions = a.versions[1:] // r4 is removed, but a device had it
	a.used["r4"] = true
	step("", "file1:z", "r5 file1:z file2:b manifest:m")

	step("2.0", "manifest:n", "2.0 manifest:n")
	step("2.0", "manifest:o", "2.0 manifest:o")
	a.used["2.0"] = true
	step("2.0", "manifest:p", "conflicting_entity")
	step("2.0", "other:q", "conflicting_entity")
	step("2.0", "manifest:o", "2.0 manifest:o (as it was)")
	if got := a.publish("2.0", "manifest:p", true); got != "2.0 manifest:p" {
		t.Errorf("by force: %s", got)
	}
	step("", "beside:b", "r5 file1:z file2:b manifest:m beside:b") // 2.0 hides nothing of it
	// The manifest of 2.0 would be found, not one that joined r5.
	step("", "manifest:m", "r6 file1:z file2:b manifest:m beside:b")
	step("", "manifest:m", "r6 file1:z file2:b manifest:m beside:b (as it was)")
	step("", "file2:b", "r6 file1:z file2:b manifest:m beside:b (as it was)")
	step("r2", "file9:9", "r2 file1:c file2:b manifest:m file9:9")
	step("r01", "x:x", "r01 x:x") // looks like a revision, but is none
	step("", "x:y", "r7 file1:z file2:b manifest:m beside:b x:y")
}

func TestRevisionsNamedByHand(t *testing.T) {
	a := &archive{used: map[string]bool{}}
	for _, version := range []string{"r9223372036854775807", "r99999999999999999999", "r1000000001", "r-1", "r0", "R1"} {
		a.publish(version, "f:a", false)
	}
	if got := a.publish("", "f:b", false); got != "r1 f:b" {
		t.Error(got)
	}
	a.publish("r1000000000", "f:c", false)
	if got := a.publish("", "f:d", false); got != "r1000000002 f:d" {
		t.Error(got)
	}
	if got := a.publish("", "f:e", false); got != "r1000000003 f:e" {
		t.Error(got)
	}
}

// However files are published, those of the last call are what is found, and
// the same again changes nothing.
func TestWhatWasPublishedLastIsFound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := &archive{used: map[string]bool{}}
		for range rapid.IntRange(1, 12).Draw(t, "calls") {
			words := fmt.Sprintf("%s:%s", rapid.SampledFrom([]string{"f", "g", "h"}).Draw(t, "name"), rapid.SampledFrom([]string{"1", "2"}).Draw(t, "content"))
			version := rapid.SampledFrom([]string{"", "", "", "x"}).Draw(t, "version")
			first := a.publish(version, words, false)
			if version != "" {
				continue
			}
			_, found, _ := LocateFile(a.versions, words[:1])
			if string(found.SHA256) != words[2:] {
				t.Fatalf("%s was published as %q, but %v is found", words, first, found)
			}
			if again := a.publish("", words, false); !strings.HasSuffix(again, "(as it was)") {
				t.Fatalf("again: %s", again)
			}
			if rapid.Bool().Draw(t, "sent") {
				a.used[a.versions[0].ID.Version] = true
			}
		}
	})
}

func TestLatest(t *testing.T) {
	version := func(v, words string) Package { return Package{ID: PackageID{"p", v}, Artifacts: files(words)} }
	newest := []Package{
		version("3", "x-slot0.3.riot.bin:i3"), // no manifest yet
		version("2", "x-riot.suitv4_signed.2.bin:m2 x-slot0.riot.suit.2.bin:s2"),
		version("1", "x-riot.suitv4_signed.1.bin:m1 file:f x-riot.suitv4_signed.latest.bin:stale"),
	}
	for name, want := range map[string]string{
		"x-riot.suitv4_signed.latest.bin": "2 m2", "x-slot0.riot.suit.latest.bin": "2 s2", "x-riot.suitv4_signed.1.bin": "1 m1",
		"file": "1 f", "y-riot.suitv4_signed.latest.bin": " ", "x-slot0.latest.riot.bin": " ", "latest": " ",
	} {
		p, a, ok := LocateFile(newest, name)
		if got := p.ID.Version + " " + string(a.SHA256); got != want || ok != (want != " ") {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	for s, want := range map[Scheme]string{SchemeAuto: "2 slot s2", SchemeSlot: "2 slot s2", SchemeV4: "2 v4 m2", SchemeDirect: " "} {
		p, manifests, found := Notifiable(newest, s)
		got := p.ID.Version + " " + string(found)
		for _, m := range manifests {
			got += " " + string(m.SHA256)
		}
		if got != want {
			t.Errorf("%s: %q, want %q", s, got, want)
		}
	}
}

func TestTargets(t *testing.T) {
	for _, s := range []string{"[fd00::1]", "[fd00::1]:5684", "[fd00::1]/sub", "[fd00::1]:5684/a/b", "[fe80::1%tap0]:5683", "192.0.2.1", "192.0.2.1:1/x",
		"node-1.example.org/url", "localhost:61616/suit", "127.0.0.1:5683", "host/",
		"host.:5683", "7up.example", "board_1", "x--y", strings.Repeat("h", 63) + ".example"} {
		if err := Target(s); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
	for _, s := range []string{"", "/url", ":5683", "coap://[fd00::1]/x", "http://x", "fd00::1", "fd00::1/url", "[fd00::1", "[fd00::1]x", "[fd00::1]:", "[127.0.0.1]",
		"[]", "[x]", "host:", "host:0", "host:65536", "host:-1", "host:coap", "user@host", "host?q", "host/a?q", "host/a#f", "host/../x", "host/./x", "host//x", "host/%2e",
		"a b", "a\nb", "a\x00", "ü", "a,b", "[ff02::1]", "[ff02::1%eth0]:1", "224.0.1.187", "255.255.255.255", "0.0.0.0", "[::]", "[::ffff:224.0.0.1]", strings.Repeat("h", 256),
		"nonsense..", "nonsense..:5683", ".host", ".", "a..b", "-host", "host-", "a.-b", "a-.b/x", strings.Repeat("h", 64), strings.Repeat("h.", 127) + "h",
		"256.1.1.1", "1.2.3", "host.1", "5683"} {
		if err := Target(s); CodeOf(err) != "invalid_target" {
			t.Errorf("%q is taken: %v", s, err)
		}
	}
	for s, want := range map[string]bool{"::1": true, "127.0.0.1": true, "ff05::fd": false, "::": false, "0.0.0.0": false} {
		if Reachable(netip.MustParseAddr(s)) != want {
			t.Errorf("%s", s)
		}
	}
}

func TestFileURLs(t *testing.T) {
	if got := FileURL("coap://[::1]:5683", "raw_id", "manifest"); got != "coap://[::1]:5683/raw_id/manifest" {
		t.Error(got)
	}
	if got := FileURL("coap://h", "a?b", "c#%"); got != "coap://h/a%3Fb/c%23%25" {
		t.Error(got)
	}
}
