package web

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

// How much a page shows; the rest is behind a search, or on the next page.
const (
	maxApps    = 100
	maxDevices = 50
	maxActive  = 3 // updates of a device in the list
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
	Shown       []ota.DeviceSummary
	Updates     map[ota.DeviceID][]ota.Update // that have not ended, a few of each
	From, Total int
	Query       string // of the other list, to be kept
}

func (l deviceList) next() int { return l.From + len(l.Shown) }
func (l deviceList) prev() int { return max(0, l.From-maxDevices) }

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
	o.Devices, err = p.devices(r, ns, q.Get("from"))
	o.Devices.Query = o.Query
	if err != nil {
		return err
	}
	return p.show(w, r, http.StatusOK, overviewPage(f, o))
}

func (p *Pages) devices(r *http.Request, ns ota.Namespace, from string) (l deviceList, err error) {
	l.From, _ = strconv.Atoi(from) // what is no number is the first page
	l.From = max(0, l.From)
	l.Shown, l.Total, err = p.Fleet.Devices(r.Context(), ota.DeviceFilter{Namespace: ns, Offset: l.From, Limit: maxDevices})
	if err != nil {
		return l, err
	}
	active, err := p.Fleet.Updates(r.Context(), ota.UpdateFilter{Namespace: ns, Statuses: []ota.Status{ota.Pending, ota.InFlight}, Limit: maxLooked})
	l.Updates = map[ota.DeviceID][]ota.Update{}
	for _, u := range active {
		if list := l.Updates[u.Device]; len(list) < maxActive {
			l.Updates[u.Device] = append(list, u)
		}
	}
	return l, err
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

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

// moment writes an instant for people.
func moment(t time.Time) string { return t.UTC().Format("2 Jan 2006, 15:04:05 UTC") }

// machine writes it for browsers.
func machine(t time.Time) string { return t.UTC().Format(time.RFC3339) }
