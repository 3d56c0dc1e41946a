package fleet

import (
	"context"
	"sync"

	"github.com/updraft-ota/updraft/ota"
)

// edition remembers what was found out about packages for as long as none
// changes: anybody may ask, also for what is not there, and must not make the
// store, or the disk, look each time.
type edition[K comparable, V any] struct {
	mu    sync.Mutex
	at    uint64 // see Fleet.Edition
	known map[K]V
	cost  int
}

// maxEdition bounds what is remembered, in whatever keep's cost counts.
const maxEdition = 50_000

type publishKey struct {
	ns ota.Namespace
	id string
}

// knownVersions is Versions for whoever does not change the list. It is empty
// for an id that nobody published.
func (f *Fleet) knownVersions(ctx context.Context, ns ota.Namespace, id string) ([]ota.Package, error) {
	edition, key := f.Edition(), publishKey{ns, id} // the edition before the look
	if newest, ok := f.versions.find(edition, key); ok {
		return newest, nil
	}
	newest, err := f.Packages(ctx, ota.PackageFilter{Namespace: ns, Name: id, Newest: true})
	if err == nil {
		cost := 1
		for _, p := range newest {
			cost += len(p.Artifacts)
		}
		f.versions.keep(edition, key, newest, cost)
	}
	return newest, err
}

func (e *edition[K, V]) find(edition uint64, key K) (V, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	v, ok := e.known[key]
	return v, ok && e.at == edition
}

func (e *edition[K, V]) keep(edition uint64, key K, v V, cost int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if edition < e.at || cost > maxEdition {
		return
	}
	if e.known == nil || edition > e.at || e.cost+cost > maxEdition {
		e.at, e.known, e.cost = edition, map[K]V{}, 0
	}
	e.known[key] = v
	e.cost += cost
}
