package suit

import (
	"context"
	"errors"
	"slices"

	"github.com/google/uuid"
)

// maxRuns bounds how many devices a survey plays.
const maxRuns = 64

// wanted is a file that a manifest makes some device fetch.
type wanted struct {
	component     ComponentID
	dependency    bool // it is a manifest itself
	uri           string
	digest        *Digest // nil if it is never compared
	size          *uint64
	encrypted     bool
	slot          *uint64 // of the device that fetches it
	vendor, class uuid.UUID
}

// survey is what a manifest would do on all sorts of devices: it is carried
// out on one after another, each of which answers one question differently.
type survey struct {
	files    []wanted
	classes  []Class // of devices that do not refuse it as somebody else's
	anybody  bool    // some device takes it without being asked for its class
	problems []error // what no device could do
	capped   bool    // there are more sorts of devices than were played
}

// surveyOf plays devices: first one that says yes to every question, then
// those that say no to one, and so on. No is what leads to alternatives.
func surveyOf(m *Manifest) survey {
	var s survey
	waiting := [][]bool{nil}
	for run := 0; run < len(waiting); run++ {
		first := waiting[run]
		d := imagine(m, first)
		s.play(m, d)
		for i := len(first); i < len(d.answers); i++ {
			if len(waiting) == maxRuns {
				s.capped = true
				break
			}
			waiting = append(waiting, append(slices.Clone(d.answers[:i]), false))
		}
	}
	return s
}

func (s *survey) play(m *Manifest, d *imagined) {
	var report Report
	// Without its envelope, integrated payloads are fetched like any other.
	err := run(context.Background(), d, &Envelope{}, m, installation, &report)
	for _, f := range d.files {
		if !slices.ContainsFunc(s.files, f.same) {
			s.files = append(s.files, f)
		}
	}
	if f, ok := errors.AsType[*Failure](err); ok && f.Reason != ReasonCondition {
		if !slices.ContainsFunc(s.problems, func(p error) bool { return p.Error() == err.Error() }) {
			s.problems = append(s.problems, err)
		}
	}
	found := d.classes()
	s.anybody = s.anybody || err == nil && len(found) == 0
	for _, c := range found {
		if !slices.Contains(s.classes, c) {
			s.classes = append(s.classes, c)
		}
	}
}

func (f wanted) same(o wanted) bool {
	return f.uri == o.uri && f.component.Equal(o.component) && equal(f.size, o.size) && equal(f.slot, o.slot) &&
		f.vendor == o.vendor && f.class == o.class && (f.digest == nil) == (o.digest == nil) && (f.digest == nil || f.digest.Equal(*o.digest))
}

func equal(a, b *uint64) bool { return a == b || a != nil && b != nil && *a == *b }

// imagined is a device that makes up its mind as it is asked, and stays with
// what it said: who it is, and in which slot.
type imagined struct {
	manifest *Manifest
	answers  []bool // to the questions so far, and first those to begin with
	asked    int

	ids      map[question]uuid.UUID
	not      map[question][]uuid.UUID
	slots    map[string]uint64
	notSlots map[string][]uint64
	holds    map[string][]int // the files in a component that something was put into
	files    []wanted
}

var (
	_ Device    = (*imagined)(nil)
	_ Extension = (*imagined)(nil)
	_ Decrypter = (*imagined)(nil)
)

func imagine(m *Manifest, answers []bool) *imagined {
	return &imagined{manifest: m, answers: slices.Clone(answers), ids: map[question]uuid.UUID{}, not: map[question][]uuid.UUID{},
		slots: map[string]uint64{}, notSlots: map[string][]uint64{}, holds: map[string][]int{}}
}

// question is who a component is.
type question struct {
	kind      ParamKey
	component string
}

// decide answers yes unless told otherwise.
func (d *imagined) decide() bool {
	if d.asked == len(d.answers) {
		d.answers = append(d.answers, true)
	}
	d.asked++
	return d.answers[d.asked-1]
}

func (d *imagined) Is(kind ParamKey, c ComponentID, id uuid.UUID) bool {
	q := question{kind, c.String()}
	if is, known := d.ids[q]; known || slices.Contains(d.not[q], id) {
		return known && is == id
	}
	if d.decide() {
		d.ids[q] = id
		return true
	}
	d.not[q] = append(d.not[q], id)
	return false
}

func (d *imagined) Slot(c ComponentID, slot uint64) bool {
	name := c.String()
	if is, known := d.slots[name]; known || slices.Contains(d.notSlots[name], slot) {
		return known && is == slot
	}
	if d.decide() {
		d.slots[name] = slot
		return true
	}
	d.notSlots[name] = append(d.notSlots[name], slot)
	return false
}

// Measure finds what is expected in a component that something was put into;
// what else is there may be right or not.
func (d *imagined) Measure(c ComponentID, expected Params) (Digest, uint64, error) {
	digest, _ := expected.Get(ParamDigest).(Digest)
	size, sized := expected.Get(ParamSize).(uint64)
	held, filled := d.holds[c.String()]
	if !filled && !d.decide() {
		return Digest{}, 0, nil
	}
	for _, i := range held {
		f := &d.files[i]
		if f.digest == nil {
			f.digest = &digest
		}
		if f.size == nil && sized {
			f.size = &size
		}
	}
	return digest, size, nil
}

func (d *imagined) Fetch(_ context.Context, c ComponentID, uri string, ps Params) error {
	f := wanted{component: c, dependency: d.isDependency(c), uri: uri, encrypted: ps.Get(ParamEncryption) != nil,
		vendor: d.ids[question{ParamVendor, c.String()}], class: d.ids[question{ParamClass, c.String()}]}
	if digest, ok := ps.Get(ParamDigest).(Digest); ok {
		f.digest = &digest
	}
	if size, ok := ps.Get(ParamSize).(uint64); ok {
		f.size = &size
	}
	if slot, ok := d.slots[c.String()]; ok {
		f.slot = &slot
	}
	d.holds[c.String()] = []int{len(d.files)}
	d.files = append(d.files, f)
	return nil
}

func (d *imagined) isDependency(c ComponentID) bool {
	return slices.ContainsFunc(d.manifest.Dependencies, func(dep Dependency) bool { return dep.Prefix.Equal(c) })
}

func (d *imagined) Write(c ComponentID, _ []byte, _ Params) error {
	d.holds[c.String()] = nil
	return nil
}

// Copy puts the same files into another component, unless it decrypts them.
func (d *imagined) Copy(c, from ComponentID, ps Params) error {
	d.holds[c.String()] = nil
	if ps.Get(ParamEncryption) == nil {
		d.holds[c.String()] = d.holds[from.String()]
	}
	return nil
}

func (d *imagined) Swap(c, other ComponentID, ps Params) error {
	was, filled := d.holds[c.String()]
	err := d.Copy(c, other, ps)
	if d.holds[other.String()] = was; !filled {
		delete(d.holds, other.String())
	}
	return err
}

func (d *imagined) Invoke(ComponentID, []byte) error { return nil }

func (d *imagined) Decrypts([]byte) bool { return true }

func (d *imagined) Extended(_ context.Context, code Code, _ ComponentID, _ Params) (bool, error) {
	return !conditions[code] || d.decide(), nil
}

// classes are the vendor and class of each component that has both.
func (d *imagined) classes() (found []Class) {
	for _, c := range d.manifest.Components {
		vendor, isVendor := d.ids[question{ParamVendor, c.String()}]
		class, isClass := d.ids[question{ParamClass, c.String()}]
		if isVendor && isClass {
			found = append(found, Class{vendor, class})
		}
	}
	return found
}
