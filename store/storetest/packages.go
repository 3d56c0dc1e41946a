package storetest

import (
	"time"

	"github.com/updraft-ota/updraft/ota"
)

func (w *world) publish(p ota.Package) {
	w.Helper()
	w.write(func(tx ota.Tx) error { return tx.PutPackage(p) })
}

func (w *world) published(f ota.PackageFilter) (ids []string) {
	w.Helper()
	for _, p := range ask(w, func(tx ota.ReadTx) ([]ota.Package, error) { return tx.Packages(f) }) {
		ids = append(ids, p.ID.String())
	}
	return ids
}

var packages = []story{
	{"a package comes back as it was put", func(w *world) {
		w.publish(app)
		w.same(ask(w, func(tx ota.ReadTx) (ota.Package, error) { return tx.Package(home, app.ID) }), app)
		w.same(ask(w, func(tx ota.ReadTx) ([]ota.Package, error) { return tx.Packages(ota.PackageFilter{Namespace: home}) }), []ota.Package{app})
	}},

	{"putting a package again replaces it with its files", func(w *world) {
		w.publish(app)
		p := app
		p.UUID, p.Vendor, p.Description, p.CreatedAt, p.Forced = "other", "them", "", p.CreatedAt.Add(time.Hour), nil
		p.Artifacts = []ota.Artifact{{Name: "only", Sums: ota.Sums{Size: 1, SHA256: "new"}}}
		w.publish(p)
		w.same(ask(w, func(tx ota.ReadTx) (ota.Package, error) { return tx.Package(home, app.ID) }), p)
		used := func(d ota.Digest) bool {
			return ask(w, func(tx ota.ReadTx) (bool, error) { return tx.BlobInUse(d) })
		}
		w.same([]bool{used("aa"), used("dd"), used("new")}, []bool{false, false, true})
	}},

	{"packages are sorted by name and age, filtered and cut into pages", func(w *world) {
		at := app.CreatedAt
		for _, p := range []ota.PackageID{{Name: "b", Version: "1"}, {Name: "a", Version: "2"}, {Name: "B", Version: "1"}, {Name: "a", Version: "10"}, {Name: "a", Version: "1"}} {
			at = at.Add(time.Second)
			w.publish(ota.Package{Namespace: home, ID: p, CreatedAt: at, Artifacts: app.Artifacts})
		}
		w.publish(ota.Package{Namespace: away, ID: ota.PackageID{Name: "a", Version: "2"}, Artifacts: app.Artifacts})
		all := []string{"B=1", "a=2", "a=10", "a=1", "b=1"}
		w.same(w.published(ota.PackageFilter{Namespace: home}), all)
		w.same(w.published(ota.PackageFilter{Namespace: home, Name: "a"}), all[1:4])
		w.same(w.published(ota.PackageFilter{Namespace: home, Name: "a", Offset: 1, Limit: 1}), all[2:3])
		w.same(w.published(ota.PackageFilter{Namespace: home, Offset: 4}), all[4:])
		w.same(w.published(ota.PackageFilter{Namespace: home, Newest: true}), []string{"B=1", "a=1", "a=10", "a=2", "b=1"})
		w.same(w.published(ota.PackageFilter{Namespace: home, Name: "a", Newest: true, Limit: 2}), []string{"a=1", "a=10"})
		w.same(w.published(ota.PackageFilter{Namespace: away}), all[1:2])
		w.same(w.published(ota.PackageFilter{Namespace: "nowhere"}), []string{})
	}},

	{"a file is found by the beginning of its digest", func(w *world) {
		file := func(name string, sum ota.Digest) ota.Artifact {
			return ota.Artifact{Name: name, Signature: "by " + name, Sums: ota.Sums{Size: 5, SHA256: sum, SHA1: "1", MD5: "2"}}
		}
		w.publish(ota.Package{Namespace: home, ID: ota.PackageID{Name: "a", Version: "1"}, Artifacts: []ota.Artifact{file("x", "aab1"), file("y", "aaff")}})
		w.publish(ota.Package{Namespace: away, ID: ota.PackageID{Name: "a", Version: "1"}, Artifacts: []ota.Artifact{file("z", "aaa0")}})
		find := func(prefix string) func(tx ota.ReadTx) (ota.Artifact, error) {
			return func(tx ota.ReadTx) (ota.Artifact, error) { return tx.ArtifactByDigest(home, prefix) }
		}
		w.same(ask(w, find("aa")), file("x", "aab1"))
		w.same(ask(w, find("aaf")), file("y", "aaff"))
		w.same(ask(w, find("aaff")), file("y", "aaff"))
		for _, none := range []string{"aaa", "ab", "aaff0", "b", "AA"} {
			_, err := look(w, find(none))
			w.refuses(err, ota.KindNotFound, "missing_entity")
		}
	}},

	{"the same id in two namespaces is two packages", func(w *world) {
		theirs := app
		theirs.Namespace, theirs.Vendor = away, "them"
		w.publish(app)
		w.publish(theirs)
		w.write(func(tx ota.Tx) error { return tx.DeletePackage(home, app.ID) })
		w.same(ask(w, func(tx ota.ReadTx) (ota.Package, error) { return tx.Package(away, app.ID) }), theirs)
		_, err := look(w, func(tx ota.ReadTx) (any, error) { return tx.Package(home, app.ID) })
		w.refuses(err, ota.KindNotFound, "missing_package")
		w.same(ask(w, func(tx ota.ReadTx) (bool, error) { return tx.BlobInUse("aa") }), true)
		w.write(func(tx ota.Tx) error { return tx.DeletePackage(away, app.ID) })
		w.same(ask(w, func(tx ota.ReadTx) (bool, error) { return tx.BlobInUse("aa") }), false)
		w.refuses(w.try(func(tx ota.Tx) error { return tx.DeletePackage(away, app.ID) }), ota.KindNotFound, "missing_package")
	}},
}
