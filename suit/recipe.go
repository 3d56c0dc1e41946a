package suit

import (
	"slices"

	"github.com/google/uuid"

	"github.com/updraft-ota/updraft/ota"
)

// Recipe is what manifests are made from: for a class of devices, images and
// the components they go to. A component may have several, one for each slot
// it can be in; the device chooses.
type Recipe struct {
	Dialect       Dialect
	Sequence      uint64
	Vendor, Class uuid.UUID
	Images        []Target
	ReferenceURI  string     // standard only
	Text          []Language // standard only
	Severable     bool       // put installation and text beside the manifest; standard only
	Invoke        bool       // run the first component after it was installed; standard only
}

// Target is an image and where it goes.
type Target struct {
	Component ComponentID
	Slot      *uint64 // number of the slot, for RIOT its offset in flash; nil if there is one place only
	URI       string  // where the image is; none if it is there already
	Sum       []byte  // SHA-256
	Size      uint64
	Content   []byte // put into the envelope, fetched by the URI; nil if it is elsewhere
}

// The reporting policies that manifests of others carry as well.
const (
	policyAlways  = 15
	policyFailure = recordFailure
	policySlot    = 5 // success, and what the state was
)

// Envelope makes the manifest and puts it into an envelope, not yet signed.
// It fails with KindInvalid if the recipe is not complete.
func (r Recipe) Envelope() (*Envelope, error) {
	if err := r.validate(); err != nil {
		return nil, err
	}
	e := &Envelope{Dialect: r.Dialect, Tagged: r.Dialect == Standard}
	m := r.manifest()
	if r.Severable {
		e.sever(m)
	}
	e.manifest = m.encode()
	for _, t := range r.Images {
		if t.Content != nil {
			e.Payloads = append(e.Payloads, Payload{t.URI, t.Content})
		}
	}
	if r.Dialect == RIOT {
		return e, nil
	}
	return e, e.digest()
}

// sever moves what may be severed beside the manifest.
func (e *Envelope) sever(m *Manifest) {
	if s := m.Section(Install); s != nil {
		content := appendSequence(nil, s.Sequence)
		s.Where, s.Digest = InEnvelope, sumSHA256(content)
		e.Members = append(e.Members, Member{int64(Install), content})
	}
	if t := m.Text; t != nil {
		content := appendTexts(nil, t.Languages)
		t.Where, t.Digest = InEnvelope, sumSHA256(content)
		e.Members = append(e.Members, Member{keyText, content})
	}
}

func sumSHA256(content []byte) Digest {
	d, _ := sumWrapped(SHA256, content) // fails only for an algorithm that is not known
	return d
}

func (r Recipe) validate() error {
	switch {
	case len(r.Images) == 0:
		return ota.Invalid("a manifest without an image: name at least one")
	case r.Vendor == uuid.Nil || r.Class == uuid.Nil:
		return ota.Invalid("a manifest needs a vendor and a class, or any device would take it")
	case r.Dialect == RIOT && (r.ReferenceURI != "" || len(r.Text) > 0 || r.Severable || r.Invoke):
		return ota.Invalid("RIOT knows no reference URI, text, severable parts or invocation")
	}
	for i, l := range r.Text {
		if slices.ContainsFunc(r.Text[:i], func(o Language) bool { return o.Tag == l.Tag }) {
			return ota.Invalid("there are two texts in language %q", l.Tag)
		}
	}
	for i, t := range r.Images {
		switch {
		case len(t.Component) == 0:
			return ota.Invalid("image %d has no component to go to", i+1)
		case len(t.Sum) != 32:
			return ota.Invalid("image %d has no SHA-256", i+1)
		case t.Content != nil && (r.Dialect == RIOT || t.URI == ""):
			return ota.Invalid("image %d cannot lie in the envelope: RIOT reads no such, and it needs a URI as its name", i+1)
		}
		for _, o := range r.Images[:i] {
			if o.Component.Equal(t.Component) && (o.Slot == nil || t.Slot == nil || *o.Slot == *t.Slot) {
				return ota.Invalid("component %s has two images for one place: give each a slot of its own", t.Component)
			}
		}
	}
	return nil
}

