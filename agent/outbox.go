package agent

import (
	"cmp"
	"reflect"
	"slices"
	"strings"

	"github.com/updraft-ota/updraft/ota"
)

// The outbox is the journal's reports that the server does not have yet. They
// share the journal's files, so that an outcome and its report become durable
// in one step.

// What may wait. Whoever reaches a gateway can report anything, and while the
// server is away all of it is kept, on disk and in memory.
const (
	maxQueued      = 100     // reports of one update
	maxQueuedBytes = 4 << 20 // of them, roughly
	maxStrange     = 8 << 20 // bytes of reports on updates that the server never told of
)

// file puts a report into the outbox, unless the same one waits there. It
// fails with KindTooMany if too many others of that update do, or on updates
// that the server never told of.
func (s *State) file(r ota.Report) error {
	e, _ := s.entry(r.Update)
	for _, q := range e.Reports {
		if reflect.DeepEqual(q.Report, r) {
			return nil
		}
	}
	size := size(SendUpdateReport{r})
	if n := len(e.Reports); n >= maxQueued || n > 0 && e.waiting()+size > maxQueuedBytes {
		return ota.Fail(ota.KindTooMany, "outbox_full", "%d reports of update %s wait already", n, r.Update)
	}
	if e.strange() && s.strange()+size > maxStrange {
		return ota.Fail(ota.KindTooMany, "outbox_full", "too many reports wait already on updates that the server never told of")
	}
	s.last++
	e.Reports = append(slices.Clone(e.Reports), Queued{Seq: s.last, Report: r})
	e.Step, e.Success = Concluded, r.Success()
	return s.put(e)
}

// waiting is about how many bytes an update's reports hold.
func (e Entry) waiting() int {
	n := 0
	for _, q := range e.Reports {
		n += size(SendUpdateReport{q.Report})
	}
	return n
}

// strange reports whether only somebody on the device spoke of an update.
func (e Entry) strange() bool { return e.Package == (ota.PackageID{}) }

// strange is about how many bytes reports on such updates hold.
func (s *State) strange() int {
	n := 0
	for _, e := range s.entries {
		if e.strange() {
			n += e.waiting()
		}
	}
	return n
}

// unsent lists the reports that wait, oldest first.
func (s *State) unsent() []Queued {
	var list []Queued
	for _, e := range s.entries {
		list = append(list, e.Reports...)
	}
	slices.SortFunc(list, func(a, b Queued) int { return cmp.Compare(a.Seq, b.Seq) })
	return list
}

// settle takes a report out of the outbox: the server has it (Reported) or
// will never take it (Refused).
func (s *State) settle(q Queued, how Step) error {
	e, ok := s.entry(q.Report.Update)
	if !ok {
		return nil
	}
	e.Reports = slices.DeleteFunc(slices.Clone(e.Reports), func(o Queued) bool { return o.Seq == q.Seq })
	if len(e.Reports) == 0 {
		e.Step = how
	}
	if err := s.put(e); err != nil {
		return err
	}
	return s.prune()
}

// deliverable makes a report one that any server takes: operation ids become
// UUIDs, the original ones move into the text (client.md 5.4), and texts keep
// their last ota.MaxResultText bytes. It fails with KindInvalid.
func deliverable(r ota.Report) (ota.Report, error) {
	r.Results = slices.Clone(r.Results)
	for i := range r.Results {
		res := &r.Results[i]
		if _, err := ota.ParseUpdateID(res.ID); err != nil && res.ID != string(r.Update) {
			if res.ID != "" {
				res.Text = clipHead(res.ID, 200) + ": " + tail(res.Text, ota.MaxResultText-256)
			}
			res.ID = string(r.Update)
		}
		res.Text = tail(strings.ToValidUTF8(res.Text, "\uFFFD"), ota.MaxResultText)
	}
	return r, r.Validate()
}

// tail returns at most n bytes of the end of s, whole characters only.
func tail(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[len(s)-n:], "")
}

// clipHead returns at most n bytes of the beginning of s, whole characters only.
func clipHead(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}
