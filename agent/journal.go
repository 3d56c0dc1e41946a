package agent

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

// Step is how far an update has come on this device.
type Step string

const (
	Known       Step = "offered"     // the server told of it
	Downloading Step = "downloading" // bytes may be in the part file
	Ready       Step = "downloaded"  // the image is on disk, whole and verified
	Installing  Step = "installing"  // the installer has been, or is about to be, called
	Concluded   Step = "concluded"   // the outcome is known, its report waits
	Reported    Step = "reported"    // the server has taken the report
	Refused     Step = "refused"     // the server will not have the report
	Dropped     Step = "withdrawn"   // the server took the update back
)

// steps lists all, in the order of an update's life.
var steps = []Step{Known, Downloading, Ready, Installing, Concluded, Reported, Refused, Dropped}

// ended reports whether the outcome is known, so that nothing starts again.
func (s Step) ended() bool { return s == Concluded || s == Reported || s == Refused }

// FaultPoints names the moments StateOptions.Fault is called at: "before" and
// "after" each step's durable write.
func FaultPoints() []string {
	var list []string
	for _, s := range steps {
		list = append(list, "before "+string(s), "after "+string(s))
	}
	return list
}

// Entry is what the journal knows of one update. It is one file, replaced as
// a whole, so that each step is there or not.
type Entry struct {
	Update    ota.UpdateID
	Package   ota.PackageID
	Step      Step
	Size      int64      // of the image; -1 while unknown
	Digest    ota.Digest // of the image; "" while unknown
	Signature string     // as the server gave it
	Pos       int        // place in the server's install order
	// Confirm: it is not fetched before someone says StartDownload.
	Confirm bool `json:",omitempty"`
	// Runs counts how often the installer was called, Failures how often it
	// failed in a way that may pass.
	Runs     int `json:",omitempty"`
	Failures int `json:",omitempty"`
	// Success tells how an ended update ended.
	Success bool `json:",omitempty"`
	// Reports wait for the server, oldest first; empty once it has them.
	Reports []Queued `json:",omitempty"`
	Seq     int64    // when it changed last, counted over the whole journal
	At      time.Time
}

// Queued is a report that waits for the server. Seq orders reports of all
// updates.
type Queued struct {
	Seq    int64
	Report ota.Report
}

const (
	maxEntry    = 128 << 20 // bytes of one file: a report may have 1000 texts of 64 KiB
	keepEntries = 1000      // finished entries kept for memory's sake
)

// entry returns a copy of what is known of an update.
func (s *State) entry(id ota.UpdateID) (Entry, bool) {
	e, ok := s.entries[id]
	if !ok {
		return Entry{Update: id, Size: -1}, false
	}
	return *e, true
}

// steps returns how far every known update has come.
func (s *State) steps() map[ota.UpdateID]Step {
	m := make(map[ota.UpdateID]Step, len(s.entries))
	for id, e := range s.entries {
		m[id] = e.Step
	}
	return m
}

// at lists the updates that are at one of some steps, in the order they came
// there.
func (s *State) at(steps ...Step) []ota.UpdateID {
	var list []*Entry
	for _, e := range s.entries {
		if slices.Contains(steps, e.Step) {
			list = append(list, e)
		}
	}
	slices.SortFunc(list, func(a, b *Entry) int { return cmp.Compare(a.Seq, b.Seq) })
	ids := make([]ota.UpdateID, len(list))
	for i, e := range list {
		ids[i] = e.Update
	}
	return ids
}

// put makes an entry durable.
func (s *State) put(e Entry) error {
	s.fault("before " + string(e.Step))
	s.last++
	e.Seq, e.At = s.last, time.Now().UTC()
	data, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if err := s.journal.write(fileName(e.Update), data); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	s.entries[e.Update] = &e
	s.fault("after " + string(e.Step))
	return nil
}