func (r Recipe) manifest() *Manifest {
	m := &Manifest{Dialect: r.Dialect, Version: Version, Sequence: r.Sequence, ReferenceURI: r.ReferenceURI}
	byComponent := r.group()
	var install, validate, invoke Sequence
	for i, choices := range byComponent {
		m.Components = append(m.Components, choices[0].Component)
		var at Sequence
		if len(byComponent) > 1 {
			at = Sequence{{Code: SetComponent, Index: Index{List: []uint64{uint64(i)}}}}
		}
		m.Shared = append(append(m.Shared, at...), r.shared(choices)...)
		if fetch := r.install(choices); fetch != nil {
			install = append(append(install, at...), fetch...)
		}
		validate = append(append(validate, at...), Command{Code: CheckImage, Policy: policyAlways})
		if r.Invoke && i == 0 {
			invoke = append(at, Command{Code: Invoke, Policy: policyFailure})
		}
	}
	for _, s := range []Section{{Key: Validate, Sequence: validate}, {Key: InvokeSection, Sequence: invoke}, {Key: Install, Sequence: install}} {
		if s.Sequence != nil {
			m.Sections = append(m.Sections, s)
		}
	}
	if len(r.Text) > 0 {
		m.Text = &Text{Languages: inOrder(r.Text)}
	}
	return m
}

// inOrder sorts languages as maps are written (7.2, rule 6).
func inOrder(languages []Language) []Language {
	languages = slices.Clone(languages)
	slices.SortFunc(languages, func(a, b Language) int { return slices.Compare(appendText(nil, a.Tag), appendText(nil, b.Tag)) })
	return languages
}

// group gathers the images of each component.
func (r Recipe) group() (byComponent [][]Target) {
	for _, t := range r.Images {
		i := slices.IndexFunc(byComponent, func(ts []Target) bool { return ts[0].Component.Equal(t.Component) })
		if i < 0 {
			byComponent = append(byComponent, []Target{t})
		} else {
			byComponent[i] = append(byComponent[i], t)
		}
	}
	return byComponent
}

// shared says what a component's image is and for whom.
func (r Recipe) shared(choices []Target) Sequence {
	seq := choose(OverrideParameters, choices, func(t Target) Params {
		return Params{{ParamVendor, r.Vendor}, {ParamClass, r.Class}, {ParamDigest, r.digest(t)}, {ParamSize, t.Size}}
	})
	return append(seq, Command{Code: CheckVendor, Policy: policyAlways}, Command{Code: CheckClass, Policy: policyAlways})
}

func (r Recipe) digest(t Target) Digest {
	if r.Dialect == RIOT {
		return Digest{RIOTSHA256, t.Sum}
	}
	return Digest{SHA256, t.Sum}
}

// install fetches a component's image, if it is not there already.
func (r Recipe) install(choices []Target) Sequence {
	if !slices.ContainsFunc(choices, func(t Target) bool { return t.URI != "" }) {
		return nil
	}
	setter := OverrideParameters
	if r.Dialect == RIOT {
		setter = SetParameters
	}
	seq := choose(setter, choices, func(t Target) Params { return Params{{ParamURI, t.URI}} })
	return append(seq, Command{Code: Fetch, Policy: policyFailure}, Command{Code: CheckImage, Policy: policyAlways})
}

// choose sets parameters: at once those that all choices have in common, and
// the others once the device's slot is known.
func choose(setter Code, choices []Target, of func(Target) Params) Sequence {
	all := make([]Params, len(choices))
	for i, t := range choices {
		all[i] = of(t)
		if t.Slot != nil {
			all[i] = append(all[i], Param{ParamSlot, *t.Slot})
			slices.SortFunc(all[i], func(a, b Param) int { return int(a.Key - b.Key) })
		}
	}
	var seq Sequence
	if common := pick(all[0], all, true); len(common) > 0 {
		seq = append(seq, Command{Code: setter, Params: common})
	}
	atSlot := Command{Code: CheckSlot, Policy: policySlot}
	if len(choices) == 1 {
		if choices[0].Slot != nil {
			seq = append(seq, atSlot)
		}
		return seq
	}
	try := Command{Code: TryEach}
	for i, t := range choices {
		own := slices.DeleteFunc(pick(all[i], all, false), func(p Param) bool { return p.Key == ParamSlot })
		branch := Sequence{{Code: setter, Params: Params{{ParamSlot, *t.Slot}}}, atSlot}
		if len(own) > 0 {
			branch = append(branch, Command{Code: setter, Params: own})
		}
		try.Tries = append(try.Tries, branch)
	}
	return append(seq, try)
}

// pick takes the parameters that are the same in all sets, or those that are
// not.
func pick(of Params, all []Params, same bool) (picked Params) {
	for _, p := range of {
		equal := true
		for _, other := range all {
			equal = equal && slices.Equal(appendParams(nil, Params{p}), appendParams(nil, Params{{p.Key, orNone(other.Get(p.Key))}}))
		}
		if equal == same {
			picked = append(picked, p)
		}
	}
	return picked
}

// orNone stands for a parameter that is not set.
func orNone(value any) any {
	if value == nil {
		return Raw{cborNull}
	}
	return value
}
