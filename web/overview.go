package web

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

// How much a page shows; the rest is behind a search, or on the next page.
const (
	maxApps    = 100
	maxDevices = 25
)

// overview is the first page.
type overview struct {
	Apps    []application
	More    int // applications that are not shown
	Query   string
	Devices deviceList
}

// deviceList is one page of the devices.
type deviceList struct {
	Shown   []ota.DeviceSummary
	Updates map[ota.DeviceID][]ota.Update // that have not ended, a few of each
	Pages   pages
	Blocked int  // of all
	Only    bool // those are shown
	query   string
}

// where lists all devices again, or only those that are blocked.
func (l deviceList) where(blocked bool) string {
	q := url.Values{}
	if l.query != "" {
		q.Set("q", l.query)
	}
	if blocked {
		q.Set("blocked", "1")
	}
	return "/?" + q.Encode() + "#devices"
}

func (p *Pages) overview(w http.ResponseWriter, r *http.Request, ns ota.Namespace) error {
	f, err := p.watched(r, "Applications", nil)
	if err != nil {
		return err
	}
	q := r.URL.Query()
	o := overview{Query: strings.TrimSpace(q.Get("q"))}
	if o.Apps, o.More, err = p.applications(r.Context(), ns, o.Query); err != nil {
		return err
	}
	if o.Devices, err = p.devices(r, ns, o.Query); err != nil {
		return err
	}
	return p.show(w, r, http.StatusOK, overviewPage(f, o))
}

// devices lists a page of the devices beside what was searched.
func (p *Pages) devices(r *http.Request, ns ota.Namespace, query string) (l deviceList, err error) {
	from := fromOf(r)
	l.Only, l.query = r.URL.Query().Has("blocked"), query
	if _, l.Blocked, err = p.Fleet.Devices(r.Context(), ota.DeviceFilter{Namespace: ns, Blocked: true, Limit: 1}); err != nil {
		return l, err
	}
	shown, total, err := p.Fleet.Devices(r.Context(), ota.DeviceFilter{Namespace: ns, Blocked: l.Only, Offset: from, Limit: maxDevices})
	if err != nil {
		return l, err
	}
	l.Shown, l.Updates = shown, map[ota.DeviceID][]ota.Update{}
	keep := url.Values{}
	if query != "" {
		keep.Set("q", query)
	}
	if l.Only {
		keep.Set("blocked", "1")
	}
	l.Pages = paged("devices", from, len(shown), maxDevices, total, "/", keep, "devices")
	for _, d := range shown {
		if d.Active == 0 {
			continue
		}
		filter := ota.UpdateFilter{Namespace: ns, Device: d.ID, Statuses: []ota.Status{ota.Pending, ota.InFlight}, Limit: maxActive}
		if l.Updates[d.ID], err = p.Fleet.Updates(r.Context(), filter); err != nil && ota.KindOf(err) != ota.KindNotFound {
			return l, err
		}
	}
	return l, nil
}

// size of a package's files together, in bytes.
func size(p ota.Package) (n int64) {
	for _, a := range p.Artifacts {
		n += a.Size
	}
	return n
}

// bytesText writes a number of bytes for people.
func bytesText(n int64) string {
	if n < 1<<10 {
		return strconv.FormatInt(n, 10) + " B"
	}
	value, unit := float64(n)/(1<<10), 0
	for value >= 999.95 && unit < 3 {
		value, unit = value/(1<<10), unit+1
	}
	return strconv.FormatFloat(value, 'f', 1, 64) + " " + []string{"KiB", "MiB", "GiB", "TiB"}[unit]
}

// number writes a number for people: in thousands, with narrow gaps.
func number(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "\u202f" + text[i:]
	}
	return text
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return number(n) + " " + many
}

// moment writes an instant for people.
func moment(t time.Time) string { return t.UTC().Format("2 Jan 2006, 15:04:05 UTC") }

// machine writes it for browsers.
func machine(t time.Time) string { return t.UTC().Format(time.RFC3339) }