// offered records what the server offers. What was withdrawn starts again; an
// update whose image is on disk, or further, stays what it was.
func (s *State) offered(o ota.Offer) error {
	e, known := s.entry(o.Update)
	if !known || e.Step == Dropped {
		e = Entry{Update: o.Update, Step: Known, Size: -1}
	}
	was := e
	switch e.Step {
	case Known, Downloading:
		e.learn(o)
	case Ready, Installing:
		e.Pos = o.Pos
	default:
		return nil
	}
	if known && reflect.DeepEqual(e, was) {
		return nil
	}
	return s.put(e)
}

// learn takes over what an offer tells of an update not yet fetched. Other
// content than before starts anew, and so does the question for consent.
func (e *Entry) learn(o ota.Offer) {
	e.Package, e.Pos, e.Confirm = o.Package, o.Pos, o.Confirm
	if main := o.Main(); main.SHA256 != "" {
		if e.Digest != main.SHA256 {
			e.Step = Known // what may be on disk belongs to it no more
		}
		e.Size, e.Digest, e.Signature = main.Size, main.SHA256, main.Signature
	}
}

// turn returns the update to install next: one whose installation has begun,
// or else the first in the server's order among all that are on their way. It
// is nil if there is none, or if that one is still to be fetched; auto says
// whether updates are fetched unasked.
func (s *State) turn(auto bool) *Entry {
	var first *Entry
	for _, e := range s.entries {
		if e.Step == Installing {
			return e
		}
		coming := e.Step == Downloading || e.Step == Known && auto && !e.Confirm
		if !coming && e.Step != Ready {
			continue
		}
		if first == nil || cmp.Or(cmp.Compare(e.Pos, first.Pos), cmp.Compare(e.Seq, first.Seq)) < 0 {
			first = e
		}
	}
	if first == nil || first.Step != Ready {
		return nil
	}
	return first
}

// undecided lists the updates that wait for someone's consent.
func (s *State) undecided() []ota.UpdateID {
	return slices.DeleteFunc(s.at(Known), func(id ota.UpdateID) bool { return !s.entries[id].Confirm })
}

// load reads the journal. A file that cannot be understood is set aside: one
// damaged entry must not keep a device from updating.
func (s *State) load() error {
	names, err := s.journal.names()
	if err != nil {
		return err
	}
	for _, name := range names {
		switch {
		case strings.HasSuffix(name, badSuffix):
			continue
		case strings.HasPrefix(name, tmpPrefix):
			err = s.journal.remove(name)
		default:
			err = s.loadEntry(name)
		}
		if err != nil {
			return err
		}
	}
	return s.prune()
}

const badSuffix = ".bad"

func (s *State) loadEntry(name string) error {
	data, err := s.journal.read(name, maxEntry)
	if err != nil {
		return err
	}
	var e Entry
	if err := json.Unmarshal(data, &e); err != nil || fileName(e.Update) != name || !slices.Contains(steps, e.Step) {
		s.log.Error("journal entry is damaged and set aside", "file", name, "err", err)
		return s.journal.rename(name, s.journal, name+badSuffix)
	}
	s.entries[e.Update] = &e
	s.last = max(s.last, e.Seq)
	for _, q := range e.Reports {
		s.last = max(s.last, q.Seq)
	}
	return nil
}

// prune forgets the oldest finished entries. Losing the removal in a crash
// does no harm: it happens again.
func (s *State) prune() error {
	var done []*Entry
	for _, e := range s.entries {
		if e.Step == Reported || e.Step == Refused || e.Step == Dropped {
			done = append(done, e)
		}
	}
	if len(done) <= keepEntries {
		return nil
	}
	slices.SortFunc(done, func(a, b *Entry) int { return cmp.Compare(a.Seq, b.Seq) })
	for _, e := range done[:len(done)-keepEntries] {
		if err := s.journal.remove(fileName(e.Update)); err != nil {
			return err
		}
		delete(s.entries, e.Update)
	}
	return nil
}

// fileName turns an update id, which may be any text, into one path element.
func fileName(id ota.UpdateID) string {
	var b strings.Builder
	for _, c := range []byte(id) {
		if c == '-' || c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	const longest = 160
	if b.Len() > longest {
		sum := sha256.Sum256([]byte(id))
		return b.String()[:longest-66] + "~" + hex.EncodeToString(sum[:]) + ".json"
	}
	return b.String() + ".json"
}
