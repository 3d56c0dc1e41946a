package ota

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestManagedNames(t *testing.T) {
	for _, ok := range []string{"a", "vim", "Movie&MusicPlayer", "2:8.2-1+deb12u1~rc1", "a=b", "ü", "..x", strings.Repeat("n", 200)} {
		if err := (PackageID{Name: ok, Version: "1"}).Validate(); err != nil {
			t.Errorf("%q: %v", ok, err)
		}
	}
	for _, bad := range []string{"", ".", "..", "a b", "a\tb", "a\nb", "a/b", `a\b`, "\x00", "\x7f", "a\u00a0b", "\xff", strings.Repeat("n", 201)} {
		if err := (PackageID{Name: bad, Version: "1"}).Validate(); KindOf(err) != KindInvalid || err == nil {
			t.Errorf("name %q: %v, want invalid", bad, err)
		}
		if err := (PackageID{Name: "n", Version: bad}).Validate(); KindOf(err) != KindInvalid || err == nil {
			t.Errorf("version %q: %v, want invalid", bad, err)
		}
	}
}

func TestNamespaces(t *testing.T) {
	for _, n := range []Namespace{"default", "a b/c", "日本", Namespace(strings.Repeat("x", 200))} {
		if err := n.Validate(); err != nil {
			t.Errorf("%q: %v", n, err)
		}
	}
	for _, n := range []Namespace{"", "a\tb", "a\x00", "\xff", Namespace(strings.Repeat("x", 201))} {
		if err := n.Validate(); KindOf(err) != KindInvalid {
			t.Errorf("%q: %v", n, err)
		}
	}
}

func TestPackageIDSplitsAtTheFirstEquals(t *testing.T) {
	id, err := ParsePackageID("vim=1=2")
	if err != nil || id != (PackageID{"vim", "1=2"}) {
		t.Fatalf("got %v, %v", id, err)
	}
	for _, bad := range []string{"vim", "=1", "vim=", ""} {
		if _, err := ParsePackageID(bad); KindOf(err) != KindInvalid || err == nil {
			t.Errorf("%q: %v, want invalid", bad, err)
		}
	}
}

func TestSeedsInstalledPackagesAreAccepted(t *testing.T) {
	for _, s := range []string{"Movie&MusicPlayer", "rc2-beta3", "gitID-2fab572", "with spaces"} {
		if err := ValidateInstalled("name", s); err != nil {
			t.Error(err)
		}
	}
	for _, s := range []string{"", "a\nb", "\xff", strings.Repeat("x", 1025)} {
		if ValidateInstalled("name", s) == nil {
			t.Errorf("%q is accepted", s)
		}
	}
}

func TestUUIDs(t *testing.T) {
	id, err := ParseDeviceID("123E4567-e89b-12d3-a456-426655440000")
	if err != nil || id != "123e4567-e89b-12d3-a456-426655440000" {
		t.Fatalf("got %q, %v", id, err)
	}
	for _, bad := range []string{"", "123e4567e89b12d3a456426655440000", "../x", "123e4567-e89b-12d3-a456-42665544000g",
		"{23e4567-e89b-12d3-a456-4266554400}", "123e4567-e89b-12d3-a456-4266554400000"} {
		if _, err := ParseDeviceID(bad); KindOf(err) != KindInvalid || err == nil {
			t.Errorf("%q: %v, want invalid", bad, err)
		}
	}
}

func TestResultCodes(t *testing.T) {
	for s, want := range map[string]ResultCode{"0": OK, "ok": OK, "Ok": OK, "15": DiskFull, "DISK_FULL": DiskFull, "19": GeneralError, "not_found": PackageNotFound} {
		if got, err := ParseResultCode(s); err != nil || got != want {
			t.Errorf("%q: %v, %v", s, got, err)
		}
	}
	for _, bad := range []string{"", "20", "00", "-1", "+1", " 1", "1.0", "DISK FULL", "RESULT_20"} {
		if c, err := ParseResultCode(bad); err == nil {
			t.Errorf("%q is read as %v", bad, c)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		c := ResultCode(rapid.IntRange(0, 19).Draw(t, "code"))
		if got, err := ParseResultCode(c.String()); err != nil || got != c {
			t.Fatalf("%v: %v, %v", c, got, err)
		}
	})
}

func TestErrorsDoNotEchoLongInput(t *testing.T) {
	_, err := ParseDeviceID(strings.Repeat("x", 1<<20))
	if len(err.Error()) > 300 {
		t.Fatalf("the error is %d bytes long", len(err.Error()))
	}
}
