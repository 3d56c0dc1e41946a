package sim

import (
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/suit"
)

// What is fetched must be what was announced.
func TestAnotherManifestThanAnnounced(t *testing.T) {
	w := newWorld(t)
	c, log := w.lamp(func(c *Config) { c.Server = "coap://" + w.addr })
	url, _ := w.publish(w.release(7))
	w.wants(url, []byte("another"))
	w.run(c)
	log.await(t, Reported, 0)
	if got := w.outcomes("/r/dev-1"); len(got) != 1 || *got[0].Code != uint8(ota.ValidationFailed) || !strings.Contains(got[0].Text, "announced") {
		t.Errorf("reported were %+v", got)
	}
}

// A server that wants a manifest again, after it heard that it was refused, is
// obeyed; one that only says again what it said is not.
func TestTheSameIsWantedAgain(t *testing.T) {
	w := newWorld(t)
	w.stubborn = true
	c, log := w.lamp(func(c *Config) { c.Server = "coap://" + w.addr })
	r := w.release(7)
	r.Class = suit.ClassID(r.Vendor, "stove")
	url, manifest := w.publish(r)
	w.wants(url, manifest)
	w.run(c)
	for n := range 3 {
		log.await(t, Reported, n)
		until(t, "the device to hear it again", func() bool {
			w.server.Changed("/u/dev-1")
			return len(w.outcomes("/r/dev-1")) > n+1
		})
	}
	for _, s := range w.outcomes("/r/dev-1") {
		if *s.Code != uint8(ota.ValidationFailed) {
			t.Errorf("reported %+v", s)
		}
	}
}

// What makes no sense is not an order, and neither is nothing.
func TestWhatIsWanted(t *testing.T) {
	w := newWorld(t)
	c, _ := w.lamp(func(c *Config) { c.Server = "coaps://" + w.addr })
	d, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(nil)
	full, err := cbor.Marshal(desired{Sequence: 9, Digest: sum[:], URI: "/m/abc", Size: 100})
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		payload, url string
		bad          bool
	}{
		{string(full), "coaps://" + w.addr + "/m/abc", false},
		{"\xa0", "", false},
		{"\xa1\x03\x61/", "coaps://" + w.addr + "/", false},
		{"\xa1\x03\x01", "", true},
		{"\xa1\x03\x62%%", "", true},
		{"\xbf\x03", "", true},
		{"manifest", "", true},
		{strings.Repeat("\x81", 4000), "", true},
	} {
		o, err := d.wanted([]byte(x.payload))
		if (err != nil) != x.bad || o.url != x.url {
			t.Errorf("%q is an order for %q, %v", x.payload[:min(20, len(x.payload))], o.url, err)
		}
	}
}

// An outcome may be told as SUIT_Report, signed or not, and names the command
// that failed.
func TestReportsOfTheManifestProcessor(t *testing.T) {
	for _, signed := range []bool{false, true} {
		w := newWorld(t)
		c, _ := w.lamp(func(c *Config) { c.Server, c.SUITReports = "coap://"+w.addr, true })
		if signed {
			c.Signer = &w.author
		}
		r := w.release(7)
		r.Class = suit.ClassID(r.Vendor, "stove")
		url, manifest := w.publish(r)
		c.Manifests = []string{url}
		if err := w.once(c); !errors.Is(err, ErrRefused) {
			t.Fatal(err)
		}
		w.mu.Lock()
		last := w.posts[len(w.posts)-1]
		w.mu.Unlock()
		report, by, err := suit.ReadReport(last.body, c.Trusted)
		if err != nil || report.Result == nil || (by != nil) != signed {
			t.Fatalf("%+v by %v: %v", report, by, err)
		}
		e, err := suit.Open(manifest)
		if err != nil {
			t.Fatal(err)
		}
		m, err := e.Manifest()
		if err != nil {
			t.Fatal(err)
		}
		if told := report.Result.Explain(m); !strings.Contains(told, "condition-class-identifier") {
			t.Errorf("it tells %s", told)
		}
	}
}

// What a boot loader refuses is a failure in a SUIT_Report too, and so is what
// rots before it runs, though the manifest's processor found nothing wrong.
func TestAReportOfWhatTheBootLoaderRefuses(t *testing.T) {
	w := newWorld(t)
	c, _ := w.lamp(func(c *Config) { c.Server, c.SUITReports, c.Dialect = "coap://"+w.addr, true, suit.RIOT })
	url, _ := w.publish(w.riotRelease(7, 6))
	c.Manifests = []string{url}
	if err := w.once(c); !errors.Is(err, ErrRefused) {
		t.Fatal(err)
	}
	w.lastReportFails(suit.ReasonOperation)
}

// A file that is no manifest has no SUIT_Report, which names a manifest: it is
// reported in plain words.
func TestAReportOfWhatIsNoManifest(t *testing.T) {
	w := newWorld(t)
	c, _ := w.lamp(func(c *Config) { c.Server, c.SUITReports = "coap://"+w.addr, true })
	w.put("/fw/odd", []byte("not CBOR"))
	c.Manifests = []string{"coap://" + w.addr + "/fw/odd"}
	if err := w.once(c); !errors.Is(err, ErrRefused) {
		t.Fatal(err)
	}
	if got := w.outcomes("/r/dev-1"); len(got) != 1 || *got[0].Code != uint8(ota.ValidationFailed) || !strings.Contains(got[0].Text, "not CBOR") {
		t.Errorf("reported were %+v", got)
	}
}

// lastReportFails reads the last report as SUIT_Report.
func (w *world) lastReportFails(reason suit.Reason) {
	w.Helper()
	w.mu.Lock()
	last := w.posts[len(w.posts)-1]
	w.mu.Unlock()
	r, _, err := suit.ReadReport(last.body, nil)
	if err != nil || r.Result == nil || r.Result.Reason != reason {

		w.Errorf("reported was %x: %+v, %v", last.body, r.Result, err)
	}
}

// Components other than the firmware are one place each, whatever they are
// called, and all of them within the folder.
func TestComponentsArePlaces(t *testing.T) {
	w := newWorld(t)
	c, _ := w.lamp()
	names := []suit.ComponentID{{"..", "..", "etc"}, {"a/b"}, {"a", "b"}, {"a,b"}, {"\x00", "\x00"}, {"ram", "0"}}
	r := w.release(7)
	r.Images = nil
	for i, name := range names {
		content := []byte(name.String() + " of its own")
		sum := sha256.Sum256(content)
		r.Images = append(r.Images, suit.Target{Component: name, URI: "#" + string(rune('a'+i)), Sum: sum[:], Size: uint64(len(content)), Content: content})
	}
	url, _ := w.publish(r)
	c.Manifests = []string{url}
	if err := w.once(c); err != nil {
		t.Fatal(err)
	}
	found, err := filepath.Glob(filepath.Join(c.Dir, "component-*.bin"))
	if err != nil || len(found) != len(names) {
		t.Errorf("there are %q, %v", found, err)
	}
	if now, err := os.ReadDir(filepath.Dir(c.Dir)); err != nil || len(now) != 1 {
		t.Errorf("beside its folder are %v, %v", now, err)
	}
}
