package web

import (
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

// How many updates a page shows, and how many a version on an application's
// page, or a device in a list, does.
const (
	maxUpdates = 50
	maxNewest  = 10
	maxActive  = 3
)

// update is one with its device's name, what the device reported, and how far
// it is.
type update struct {
	ota.Update
	Name    string // of the device; "" if it is gone
	Results []ota.StoredResult
	Moving  []ota.Transfer // files of it that are under way
}

// updateList is one page of updates, the newest first.
type updateList struct {
	Shown  []update
	Counts map[ota.Status]int // of all pages, whatever the status that is shown
	Status ota.Status         // "" is any
	Pages  pages

	path  string
	query url.Values
}

// total counts the updates of every status.
func (l updateList) total() (n int) {
	for _, count := range l.Counts {
		n += count
	}
	return n
}

// moving reports whether bytes of any that is shown are under way, which is
// no event.
func (l updateList) moving() bool {
	return slices.ContainsFunc(l.Shown, func(u update) bool { return len(u.Moving) > 0 })
}

// withStatus is where only those of a status are listed; "" is any.
func (l updateList) withStatus(s ota.Status) string {
	q := url.Values{}
	for key, v := range l.query {
		q[key] = v
	}
	q.Del("from")
	if q.Del("status"); s != "" {
		q.Set("status", string(s))
	}
	return l.path + "?" + q.Encode()
}

// updates lists the page of updates that the request's status and from name.
func (p *Pages) updates(r *http.Request, filter ota.UpdateFilter, path string, query url.Values, max int) (l updateList, err error) {
	l = updateList{Status: ota.Status(r.URL.Query().Get("status")), path: path, query: query}
	if !l.Status.Valid() {
		l.Status = ""
	}
	if l.Counts, err = p.Fleet.CountUpdates(r.Context(), filter); err != nil {
		return l, err
	}
	total := l.total()
	if l.Status != "" {
		filter.Statuses, total = []ota.Status{l.Status}, l.Counts[l.Status]
		query.Set("status", string(l.Status))
	}
	filter.Newest, filter.Offset, filter.Limit = true, fromOf(r), max
	l.Shown, err = p.named(r, filter)
	l.Pages = paged("updates", filter.Offset, len(l.Shown), max, total, path, query, "updates")
	return l, err
}

// newestUpdates lists the newest few, and counts all.
func (p *Pages) newestUpdates(r *http.Request, filter ota.UpdateFilter) (l updateList, err error) {
	if l.Counts, err = p.Fleet.CountUpdates(r.Context(), filter); err != nil || len(l.Counts) == 0 {
		return l, err
	}
	filter.Newest, filter.Limit = true, maxNewest
	l.Shown, err = p.named(r, filter)
	return l, err
}

// named lists updates with their devices' names.
func (p *Pages) named(r *http.Request, filter ota.UpdateFilter) ([]update, error) {
	found, err := p.Fleet.Updates(r.Context(), filter)
	if err != nil {
		return nil, err
	}
	ids := make([]ota.DeviceID, len(found))
	for i, u := range found {
		ids[i] = u.Device
	}
	names, err := p.Fleet.Names(r.Context(), filter.Namespace, ids)
	moving := p.transfers()
	list := make([]update, len(found))
	for i, u := range found {
		list[i] = update{Update: u, Name: names[u.Device]}
		if u.Status.Active() {
			list[i].Moving = moving[under{u.Device, u.ID}]
		}
	}
	return list, err
}

// under names an update whose bytes are under way.
type under struct {
	device ota.DeviceID
	update ota.UpdateID
}

// transfers are what is under way to devices that are on the line.
func (p *Pages) transfers() map[under][]ota.Transfer {
	moving := map[under][]ota.Transfer{}
	if p.Links == nil {
		return moving
	}
	for _, l := range p.Links() {
		for _, t := range l.Transfers {
			at := under{l.Device, t.Update}
			moving[at] = append(moving[at], t)
		}
	}
	return moving
}

// updatesPage lists the updates to a version.
func (p *Pages) updatesPage(w http.ResponseWriter, r *http.Request, ns ota.Namespace) error {
	q := r.URL.Query()
	id := ota.PackageID{Name: q.Get("name"), Version: q.Get("version")}
	if _, err := p.Fleet.Package(r.Context(), ns, id); err != nil {
		return err
	}
	f, err := p.watched(r, "Updates to "+id.String(), url.Values{"app": {id.Name}})
	if err != nil {
		return err
	}
	l, err := p.updates(r, ota.UpdateFilter{Namespace: ns, Package: id}, "/updates", versionQuery(id), maxUpdates)
	if err != nil {
		return err
	}
	f.Moving = l.moving()
	return p.show(w, r, http.StatusOK, updatesPage(f, id, l))
}

// life tells in a few words where an update stands, and since when.
func (u update) life() (word string, at time.Time) {
	switch {
	case u.Status == ota.Pending && u.Tries > 0:
		return count(u.Tries, "try", "tries") + " without an answer, the last", u.UpdatedAt
	case u.Status == ota.Pending:
		return "waits since", u.CreatedAt
	case u.Status == ota.InFlight && !u.SentAt.IsZero():
		return "sent, to be reported, since", u.SentAt
	case u.Status == ota.InFlight:
		return "under way since", u.UpdatedAt
	}
	return "", u.EndedAt
}

// statusWord is a status for people.
func statusWord(s ota.Status) string {
	if s == ota.InFlight {
		return "In flight"
	}
	return string(s)
}

// statusClass colours it.
func statusClass(s ota.Status) string {
	switch s {
	case ota.Finished:
		return "good"
	case ota.Failed, ota.Expired:
		return "bad"
	case ota.InFlight:
		return "busy"
	}
	return ""
}

func versionQuery(id ota.PackageID) url.Values {
	return url.Values{"name": {id.Name}, "version": {id.Version}}
}

func updatesURL(id ota.PackageID) string { return "/updates?" + versionQuery(id).Encode() }
