package fleet_test

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/updraft-ota/updraft/fleet"
	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/suit"
)

// put publishes files written as name:content words, and answers as the
// story reads on: the version and all its files.
func (w *world) put(n fleet.Publication, words string) (string, error) {
	w.t.Helper()
	for _, word := range strings.Fields(words) {
		name, content, _ := strings.Cut(word, ":")
		n.Files = append(n.Files, w.file(name, content))
	}
	out, err := w.Publish(w.ctx, ns, n)
	if err != nil {
		return "", err
	}
	got := []string{out.Package.ID.String()}
	for _, a := range out.Package.Artifacts {
		got = append(got, a.Name)
	}
	if !out.Changed {
		got = append(got, "(as it was)")
	}
	return strings.Join(got, " "), nil
}

func (w *world) file(name, content string) ota.Artifact {
	w.t.Helper()
	a, err := w.PutFile(w.ctx, name, strings.NewReader(content), 1<<20)
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

func (w *world) puts(n fleet.Publication, words, want string) {
	w.t.Helper()
	got, err := w.put(n, words)
	if err != nil {
		w.t.Fatal(err)
	}
	wantString(w.t, words, got, want)
}

// at is what a device finds at id/name.
func (w *world) at(where string) string {
	w.t.Helper()
	p, a, err := w.Locate(w.ctx, ns, path.Dir(where), path.Base(where))
	if err != nil {
		return ota.CodeOf(err)
	}
	b, err := w.OpenBlob(w.ctx, a.SHA256)
	if err != nil {
		w.t.Fatal(err)
	}
	defer b.Close()
	text, err := io.ReadAll(b)
	if err != nil {
		w.t.Fatal(err)
	}
	return p.ID.Version + " " + string(text)
}

func TestASeedsProjectMovesIn(t *testing.T) {
	w := newWorld(t)
	n := fleet.Publication{ID: "raw/id"}
	w.puts(n, "file1:one file2:two", "raw_id=r1 file1 file2")
	w.puts(n, "manifest:m", "raw_id=r1 file1 file2 manifest")
	events := w.lastEvent()
	w.puts(n, "manifest:m file2:two", "raw_id=r1 file1 file2 manifest (as it was)")
	if w.lastEvent() != events {
		t.Error("nothing changed, and it was told")
	}
	wantString(t, "the manifest", w.at("raw_id/manifest"), "r1 m")
	wantString(t, "by the id as it was given", w.at("raw/id/manifest"), "r1 m")
	w.puts(n, "file1:new", "raw_id=r2 file1 file2 manifest")
	wantString(t, "replaced", w.at("raw_id/file1"), "r2 new")
	wantString(t, "inherited", w.at("raw_id/file2"), "r2 two")

	w.send(w.device("a"), w.id("raw_id=r2"))
	w.puts(n, "extra:x", "raw_id=r3 file1 file2 manifest extra")

	for _, missing := range []string{"raw_id/none", "none/manifest", "../manifest", "b/manifest", "raw_id/.."} {
		wantString(t, missing, w.at(missing), "missing_entity")
	}
}

// reads counts how often the store is asked.
type reads struct {
	ota.Store
	n int
}

func (r *reads) Read(ctx context.Context, fn func(ota.ReadTx) error) error {
	r.n++
	return r.Store.Read(ctx, fn)
}

// Whoever asks again and again, also for what is not there, costs nothing, but
// gets the newest at once.
func TestWhatWasFoundIsRemembered(t *testing.T) {
	r := &reads{}
	w := newWorld(t, func(o *fleet.Options) { r.Store = o.Store; o.Store = r })
	w.puts(fleet.Publication{ID: "a"}, "f:1", "a=r1 f")
	ask := func() string {
		return strings.Join([]string{w.at("a/f"), w.at("a/g"), w.at("b_/f"), w.at("a/riot.suit.latest.bin")}, ", ")
	}
	wantString(t, "first", ask(), "r1 1, missing_entity, missing_entity, missing_entity")
	before := r.n
	for range 10 {
		ask()
	}
	if r.n != before {
		t.Errorf("%d reads for what was known", r.n-before)
	}
	w.puts(fleet.Publication{ID: "a"}, "f:2", "a=r2 f")
	wantString(t, "replaced", ask(), "r2 2, missing_entity, missing_entity, missing_entity")
	w.puts(fleet.Publication{ID: "b_"}, "f:3 riot.suit.1.bin:m", "b_=1 f riot.suit.1.bin")
	wantString(t, "published", ask(), "r2 2, missing_entity, 1 3, missing_entity")
	if err := w.Unpublish(w.ctx, ns, "a", "r2"); err != nil {
		t.Fatal(err)
	}
	wantString(t, "removed", ask(), "r1 1, missing_entity, 1 3, missing_entity")
}

func TestVersionsInNames(t *testing.T) {
	w := newWorld(t)
	n := fleet.Publication{ID: "fw/app/board"}
	w.puts(n, "slot0.5.bin:a slot1.5.bin:b riot.suit.5.bin:m5", "fw_app_board=5 slot0.5.bin slot1.5.bin riot.suit.5.bin")
	w.puts(n, "slot0.7.bin:c slot1.7.bin:d", "fw_app_board=7 slot0.7.bin slot1.7.bin")
	wantString(t, "no manifest of 7 yet", w.at("fw/app/board/riot.suit.latest.bin"), "5 m5")
	w.puts(n, "riot.suit.7.bin:m7", "fw_app_board=7 slot0.7.bin slot1.7.bin riot.suit.7.bin")
	wantString(t, "latest", w.at("fw/app/board/riot.suit.latest.bin"), "7 m7")
	w.puts(fleet.Publication{ID: n.ID, Version: "8"}, "readme:r", "fw_app_board=8 readme")

	if err := w.Unpublish(w.ctx, ns, n.ID, "7"); err != nil {
		t.Fatal(err)
	}
	wantString(t, "latest once 7 is gone", w.at("fw/app/board/riot.suit.latest.bin"), "5 m5")
	for _, version := range []string{"7", "bin", "latest", "1", ""} {
		if err := w.Unpublish(w.ctx, ns, n.ID, version); err == nil {
			t.Errorf("%q was removed", version)
		}
	}
	wantString(t, "still there", w.at("fw/app/board/slot0.5.bin"), "5 a")

	_, err := w.put(n, "slot0.1.bin:a slot1.2.bin:b")
	wantKind(t, err, ota.KindInvalid, "invalid_entity")
	_, err = w.put(fleet.Publication{ID: "x", Version: "latest"}, "f:f")
	wantKind(t, err, ota.KindInvalid, "invalid_entity")
	_, err = w.put(fleet.Publication{ID: "x", Version: "a/b"}, "f:f")
	wantKind(t, err, ota.KindInvalid, "invalid_entity")
	_, err = w.put(fleet.Publication{ID: "x"}, "f:f f:g")
	wantKind(t, err, ota.KindInvalid, "invalid_entity")
	_, err = w.put(fleet.Publication{ID: "x"}, "")
	wantKind(t, err, ota.KindInvalid, "invalid_entity")
	_, err = w.put(fleet.Publication{ID: "a//b"}, "f:f")
	wantKind(t, err, ota.KindInvalid, "invalid_publish_id")
	w.puts(fleet.Publication{ID: "x"}, "f:f f:f", "x=r1 f")
}

func TestANamedVersionThatUpdatesReferTo(t *testing.T) {
	w := newWorld(t)
	n := fleet.Publication{ID: "app", Version: "1"}
	w.puts(n, "f:a", "app=1 f")
	w.puts(n, "f:b", "app=1 f")
	w.send(w.device("a"), w.id("app=1"))
	_, err := w.put(n, "f:c")
	wantKind(t, err, ota.KindConflict, "conflicting_entity")
	n.Force = true
	before := w.lastEvent()
	w.puts(n, "f:c", "app=1 f")
	w.puts(n, "f:c", "app=1 f (as it was)")
	if told := w.eventsSince(before, ota.UpdateChanged); len(told) != 1 || !strings.Contains(told[0], `"status":"Pending"`) {
		t.Errorf("the device that waits is told %q", told)
	}
	if told := w.eventsSince(0, ota.PackageForced); len(told) != 1 || !strings.Contains(told[0], "updates refer to app=1") {
		t.Errorf("told %q", told)
	}
	err = w.Unpublish(w.ctx, ns, "app", "1")
	wantKind(t, err, ota.KindConflict, "conflicting_entity")
}

// The clock of a server may go back; the newest version is the last one made.
func TestTheOrderOfVersionsIsNotTheClocks(t *testing.T) {
	w := newWorld(t)
	for i := range 12 {
		w.now = w.now.Add(-time.Hour)
		w.puts(fleet.Publication{ID: "a"}, fmt.Sprintf("f:%d", i), fmt.Sprintf("a=r%d f", i+1))
	}
	wantString(t, "f", w.at("a/f"), "r12 11")
}

// Two publishers at once: all that each said is there in some version, and
// none is a mixture of the two.
func TestPublishersSideBySide(t *testing.T) {
	w := newWorld(t)
	const rounds = 20
	var all sync.WaitGroup
	failed := make(chan error, 2*rounds)
	for _, who := range []string{"x", "y"} {
		all.Go(func() {
			for i := range rounds {
				content := fmt.Sprintf("%s%d", who, i)
				files := []ota.Artifact{}
				for _, name := range []string{"file1", "file2"} {
					a, err := w.PutFile(w.ctx, name, strings.NewReader(content), 100)
					failed <- err
					files = append(files, a)
				}
				out, err := w.Publish(w.ctx, ns, fleet.Publication{ID: "p", Files: files})
				failed <- err
				if a := out.Package.Artifacts; err == nil && (a[0].SHA256 != files[0].SHA256 || a[1].SHA256 != files[1].SHA256) {
					t.Errorf("%s: what came of it is another's", content)
				}
			}
		})
	}
	go func() { all.Wait(); close(failed) }()
	for err := range failed {
		if err != nil {
			t.Error(err)
		}
	}
	_, versions, err := w.Versions(w.ctx, ns, "p")
	if err != nil || len(versions) != 2*rounds {
		t.Errorf("%d versions, %v", len(versions), err)
	}
	for _, p := range versions {
		if len(p.Artifacts) != 2 || p.Artifacts[0].SHA256 != p.Artifacts[1].SHA256 {
			t.Errorf("%s is a mixture", p.ID)
		}
	}
}

// broken is a disk that loses the decision, once.
type broken struct {
	ota.Store
	now bool
}

func (b *broken) Write(ctx context.Context, fn func(ota.Tx) error) error {
	if !b.now {
		return b.Store.Write(ctx, fn)
	}
	b.now = false
	return b.Store.Write(ctx, func(tx ota.Tx) error { return errors.Join(fn(tx), io.ErrShortWrite) })
}

func TestACrashBetweenBytesAndDecisionLeavesNothing(t *testing.T) {
	b := &broken{}
	w := newWorld(t, func(o *fleet.Options) { b.Store = o.Store; o.Store = b })
	w.puts(fleet.Publication{ID: "a"}, "f:old", "a=r1 f")
	b.now = true
	if _, err := w.put(fleet.Publication{ID: "a"}, "f:new g:more"); err == nil {
		t.Fatal("it went well")
	}
	wantString(t, "f", w.at("a/f"), "r1 old")
	wantString(t, "g", w.at("a/g"), "missing_entity")
	w.puts(fleet.Publication{ID: "a"}, "f:new g:more", "a=r2 f g")
}

func TestAnUploadThatTookForever(t *testing.T) {
	w := newWorld(t)
	n := fleet.Publication{ID: "a", Files: []ota.Artifact{w.file("f", "first"), w.file("g", "second")}}
	w.now = time.Now().Add(2 * time.Hour) // blobs tell their age by the disk's clock
	if err := w.Collect(w.ctx); err != nil {
		t.Fatal(err)
	}
	_, err := w.Publish(w.ctx, ns, n)
	wantKind(t, err, ota.KindUnavailable, "upload_expired")
	wantString(t, "f", w.at("a/f"), "missing_entity")
}

// Where whatever is uploaded must be signed, manifests must be: they carry it.
// The files they vouch for need nothing, but are good for nothing else.
func TestOnlyManifestsOfTrustedKeysArePublished(t *testing.T) {
	b, stranger := newBoard(t), newBoard(t)
	w := newWorld(t, withSUIT(b), func(o *fleet.Options) { o.TrustedKeys = []ed25519.PublicKey{make([]byte, ed25519.PublicKeySize)} })
	lamp, car := w.node(b, "lamp"), w.device("car")
	w.puts(fleet.Publication{ID: "image"}, "f:f", "image=r1 f")
	for _, d := range []ota.DeviceID{lamp, car} {
		_, _, err := w.Send(w.ctx, ns, fleet.Request{Device: d, Packages: []ota.PackageID{w.id("image=r1")}})
		wantRefusal(t, err, "no trusted key signed it")
	}
	for _, force := range []bool{false, true} {
		_, err := w.put(fleet.Publication{ID: "a", Force: force}, "manifest:m")
		wantRefusal(t, err, "manifest: it is not a SUIT manifest signed by a trusted key")
		_, err = w.publishFile(fleet.Publication{ID: "a", Force: force}, "manifest", stranger.manifest(1, "file1", "image"))
		wantRefusal(t, err, "manifest: no signature is by a trusted key")
	}
	w.send(lamp, w.release(b, "good", 2, "image"))
	wantString(t, "it is told of", w.desired(lamp), "good=r1")

	// Nobody is known who could sign manifests.
	w = newWorld(t, func(o *fleet.Options) { o.TrustedKeys = []ed25519.PublicKey{make([]byte, ed25519.PublicKeySize)} })
	_, err := w.publishFile(fleet.Publication{ID: "a", Force: true}, "manifest", b.manifest(1, "file1", "image"))
	wantRefusal(t, err, "manifest: no trusted key signed it")
}

// board is a class of devices, with what signs manifests for it.
type board struct {
	t      *testing.T
	signer suit.Signer
	public []suit.Key
	class  string
}

func newBoard(t *testing.T) *board {
	t.Helper()
	private, public, err := suit.Generate(suit.KindEd25519)
	if err != nil {
		t.Fatal(err)
	}
	b := &board{t: t, class: "board-1"}
	if b.signer, err = suit.ParseSigner(private); err != nil {
		t.Fatal(err)
	}
	if b.public, err = suit.ParseKeys(public); err != nil {
		t.Fatal(err)
	}
	return b
}

// manifest makes one with a sequence number, for an image at a URI.
func (b *board) manifest(sequence uint64, uri, image string) string {
	b.t.Helper()
	sum := sha256.Sum256([]byte(image))
	vendor := suit.VendorID("example.org")
	e, err := suit.Recipe{
		Sequence: sequence, Vendor: vendor, Class: suit.ClassID(vendor, b.class),
		Images: []suit.Target{{Component: suit.ComponentID{"\x00"}, URI: uri, Sum: sum[:], Size: uint64(len(image))}},
	}.Envelope()
	if err != nil {
		b.t.Fatal(err)
	}
	if err := e.Sign(b.signer); err != nil {
		b.t.Fatal(err)
	}
	return string(e.Encode())
}

// publishFile publishes a file whose content is no word.
func (w *world) publishFile(n fleet.Publication, name, content string) (fleet.Published, error) {
	n.Files = []ota.Artifact{w.file(name, content)}
	return w.Publish(w.ctx, ns, n)
}

func wantRefusal(t *testing.T, err error, parts ...string) {
	t.Helper()
	wantKind(t, err, ota.KindInvalid, "refused_manifest")
	r, ok := errors.AsType[*fleet.Refusal](err)
	if !ok || len(r.Reasons) != len(parts) {
		t.Fatalf("%v, want %q", err, parts)
	}
	for i, part := range parts {
		if !strings.Contains(r.Reasons[i], part) {
			t.Errorf("reason %q, want %q", r.Reasons[i], part)
		}
	}
}

func withSUIT(b *board) func(*fleet.Options) {
	return func(o *fleet.Options) {
		o.SUITKeys = b.public
		o.CoAPRoot = func() string { return "coap://[fd00::1]:5683" }
	}
}

func TestManifestsAreCheckedOnUpload(t *testing.T) {
	b, stranger := newBoard(t), newBoard(t)
	w := newWorld(t, withSUIT(b))
	const image = "coap://[fd00::1]/app/file1"
	n := fleet.Publication{ID: "app"}

	// The payload may come later, which is told.
	out, err := w.publishFile(n, "manifest", b.manifest(5, image, "image 5"))
	if err != nil {
		t.Fatal(err)
	}
	if m := out.Manifests[0]; m.State() != "SUIT, checked" || m.Sequence != 5 || m.Signer == "" || m.Findings[0].Code != suit.FoundMissing {
		t.Errorf("%+v", m)
	}
	if out, err = w.publishFile(n, "file1", "image 5"); err != nil || out.Package.ID.Version != "r1" {
		t.Fatalf("%+v, %v", out, err)
	}
	// The same again is no rollback.
	if out, err = w.publishFile(n, "manifest", b.manifest(5, image, "image 5")); err != nil || out.Changed {
		t.Fatalf("%+v, %v", out, err)
	}

	before := w.lastEvent()
	_, err = w.publishFile(n, "manifest", stranger.manifest(4, image, "another"))
	wantRefusal(t, err, "trusted key", "sequence number 4 is not above 5", "has digest")
	_, err = w.publishFile(fleet.Publication{ID: "elsewhere"}, "x", b.manifest(5, image, "image 5"))
	if err != nil { // a copy is no other release
		t.Errorf("the same bytes under another id: %v", err)
	}
	_, err = w.publishFile(fleet.Publication{ID: "elsewhere", Version: "2"}, "y", b.manifest(5, "coap://other/x", "x"))
	wantRefusal(t, err, "sequence number 5")

	n.Force = true
	out, err = w.publishFile(n, "manifest", stranger.manifest(4, image, "image 5"))
	if err != nil || len(out.Forced) != 2 {
		t.Fatalf("%+v, %v", out, err)
	}
	if told := w.eventsSince(before, ota.PackageForced); len(told) != 1 || !strings.Contains(told[0], "trusted key") {
		t.Errorf("told %q", told)
	}

	// A new image makes the manifest that is there wrong. That is told, and no
	// more: the next one is on its way.
	out, err = w.publishFile(fleet.Publication{ID: "app"}, "file1", "image 6")
	if err != nil || out.Manifests[0].State() != "with errors" {
		t.Errorf("%+v, %v", out, err)
	}
	// Nor is it too old because there are newer ones elsewhere.
	if texts := fmt.Sprint(out.Manifests[0].Findings); strings.Contains(texts, "not above") {
		t.Errorf("it had come before, and is told to be %s", texts)
	}
	list, err := w.ManifestsOf(w.ctx, ns, out.Package.ID)
	if err != nil || len(list) != 1 || list[0].State() != "with errors" {
		t.Errorf("%+v, %v", list, err)
	}
	listing, err := w.ManifestListing(w.ctx, ns, out.Package.ID, "manifest")
	if err != nil || listing.Sequence != 4 || !slices.Contains(listing.URIs, image) {
		t.Errorf("%+v, %v", listing, err)
	}
	_, err = w.ManifestListing(w.ctx, ns, out.Package.ID, "file1")
	wantKind(t, err, ota.KindInvalid, "invalid_entity")
}

func TestURIsThatMeanFilesHere(t *testing.T) {
	b := newBoard(t)
	w := newWorld(t, withSUIT(b))
	w.puts(fleet.Publication{ID: "other/id"}, "file:right", "other_id=r1 file")
	w.puts(fleet.Publication{ID: "app"}, "file:right", "app=r1 file")
	right := ota.DigestName(w.file("file", "right").SHA256)
	for uri, want := range map[string]string{
		"coap://[fd00::1]:5683/app/file":        "",
		"coaps://[fd00::1]/other_id/file":       "",
		"coap://192.0.2.7/app/file":             "",
		"coap+tcp://other.name/other/id/file":   "",
		"file":                                  "",
		"/other/id/file":                        "",
		"coap://other.name/b/" + right:          "",
		"coap://[fd00::1]/m/" + right:           "",
		"coap://[fd00::1]/b/dpLDrTVAu4A8Ags6":   suit.FoundMissing,
		"coap://other.name/b/dpLDrTVAu4A8Ags6":  suit.FoundElsewhere,
		"coap://[fd00::1]/app/none":             suit.FoundMissing,
		"coap://[fd00::1]/none/file":            suit.FoundMissing,
		"coap://[fd00::1]/file":                 suit.FoundMissing,
		"coap://other.name/other/id/none":       suit.FoundMissing,
		"none":                                  suit.FoundMissing,
		"coap://other.name/none/file":           suit.FoundElsewhere,
		"coap://other.name/file":                suit.FoundElsewhere,
		"https://example.org/app/file":          suit.FoundElsewhere,
		"coap://[fd00::1]/..%2fapp/../app/file": suit.FoundMissing,
	} {
		out, err := w.publishFile(fleet.Publication{ID: "app", Version: "try"}, "manifest", b.manifest(1, uri, "right"))
		if err != nil {
			t.Fatalf("%s: %v", uri, err)
		}
		got := ""
		for _, f := range out.Manifests[0].Findings {
			got += f.Code
		}
		if got != want {
			t.Errorf("%s: %v, want %q", uri, out.Manifests[0].Findings, want)
		}
	}
}

// Once there are constrained devices, manifests are for them.
func TestManifestsForClassesOfDevices(t *testing.T) {
	b, other := newBoard(t), newBoard(t)
	other.class, other.signer = "board-2", b.signer
	w := newWorld(t, withSUIT(b))
	n := fleet.Publication{ID: "app"}
	if _, err := w.publishFile(n, "manifest", other.manifest(1, "file1", "image")); err != nil {
		t.Fatalf("nobody registers devices here: %v", err)
	}
	d, _, err := w.AddConstrained(w.ctx, ns, fleet.NewConstrained{
		NewDevice: fleet.NewDevice{Name: "node"}, Constrained: ota.Constrained{Vendor: "example.org", Class: b.class},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.publishFile(n, "manifest", b.manifest(2, "file1", "image")); err != nil {
		t.Error(err)
	}
	_, err = w.publishFile(n, "manifest", other.manifest(3, "file1", "image"))
	wantRefusal(t, err, "no device is known")

	// What a device has installed counts even if it was removed here.
	err = w.Store.Write(w.ctx, func(tx ota.Tx) error {
		d.Constrained.Sequence = 9
		return tx.PutDevice(d)
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.publishFile(n, "manifest", b.manifest(8, "file1", "image"))
	wantRefusal(t, err, "not above 8")
	if _, err = w.publishFile(n, "manifest", b.manifest(9, "file1", "image")); err != nil {
		t.Error(err)
	}
}

// What comes with a manifest counts, also by its digest.
func TestAManifestWithItsFilesNamedByDigest(t *testing.T) {
	b := newBoard(t)
	w := newWorld(t, withSUIT(b))
	image := w.file("file1", "image")
	n := fleet.Publication{ID: "app", Files: []ota.Artifact{image, w.file("manifest", b.manifest(1, "coap://h/b/"+ota.DigestName(image.SHA256), "image"))}}
	out, err := w.Publish(w.ctx, ns, n)
	if err != nil || len(out.Manifests[0].Findings) > 0 {
		t.Errorf("%+v, %v", out, err)
	}
}

func TestFilesThatAreNotSUIT(t *testing.T) {
	w := newWorld(t)
	out, err := w.publishFile(fleet.Publication{ID: "a"}, "manifest", "hello")
	if err != nil || len(out.Manifests) != 1 || out.Manifests[0].State() != "not SUIT, unchecked" {
		t.Errorf("%+v, %v", out, err)
	}
	w = newWorld(t, func(o *fleet.Options) { o.RequireSUIT = true })
	for _, name := range []string{"manifest", "x-slot0.riot.suit.1.bin", "x-riot.suitv4_signed.1.bin"} {
		_, err = w.publishFile(fleet.Publication{ID: "a"}, name, "hello")
		wantRefusal(t, err, "not a SUIT manifest")
	}
	if _, err = w.publishFile(fleet.Publication{ID: "a"}, "file1", "hello"); err != nil {
		t.Error(err)
	}
	b := newBoard(t)
	out, err = w.publishFile(fleet.Publication{ID: "a"}, "manifest", b.manifest(1, "file1", "hello"))
	if err != nil || out.Manifests[0].State() != "SUIT, signature unchecked" {
		t.Errorf("%+v, %v", out, err)
	}
}

// eventsSince lists the data of events of a type since a number.
func (w *world) eventsSince(since int64, of ota.EventType) (data []string) {
	w.t.Helper()
	err := w.Store.Read(w.ctx, func(tx ota.ReadTx) error {
		events, err := tx.Events(ota.EventFilter{Namespace: ns}, since, 1000)
		for _, e := range events {
			if e.Type == of {
				data = append(data, string(e.Data))
			}
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return data
}

// devices are CoAP servers as a Trigger meets them.
type devices struct {
	mu     sync.Mutex
	slots  map[string]int
	dead   map[string]bool
	got    []string
	now    int
	atOnce int
	per    map[string]int
}

func (d *devices) Post(ctx context.Context, target, text string) error {
	authority, _, _ := strings.Cut(target, "/")
	authority = strings.TrimSuffix(authority, ":5683")
	d.mu.Lock()
	d.now++
	d.atOnce = max(d.atOnce, d.now)
	if d.per == nil {
		d.per = map[string]int{}
	}
	if d.per[authority]++; d.per[authority] > 1 {
		d.got = append(d.got, "two at once at "+authority)
	}
	dead := d.dead[authority]
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.now--
		d.per[authority]--
	}()
	if dead {
		<-ctx.Done()
		return ota.Fail(ota.KindUnreachable, "no_answer", "%s does not answer", authority)
	}
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
		return ota.Fail(ota.KindUnreachable, "no_answer", "%s does not answer", authority)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.got = append(d.got, target+" "+text)
	return nil
}

func (d *devices) Slot(_ context.Context, target string) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, ok := d.slots[target]
	if !ok {
		return 0, ota.Invalid("%s says no number", target)
	}
	return n, nil
}

func withDevices(d *devices) func(*fleet.Options) {
	return func(o *fleet.Options) {
		o.Trigger = d
		o.CoAPRoot = func() string { return "coap://[::1]:5683" }
	}
}

// notify tells the outcome line by line, in the order asked.
func (w *world) notify(n fleet.Notification) string {
	w.t.Helper()
	out, err := w.Notify(w.ctx, ns, n)
	if err != nil {
		return ota.CodeOf(err)
	}
	lines := []string{out.Package.String() + " " + string(out.Scheme)}
	for _, d := range out.Devices {
		line := d.Target + " " + d.URL
		if d.Err != nil {
			line = d.Target + ": " + d.Err.Error()
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func TestTheThreeSchemes(t *testing.T) {
	d := &devices{slots: map[string]int{"a": 0, "b": 1, "c": 7, "[fd00::1]:1/sub": 1}}
	w := newWorld(t, withDevices(d))
	auto := fleet.Notification{ID: "x/y", Scheme: ota.SchemeAuto, Targets: []string{"a", "b", "c", "e", "[fd00::1]:1/sub/", " a", ""}}
	synctest.Test(t, func(t *testing.T) {
		w.ctx = t.Context()
		wantString(t, "nothing there", w.notify(auto), "missing_entity")
		w.puts(fleet.Publication{ID: "x/y"}, "app-slot0.3.riot.bin:i", "x_y=3 app-slot0.3.riot.bin")
		wantString(t, "no manifest", w.notify(auto), "missing_manifest")
		w.puts(fleet.Publication{ID: "x/y"}, "app-riot.suitv4_signed.3.bin:v4", "x_y=3 app-slot0.3.riot.bin app-riot.suitv4_signed.3.bin")
		v4 := auto
		v4.Targets = []string{"a", "b/sub/"}
		wantString(t, "v4", w.notify(v4), "x_y=3 v4\na coap://[::1]:5683/x_y/app-riot.suitv4_signed.latest.bin\nb/sub/ coap://[::1]:5683/x_y/app-riot.suitv4_signed.latest.bin")
		v4.Version, v4.Scheme, v4.Targets = "3", ota.SchemeV4, []string{"a"}
		wantString(t, "v4 of a version", w.notify(v4), "x_y=3 v4\na coap://[::1]:5683/x_y/app-riot.suitv4_signed.3.bin")
		v4.Version = "4"
		wantString(t, "another version", w.notify(v4), "missing_package")

		w.puts(fleet.Publication{ID: "x/y"}, "app-slot0.riot.suit.4.bin:s0 app-slot1.riot.suit.4.bin:s1", "x_y=4 app-slot0.riot.suit.4.bin app-slot1.riot.suit.4.bin")
		wantString(t, "slot", w.notify(auto), strings.Join([]string{"x_y=4 slot",
			"a coap://[::1]:5683/x_y/app-slot0.riot.suit.latest.bin", "b coap://[::1]:5683/x_y/app-slot1.riot.suit.latest.bin",
			"c coap://[::1]:5683/x_y/app-slot0.riot.suit.latest.bin", "e: e says no number",
			"[fd00::1]:1/sub/ coap://[::1]:5683/x_y/app-slot1.riot.suit.latest.bin"}, "\n"))

		w.puts(fleet.Publication{ID: "x/y"}, "manifest:m", "x_y=r1 manifest")
		direct := fleet.Notification{ID: "x_y", Scheme: ota.SchemeAuto, Targets: []string{"[fd00::1]/url", "n"}}
		wantString(t, "direct", w.notify(direct), "x_y=r1 direct\n[fd00::1]/url coap://[::1]:5683/x_y/manifest\nn coap://[::1]:5683/x_y/manifest")
		w.puts(fleet.Publication{ID: "x/y"}, "manifest:n", "x_y=r2 manifest")
		direct.Version = "r1"
		wantString(t, "an older one, by what it is", w.notify(direct), "x_y=r1 direct\n[fd00::1]/url coap://[::1]:5683/m/YsZqel3XDDFGYYBj\nn coap://[::1]:5683/m/YsZqel3XDDFGYYBj")
		direct.Version, direct.Scheme = "", ota.SchemeSlot
		direct.Targets = []string{"a"}
		wantString(t, "slot, though there is a newer manifest", w.notify(direct), "x_y=4 slot\na coap://[::1]:5683/x_y/app-slot0.riot.suit.latest.bin")
		if told := w.eventsSince(0, ota.PackageNotified); len(told) != 6 || !strings.Contains(told[2], `"failed":["e"]`) {
			t.Errorf("told %q", told)
		}
	})
	slices.Sort(d.got)
	wantString(t, "what devices got", strings.Join(d.got[1:4], "\n"), "[fd00::1]/url coap://[::1]:5683/x_y/manifest\n[fd00::1]:1/sub/suit/trigger coap://[::1]:5683/x_y/app-slot1.riot.suit.latest.bin\na/suit/trigger coap://[::1]:5683/x_y/app-riot.suitv4_signed.3.bin")
}

// Dead devices keep nobody waiting for longer than their share.
func TestDeadDevicesAmongMany(t *testing.T) {
	d := &devices{dead: map[string]bool{}}
	w := newWorld(t, withDevices(d))
	n := fleet.Notification{ID: "a", Scheme: ota.SchemeAuto}
	for i := range 250 {
		host := fmt.Sprintf("host%d", i)
		d.dead[host] = i%2 == 0
		n.Targets = append(n.Targets, host+"/url")
	}
	n.Targets = append(n.Targets, "host1/again", "host1:5683/third")
	synctest.Test(t, func(t *testing.T) {
		w.ctx = t.Context()
		w.puts(fleet.Publication{ID: "a"}, "manifest:m", "a=r1 manifest")
		start := time.Now()
		out, err := w.Notify(w.ctx, ns, n)
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took > 90*time.Second {
			t.Errorf("it took %v", took)
		}
		for i, told := range out.Devices {
			if told.Target != n.Targets[i] || (told.Err == nil) == (i < 250 && i%2 == 0) {
				t.Errorf("%d: %+v", i, told)
			}
		}
	})
	if d.atOnce > 64 || len(d.got) != 127 {
		t.Errorf("%d at once, %d told", d.atOnce, len(d.got))
	}
	for _, line := range d.got {
		if strings.HasPrefix(line, "two") {
			t.Error(line)
		}
	}
}

// Whoever asked waits for all of them, and gives up after two minutes.
func TestManyPathsAtADeadDevice(t *testing.T) {
	d := &devices{dead: map[string]bool{"dead": true}}
	w := newWorld(t, withDevices(d))
	n := fleet.Notification{ID: "a", Scheme: ota.SchemeAuto}
	for i := range 256 {
		n.Targets = append(n.Targets, []string{fmt.Sprint("dead/", i), fmt.Sprint("slow/", i)}[i%2])
	}
	synctest.Test(t, func(t *testing.T) {
		w.ctx = t.Context()
		w.puts(fleet.Publication{ID: "a"}, "manifest:m", "a=r1 manifest")
		start := time.Now()
		out, err := w.Notify(w.ctx, ns, n)
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took > 110*time.Second {
			t.Errorf("it took %v", took)
		}
		failed := 0
		for _, told := range out.Devices {
			if told.Err != nil {
				failed++
			}
		}
		if failed != 128+28 { // the slow one takes a second for each
			t.Errorf("%d of %d failed", failed, len(out.Devices))
		}
	})
}

func TestNotificationsThatAreRefused(t *testing.T) {
	d := &devices{}
	b := newBoard(t)
	w := newWorld(t, withSUIT(b), withDevices(d))
	if _, err := w.publishFile(fleet.Publication{ID: "a"}, "manifest", b.manifest(3, "file1", "image")); err != nil {
		t.Fatal(err)
	}
	n := fleet.Notification{ID: "a", Scheme: ota.SchemeAuto, Targets: []string{"host/url"}}
	_, err := w.Notify(w.ctx, ns, n)
	wantRefusal(t, err, "file1 is not stored here")
	n.Targets = append(n.Targets, "coap://x", "[ff02::1]/x")
	_, err = w.Notify(w.ctx, ns, n)
	wantKind(t, err, ota.KindInvalid, "invalid_target")
	if !strings.Contains(err.Error(), "coap://x") || !strings.Contains(err.Error(), "[ff02::1]") {
		t.Errorf("not all are told: %v", err)
	}
	n.Targets = nil
	_, err = w.Notify(w.ctx, ns, n)
	wantKind(t, err, ota.KindInvalid, "invalid_target")
	for i := range 257 {
		n.Targets = append(n.Targets, fmt.Sprintf("h%d", i))
	}
	_, err = w.Notify(w.ctx, ns, n)
	wantKind(t, err, ota.KindInvalid, "invalid_target")
	n.ID, n.Targets = "a//b", []string{"h"}
	_, err = w.Notify(w.ctx, ns, n)
	wantKind(t, err, ota.KindInvalid, "invalid_publish_id")
	if len(d.got) > 0 {
		t.Errorf("devices heard %q", d.got)
	}

	n.ID, n.Force = "a", true
	synctest.Test(t, func(t *testing.T) {
		out, err := w.Notify(t.Context(), ns, n)
		if err != nil || len(out.Forced) != 1 || len(w.eventsSince(0, ota.PackageForced)) != 1 {
			t.Errorf("by force: %+v, %v", out, err)
		}
	})
	_, err = newWorld(t).Notify(w.ctx, ns, n)
	wantKind(t, err, ota.KindUnavailable, "no_coap")
}
