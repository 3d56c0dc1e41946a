package fleet

import (
	"context"
	"sync"

	"github.com/updraft-ota/updraft/ota"
)

// editions remembers the versions of publish ids for as long as no package
// changes: anybody may ask for files, also for what is not there, and must not
// make the store read all versions each time.
type editions struct {
	mu    sync.Mutex
	at    uint64 // see Fleet.Edition
	known map[publishKey][]ota.Package
	cost  int
}

type publishKey struct {
	ns ota.Namespace
	id string
}

// maxEditions bounds what is remembered, in files, and ids without any.
const maxEditions = 50_000

// knownVersions is Versions for whoever does not change the list. It is empty
// for an id that nobody published.
func (f *Fleet) knownVersions(ctx context.Context, ns ota.Namespace, id string) ([]ota.Package, error) {
	edition, key := f.Edition(), publishKey{ns, id} // the edition before the look
	if newest, ok := f.editions.find(edition, key); ok {
		return newest, nil
	}
	newest, err := f.Packages(ctx, ota.PackageFilter{Namespace: ns, Name: id, Newest: true})
	if err == nil {
		f.editions.keep(edition, key, newest)
	}
	return newest, err
}

func (e *editions) find(edition uint64, key publishKey) ([]ota.Package, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	newest, ok := e.known[key]
	return newest, ok && e.at == edition
}

func (e *editions) keep(edition uint64, key publishKey, newest []ota.Package) {
	cost := 1
	for _, p := range newest {
		cost += len(p.Artifacts)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if edition < e.at || cost > maxEditions {
		return
	}
	if e.known == nil || edition > e.at || e.cost+cost > maxEditions {
		e.at, e.known, e.cost = edition, map[publishKey][]ota.Package{}, 0
	}
	e.known[key] = newest
	e.cost += cost
}
