package web

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/updraft-ota/updraft/fleet"
	"github.com/updraft-ota/updraft/ota"
)

// application is what the list says of one.
type application struct {
	Name     string
	Newest   ota.Package
	Versions int
}

// applications remembers the list of them until a package changes: a fleet of
// devices at work changes the page many times a second, and packages seldom.
type applications struct {
	mu    sync.Mutex
	ns    ota.Namespace
	since int64         // the event up to which the list is right
	list  []application // nil until the first look
}

// applications lists those whose name holds the query, in any letter case;
// what was published last comes first. More are not shown.
func (p *Pages) applications(ctx context.Context, ns ota.Namespace, query string) (list []application, more int, err error) {
	all, err := p.everyApplication(ctx, ns)
	if err != nil {
		return nil, 0, err
	}
	query = strings.ToLower(query)
	for _, a := range all {
		if !strings.Contains(strings.ToLower(a.Name), query) {
			continue
		}
		if len(list) < maxApps {
			list = append(list, a)
		} else {
			more++
		}
	}
	return list, more, nil
}

func (p *Pages) everyApplication(ctx context.Context, ns ota.Namespace) ([]application, error) {
	p.apps.mu.Lock()
	defer p.apps.mu.Unlock()
	last, err := p.Fleet.LastEvent(ctx) // before the look
	if err != nil {
		return nil, err
	}
	if same, err := p.apps.stillRight(ctx, p.Fleet, ns, last); same || err != nil {
		return p.apps.list, err
	}
	packages, err := p.Fleet.Packages(ctx, ota.PackageFilter{Namespace: ns, Newest: true})
	if err != nil {
		return nil, err
	}
	p.apps.ns, p.apps.since, p.apps.list = ns, last, grouped(packages)
	return p.apps.list, nil
}

// stillRight looks through the events up to the last for one about a package.
func (a *applications) stillRight(ctx context.Context, f *fleet.Fleet, ns ota.Namespace, last int64) (bool, error) {
	if a.list == nil || a.ns != ns {
		return false, nil
	}
	for a.since < last {
		events, err := f.Events(ctx, a.since) // there are some, so that it does not wait
		if err != nil {
			return false, err
		}
		for _, e := range events {
			if strings.HasPrefix(string(e.Type), "Package") {
				return false, nil
			}
			a.since = e.Seq
		}
	}
	return true, nil
}

// grouped makes applications of versions, which come by name and then the
// newest first.
func grouped(packages []ota.Package) []application {
	list := []application{}
	for _, p := range packages {
		if n := len(list); n > 0 && list[n-1].Name == p.ID.Name {
			list[n-1].Versions++
			continue
		}
		list = append(list, application{p.ID.Name, p, 1})
	}
	slices.SortStableFunc(list, func(a, b application) int { return b.Newest.CreatedAt.Compare(a.Newest.CreatedAt) })
	return list
}
