package resource_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/updraft-ota/updraft/coap"
	"github.com/updraft-ota/updraft/coap/resource"
	"github.com/updraft-ota/updraft/fleet"
	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/suit"
)

func trusting(o *resource.Options) { o.Trusting = true }

// add registers a constrained device.
func (w *world) add(n fleet.NewConstrained) (ota.Device, ota.PSK) {
	w.t.Helper()
	if n.Vendor == "" {
		n.Vendor, n.Class = "example.com", "thermostat"
	}
	d, key, err := w.AddConstrained(w.ctx, ns, n)
	if err != nil {
		w.t.Fatal(err)
	}
	return d, key
}

func named(name string) fleet.NewConstrained {
	return fleet.NewConstrained{NewDevice: fleet.NewDevice{Name: name}}
}

// send sends a package to a device, and returns the update.
func (w *world) send(d ota.Device, p ota.Package) ota.UpdateID {
	w.t.Helper()
	updates, _, err := w.Send(w.ctx, d.Namespace, fleet.Request{Device: d.ID, Packages: []ota.PackageID{p.ID}})
	if err != nil {
		w.t.Fatal(err)
	}
	return updates[0].ID
}

// update tells how an update stands.
func (w *world) update(d ota.Device, id ota.UpdateID) string {
	w.t.Helper()
	var text string
	err := w.Store.Read(w.ctx, func(tx ota.ReadTx) error {
		u, err := tx.Update(d.ID, id)
		if text = string(u.Status); u.Reason != "" {
			text += ": " + u.Reason
		}
		if !u.SentAt.IsZero() {
			text += " (sent)"
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return text
}

func (w *world) look(id ota.DeviceID) ota.Constrained {
	w.t.Helper()
	d, err := w.Device(w.ctx, ns, id)
	if err != nil {
		w.t.Fatal(err)
	}
	return *d.Constrained
}

// refused reports whether a key is refused. A wrong one is met with silence, so
// that the client gives up.
func (w *world) refused(k ota.PSK) bool {
	_, err := w.tryDTLS(k, 500*time.Millisecond)
	return err != nil
}

// tryDTLS makes a client over coaps.
func (w *world) tryDTLS(k ota.PSK, patience time.Duration) (*coap.Client, error) {
	ctx, cancel := context.WithTimeout(w.ctx, patience)
	defer cancel()
	c, err := coap.DialDTLS(ctx, w.safe, coap.DTLSClientConfig{Identity: k.Identity, Key: []byte(k.Key)})
	if err == nil {
		w.t.Cleanup(func() { c.Close() })
	}
	return c, err
}

func (w *world) mustDialDTLS(k ota.PSK) *coap.Client {
	w.t.Helper()
	c, err := w.tryDTLS(k, 10*time.Second)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// tells sends CBOR, given in hex, and tells the answer as code and payload.
func (w *world) tells(c *coap.Client, target, payload string) string {
	w.t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(payload, " ", ""))
	if err != nil {
		w.t.Fatal(err)
	}
	m, err := c.Post(w.ctx, target, coap.CBOR, b)
	if err != nil {
		w.t.Fatalf("%s: %v", target, err)
	}
	return m.Code.String() + " " + string(m.Payload)
}

// manifest is a SUIT manifest of a sequence number for one image, which is
// /app/file1.
func manifest(t *testing.T, sequence uint64, image string) (text string, digest suit.Digest) {
	t.Helper()
	return manifestAt(t, sequence, "/app/file1", image)
}

func manifestAt(t *testing.T, sequence uint64, uri, image string) (text string, digest suit.Digest) {
	t.Helper()
	vendor := suit.VendorID("example.com")
	e, err := suit.Recipe{Sequence: sequence, Vendor: vendor, Class: suit.ClassID(vendor, "thermostat"),
		Images: []suit.Target{{Component: suit.ComponentID{"\x00"}, URI: uri, Sum: sha(image), Size: uint64(len(image))}}}.Envelope()
	if err != nil {
		t.Fatal(err)
	}
	private, _, err := suit.Generate(suit.KindEd25519)
	if err != nil {
		t.Fatal(err)
	}
	s, err := suit.ParseSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Sign(s); err != nil {
		t.Fatal(err)
	}
	return string(e.Encode()), e.Digest
}

func TestADeviceWithAKeyIsUpdated(t *testing.T) {
	w := newWorld(t, func(o *resource.Options) { o.Private = true })
	n := named("node")
	n.PSK = true
	d, key := w.add(n)
	text, _ := manifest(t, 7, "image")
	p := w.publish("app", "manifest", text, "file1", "image")
	c := w.mustDialDTLS(key)
	wantString(t, "nothing to do", w.get(c, "/u/node"), "4.04 there is nothing to install")
	wantString(t, "the manifest", w.get(c, "/m/"+short(text)), "2.05 "+text)
	wantString(t, "the image", w.get(c, "/app/file1"), "2.05 image")
	u := w.send(d, p)

	// a4: 1: 7, 2: digest, 3: URI, 4: size
	uri := "coap://" + w.addr + "/m/" + short(text)
	want := "a4010702" + "5820" + hex.EncodeToString(sha(text)) + "0378" + fmt.Sprintf("%02x", len(uri)) + hex.EncodeToString([]byte(uri)) + "0418" + fmt.Sprintf("%02x", len(text))
	for _, path := range []string{"/u/node", "/u/" + string(d.ID)} {
		wantString(t, path, hex.EncodeToString([]byte(strings.TrimPrefix(w.get(c, path), "2.05 "))), want)
	}
	m, err := c.Get(w.ctx, "/u/node")
	if err != nil {
		t.Fatal(err)
	}
	etag, _ := m.Options.Get(coap.ETag)
	if m := w.one(c, "/u/node", coap.Option{ID: coap.ETag, Value: etag}); m.Code != coap.Valid {
		t.Errorf("it is held already: %v", m.Code)
	}

	wantString(t, "before it begins", w.update(d, u), "Pending")
	for _, step := range []struct{ says, code, status string }{
		{"a1 01 01", "2.04 ", "InFlight"},
		{"a1 01 02", "2.04 ", "InFlight (sent)"},
		{"a1 01 03", "2.04 ", "InFlight (sent)"},
		{"a3 01 00 02 00 03 07", "2.04 ", "Finished (sent)"},
		{"a3 01 00 02 00 03 07", "2.04 ", "Finished (sent)"},
		{"a2 01 00 02 04", "2.04 ", "Finished (sent)"},
	} {
		wantString(t, step.says, w.tells(c, "/r/node", step.says), step.code)
		wantString(t, "after "+step.says, w.update(d, u), step.status)
	}
	if got := w.look(d.ID); got.Sequence != 7 {
		t.Errorf("%+v", got)
	}
	for _, bad := range []string{"", "ff", "80", "a1", "a10104", "a10214", "a0", "a1016161", "a20100", "a2 01 00 01 00", "bf0100ff", "a1 01 1b ffffffffffffffff",
		"a1 04 61 ff", "a1 1818 00 00", "b9 ffff", "5b ffffffffffffffff", "d9 0107 a0", strings.Repeat("81", 1000)} {
		if got := w.tells(c, "/r/node", bad); !strings.HasPrefix(got, "4.00") {
			t.Errorf("%s: %s", bad, got)
		}
	}
}

// A manifest that names files beside it is told by the name under which they
// are there, for as long as that is its own.
func TestAManifestThatNamesFilesBesideIt(t *testing.T) {
	w := newWorld(t, trusting)
	d, _ := w.add(named("node"))
	text, _ := manifestAt(t, 7, "file1", "image")
	w.send(d, w.publish("raw/id", "manifest", text, "file1", "image"))
	c := w.dial()
	if got, want := w.get(c, "/u/node"), "coap://"+w.addr+"/raw_id/manifest"; !strings.Contains(got, want) {
		t.Errorf("%q has no %s", got, want)
	}
	next, _ := manifestAt(t, 8, "file1", "image")
	w.publish("raw/id", "manifest", next)
	if got, want := w.get(c, "/u/node"), "coap://"+w.addr+"/m/"+short(text); !strings.Contains(got, want) {
		t.Errorf("now that another has the name: %q has no %s", got, want)
	}
}

func TestAFailureBlocks(t *testing.T) {
	w := newWorld(t, trusting)
	d, _ := w.add(named("node"))
	u := w.send(d, w.publish("app", "manifest", "m"))
	// 4: "flash worn out"
	wantString(t, "report", w.tells(w.dial(), "/r/node", "a3 01 01 02 07 04 6e 666c61736820776f726e206f7574"), "2.04 ")
	wantString(t, "update", w.update(d, u), "Failed: unauthenticated report: FLASH_FAILED: flash worn out")
	if s, err := w.Device(w.ctx, ns, d.ID); err != nil || !s.Block.Blocked() {
		t.Errorf("%+v, %v", s, err)
	}
	wantString(t, "what is queued is held back", w.get(w.dial(), "/u/node"), "4.04 there is nothing to install")
}

func TestASUITReport(t *testing.T) {
	w := newWorld(t)
	n := named("node")
	n.PSK = true
	d, key := w.add(n)
	first, digest := manifest(t, 3, "image")
	u1 := w.send(d, w.publish("app", "manifest", first, "file1", "image"))
	second, digest2 := manifest(t, 4, "image")
	u2 := w.send(d, w.publish("app2", "manifest", second, "file1", "image"))
	c := w.mustDialDTLS(key)
	report := func(r suit.Report) string { return w.tells(c, "/r/node", hex.EncodeToString(r.Encode())) }
	wantString(t, "of another manifest", report(suit.Report{Manifest: suit.Digest{Algorithm: suit.SHA256, Sum: sha("x")}}), "2.04 ")
	wantString(t, "first", w.update(d, u1), "Pending")
	wantString(t, "of the second", report(suit.Report{Manifest: digest2}), "2.04 ")
	wantString(t, "second", w.update(d, u2), "Finished")
	third, digest3 := manifest(t, 5, "image")
	u3 := w.send(d, w.publish("app3", "manifest", third, "file1", "image"))
	wantString(t, "a result that is fine", report(suit.Report{Manifest: digest3, Result: &suit.Result{Reason: suit.ReasonOK}}), "2.04 ")
	wantString(t, "third", w.update(d, u3), "Finished")
	wantString(t, "a failure", report(suit.Report{Manifest: digest, Result: &suit.Result{Code: -10, Reason: suit.ReasonCondition, Record: suit.Record{Section: 20}}}), "2.04 ")
	if got := w.update(d, u1); !strings.HasPrefix(got, "Failed: VALIDATION_FAILED: a condition does not hold") {
		t.Errorf("first: %s", got)
	}
	if got := w.look(d.ID).Sequence; got != 5 {
		t.Errorf("sequence %d", got)
	}
}

// An old report that comes again says nothing of the next update.
func TestAReportOfAnotherManifest(t *testing.T) {
	w := newWorld(t, trusting)
	d, _ := w.add(named("node"))
	text, _ := manifest(t, 5, "image")
	u := w.send(d, w.publish("app", "manifest", text, "file1", "image"))
	c := w.dial()
	wantString(t, "of 4", w.tells(c, "/r/node", "a3 01 00 02 00 03 04"), "2.04 ")
	wantString(t, "the update to 5", w.update(d, u), "Pending")
	wantString(t, "it says only that 5 is there", w.tells(c, "/r/node", "a2 01 00 03 05"), "2.04 ")
	wantString(t, "the update to 5", w.update(d, u), "Finished: unauthenticated report")
}

// The table of issue 5, part 6.
func TestWhoMaySpeakForWhom(t *testing.T) {
	for _, trust := range []bool{false, true} {
		t.Run(fmt.Sprintf("trusting %v", trust), func(t *testing.T) {
			w := newWorld(t, func(o *resource.Options) { o.Trusting = trust })
			plain, keyed := named("plain"), named("keyed")
			plain.Plain, keyed.PSK = true, true
			w.add(plain)
			_, key := w.add(keyed)
			if _, err := w.AddDevice(w.ctx, ns, fleet.NewDevice{Name: "car"}); err != nil {
				t.Fatal(err)
			}
			open, safe := w.dial(), w.mustDialDTLS(key)
			for _, tt := range []struct {
				c           *coap.Client
				who, asked  string
				trusted     bool
				code, whose string
			}{
				{open, "anyone", "plain", false, "2.04", "and may, as it was added so"},
				{open, "anyone", "keyed", true, "2.04", "with nobody asked for proof"},
				{open, "anyone", "keyed", false, "4.01", "but it has a key"},
				{open, "anyone", "nobody", false, "4.01", "and cannot tell who is there"},
				{open, "anyone", "nobody", true, "4.04", "who is not there"},
				{open, "anyone", "car", true, "4.04", "which is not constrained"},
				{safe, "keyed", "keyed", false, "2.04", "itself"},
				{safe, "keyed", "keyed", true, "2.04", "itself"},
				{safe, "keyed", "plain", false, "4.03", "another"},
				{safe, "keyed", "plain", true, "4.03", "another"},
				{safe, "keyed", "nobody", false, "4.03", "another"},
			} {
				if tt.asked != "plain" && tt.trusted != trust {
					continue
				}
				report := w.tells(tt.c, "/r/"+tt.asked, "a10100")
				desired := w.get(tt.c, "/u/"+tt.asked)
				registered := w.tells(tt.c, "/rd?ep="+tt.asked, "")
				want := []string{tt.code, tt.code, tt.code}
				if tt.code == "2.04" {
					want = []string{"2.04", "4.04 there is nothing to install", "2.01"}
				}
				for i, got := range []string{report, desired, registered} {
					if !strings.HasPrefix(got, want[i]) {
						t.Errorf("%s for %s, %s: %d is %s", tt.who, tt.asked, tt.whose, i, got)
					}
				}
			}
		})
	}
}

func TestKeysOfAnotherHand(t *testing.T) {
	w := newWorld(t, func(o *resource.Options) { o.Private = true })
	n := named("node")
	n.PSK = true
	d, key := w.add(n)
	content := noise(7, 5000)
	w.publish("app", "file1", content)
	for _, program := range []string{"coap-client-openssl", "coap-client-gnutls"} {
		got, _ := libcoap(t, program, "-u", key.Identity, "-k", key.Key, "-m", "get", "coaps://"+w.safe+"/app/file1")
		wantString(t, program, got, content)
	}
	for what, k := range map[string]ota.PSK{
		"an unknown identity": {Identity: "nobody", Key: key.Key}, "a wrong key": {Identity: key.Identity, Key: "wrong"},
		"a name is no identity": {Identity: "node", Key: key.Key}, "no enrolment": {Identity: ota.EnrolmentOf(d.ID), Key: key.Key},
	} {
		if !w.refused(k) {
			t.Errorf("%s: it was let in", what)
		}
	}
	open := w.mustDialDTLS(key)
	wantString(t, "over a session", w.get(open, "/app/file1"), "2.05 "+content)
	if err := w.RemoveDevice(w.ctx, ns, d.ID); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/app/file1", "/.well-known/core", "/u/node"} {
		if got := w.get(open, path); !strings.HasPrefix(got, "4.0") {
			t.Errorf("it was removed, and over its session %s is %.20s", path, got)
		}
	}
	if !w.refused(key) {
		t.Error("it was removed, and let in")
	}
	if log := w.log.String(); strings.Contains(log, key.Key) {
		t.Error("the key is in the log")
	}
}

func TestEnrolment(t *testing.T) {
	w := newWorld(t)
	n := named("node")
	n.Enrol = true
	d, token := w.add(n)
	w.publish("app", "manifest", "m")
	c := w.mustDialDTLS(token)
	for _, path := range []string{"/u/node", "/app/manifest", "/.well-known/core"} {
		if got := w.get(c, path); !strings.HasPrefix(got, "4.0") || strings.HasPrefix(got, "4.04") {
			t.Errorf("with the token only: %s is %s", path, got)
		}
	}
	wantString(t, "a file", w.get(c, "/app/manifest"), "4.01 files are for devices: this key or certificate is of none")
	wantString(t, "over plain CoAP", w.tells(w.dial(), "/e", "a0")[:4], "4.01")
	wantString(t, "another class", w.tells(c, "/e", "a1 03 61 78"), "4.03 this token is for a device of another name, vendor or class")
	wantString(t, "another name", w.tells(c, "/e", "a1 01 61 78")[:4], "4.03")
	wantString(t, "no CBOR", w.tells(c, "/e", "ff")[:4], "4.00")

	// 1: "node", 2: "example.com", 3: "thermostat"
	again := w.mustDialDTLS(token)
	w.get(again, "/u/node") // so that its handshake is over
	answer := w.tells(c, "/e", "a3 01 64 6e6f6465 02 6b 6578616d706c652e636f6d 03 6a 746865726d6f73746174")
	payload, ok := strings.CutPrefix(answer, "2.01 ")
	id := string(d.ID)
	begin := "\xa3\x01\x78\x24" + id + "\x02\x78\x24" + id + "\x03\x78"
	if !ok || !strings.HasPrefix(payload, begin) {
		t.Fatalf("%q", answer)
	}
	key := ota.PSK{Identity: id, Key: payload[len(begin)+1:]}
	if len(key.Key) != int(payload[len(begin)]) {
		t.Errorf("a key of %d bytes says it has %d", len(key.Key), payload[len(begin)])
	}
	wantString(t, "with the key", w.get(w.mustDialDTLS(key), "/u/node"), "4.04 there is nothing to install")

	wantString(t, "a second time", w.tells(c, "/e", "a0")[:4], "4.03")
	wantString(t, "by another who has the token", w.tells(again, "/e", "a0")[:4], "4.03")
	if !w.refused(token) {
		t.Error("the token is still good")
	}
}

func TestLibcoapReportsAndAsks(t *testing.T) {
	w := newWorld(t)
	n := named("node")
	n.PSK = true
	d, key := w.add(n)
	u := w.send(d, w.publish("app", "manifest", "m"))
	as := []string{"-u", key.Identity, "-k", key.Key}
	got, _ := libcoap(t, "coap-client-openssl", append(as, "-m", "get", "coaps://"+w.safe+"/u/node")...)
	if !bytes.Contains([]byte(got), []byte("/m/"+short("m"))) {
		t.Errorf("%q", got)
	}
	cmd := exec.CommandContext(t.Context(), "coap-client-openssl", append(as, "-m", "post", "-t", "60", "-f", "-", "coaps://"+w.safe+"/r/node")...)
	cmd.Stdin = strings.NewReader("\xa2\x01\x00\x02\x00")
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	wantString(t, "update", w.update(d, u), "Finished")
}
