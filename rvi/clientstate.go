package rvi

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

// What a client must not forget is one small file, replaced as a whole; chunks
// are in files of their own.
const (
	stateFile  = "state.json"
	maxState   = 16 << 20
	maxOffers  = 1000     // remembered
	maxReports = MaxFiles // remembered, to be sent again
)

// memory is what a client must not forget.
type memory struct {
	Family   Dialect // of the last notify: Dialect2015 or Dialect2016
	Services BackendServices
	Offers   []told // in the order they came
	Files    []kept
	Reports  []said // oldest first
}

// told is an offer.
type told struct {
	Unit        Unit
	Package     ota.PackageID
	Size        int64 // as the notify has it: of the update as a whole
	SHA256      ota.Digest
	Signature   string
	Description string
	Confirm     bool
	At          time.Time
}

// kept is a transfer.
type kept struct {
	Start Start
	Stage Stage
}

// said is how an update ended.
type said struct {
	Unit    Unit
	Results []ota.OperationResult
	At      time.Time
	Sent    bool // the node has taken it
	Sure    bool // and the backend has said something since
}

// readMemory reads the file; an empty memory if there is none. A damaged one is
// set aside: the backend will say again what matters.
func readMemory(d *folder, log *slog.Logger) (m memory, err error) {
	data, err := d.read(stateFile, maxState)
	if err != nil || data == nil {
		return m, err
	}
	err = json.Unmarshal(data, &m)
	if err == nil {
		err = m.check()
	}
	if err == nil {
		return m, nil
	}
	log.Error("what the RVI client remembered is damaged and set aside", "file", stateFile+badSuffix, "err", err)
	return memory{}, d.rename(stateFile, stateFile+badSuffix)
}

const badSuffix = ".bad"

// check looks for what the rest could not bear.
func (m memory) check() error {
	for _, k := range m.Files {
		if k.Start.Chunks < 0 || k.Start.Chunks > MaxChunks || k.Stage > Reported {
			return fmt.Errorf("no such transfer: %s with %d chunks, %d", k.Start.Unit, k.Start.Chunks, k.Stage)
		}
	}
	return nil
}

func (m memory) write(d *folder) error {
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return d.write(stateFile, data)
}

func (m memory) clone() memory {
	m.Offers, m.Reports = slices.Clone(m.Offers), slices.Clone(m.Reports)
	return m
}

// sure notes that the backend has said something after the reports that were
// sent; it reports whether that is news.
func (m *memory) sure() (news bool) {
	for i := range m.Reports {
		if r := &m.Reports[i]; r.Sent && !r.Sure {
			r.Sure, news = true, true
		}
	}
	return news
}

func (m *memory) offer(u Unit) *told {
	if i := slices.IndexFunc(m.Offers, func(o told) bool { return o.Unit == u }); i >= 0 {
		return &m.Offers[i]
	}
	return nil
}

// hear takes an offer, in the place of an earlier one of the same unit. What
// was told first gives way to what is too much.
func (m *memory) hear(o told) {
	if was := m.offer(o.Unit); was != nil {
		o.At = was.At
		*was = o
		return
	}
	m.Offers = append(m.Offers, o)
	if n := len(m.Offers) - maxOffers; n > 0 {
		m.Offers = slices.Delete(m.Offers, 0, n)
	}
}

func (m *memory) forget(u Unit) {
	m.Offers = slices.DeleteFunc(m.Offers, func(o told) bool { return o.Unit == u })
}

func (m *memory) report(u Unit) *said {
	if i := slices.IndexFunc(m.Reports, func(r said) bool { return r.Unit == u }); i >= 0 {
		return &m.Reports[i]
	}
	return nil
}

// say remembers a report, in the place of an earlier one of the same unit.
func (m *memory) say(r said) {
	m.unsay(r.Unit)
	m.Reports = append(m.Reports, r)
	if n := len(m.Reports) - maxReports; n > 0 {
		m.Reports = slices.Delete(m.Reports, 0, n)
	}
}

func (m *memory) unsay(u Unit) {
	m.Reports = slices.DeleteFunc(m.Reports, func(r said) bool { return r.Unit == u })
}

// Bounds of what is remembered of a report; what is sent the first time has none.
const (
	mostKept    = 20
	longestKept = 2 << 10 // bytes of a text
)

// short is a report that is small enough to be remembered, and still says the same.
func short(results []ota.OperationResult) []ota.OperationResult {
	var list []ota.OperationResult
	keep := func(success bool) {
		for _, r := range results {
			if r.Code.Success() == success && len(list) < mostKept {
				r.Text = clip(r.Text, longestKept)
				list = append(list, r)
			}
		}
	}
	if len(results) > mostKept {
		keep(false) // that one failed is what matters
		keep(true)
		return list
	}
	for _, r := range results {
		r.Text = clip(r.Text, longestKept)
		list = append(list, r)
	}
	return list
}

// clip is at most n bytes of s.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}
