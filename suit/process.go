package suit

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/updraft-ota/updraft/ota"
)

// Processor carries manifests out on a device. The zero value trusts nobody.
type Processor struct {
	Device    Device
	Dialect   Dialect // the one it reads
	Trusted   []Key
	Installed *uint64 // sequence number of the manifest installed last; nil for none
}

// Failure is why a manifest was not carried out, and at which command. It is
// the error of Install and Boot.
type Failure struct {
	Reason Reason
	At     Record // what the command was; the zero value if it was none
	Err    error  // cause
}

func (f *Failure) Error() string {
	if f.At.Section == 0 {
		return fmt.Sprintf("%s: %v", f.Reason, f.Err)
	}
	return fmt.Sprintf("%s, in %s at %d: %v", f.Reason, f.At.Section, f.At.Offset, f.Err)
}

func (f *Failure) Unwrap() error { return f.Err }

// Install carries out what an envelope asks for, up to checking what was
// installed. Nothing of the device is touched before the manifest was
// authenticated and its sequence number compared. It fails with a *Failure;
// the report tells the same to the server. The caller notes the sequence
// number of what was installed.
func (p *Processor) Install(ctx context.Context, envelope []byte) (*Manifest, Report, error) {
	return p.process(ctx, envelope, installation...)
}

// installation are the sections of Install, in order.
var installation = []SectionKey{DependencyResolution, PayloadFetch, CandidateVerification, Install, Validate}

// Boot checks, loads and runs what was installed by an envelope.
func (p *Processor) Boot(ctx context.Context, envelope []byte) (*Manifest, Report, error) {
	return p.process(ctx, envelope, Validate, Load, InvokeSection)
}

func (p *Processor) process(ctx context.Context, envelope []byte, sections ...SectionKey) (*Manifest, Report, error) {
	var report Report
	e, m, err := p.accept(envelope)
	if e != nil {
		report.Manifest = e.Digest
	}
	if err == nil {
		report.URI = m.ReferenceURI
		if err = p.current(m, sections); err == nil {
			err = run(ctx, p.Device, e, m, sections, &report)
		}
	}
	report.Result = resultOf(err)
	return m, report, err
}

// accept reads and authenticates.
func (p *Processor) accept(envelope []byte) (*Envelope, *Manifest, error) {
	e, err := Open(envelope)
	if err != nil {
		return nil, nil, &Failure{Reason: ReasonParse, Err: err}
	}
	if e.Dialect != p.Dialect {
		return nil, nil, &Failure{Reason: ReasonParse, Err: ota.Invalid("the manifest is in the %s dialect, the device reads the %s one", e.Dialect, p.Dialect)}
	}
	if _, err := e.Authenticate(p.Trusted); err != nil {
		return e, nil, &Failure{Reason: e.distrust(), Err: err}
	}
	m, err := e.Manifest()
	if err != nil {
		return e, nil, &Failure{Reason: ReasonParse, Err: err}
	}
	if e.Dialect == RIOT {
		v := Verdict{Envelope: e, Manifest: m}
		v.checkRIOT(len(envelope))
		if !v.OK() {
			return e, nil, &Failure{Reason: ReasonParse, Err: ota.Invalid("%s", strings.Join(v.Reasons(), "; "))}
		}
	}
	return e, m, nil
}

// distrust tells signatures that nobody here could check from those that are
// not good.
func (e *Envelope) distrust() Reason {
	unknown := func(b Block) bool { return b.Structure != Sign1 && b.Structure != Mac0 }
	odd := func(b Block) bool { return unknown(b) || !algorithms[b.Algorithm] }
	all := func(is func(Block) bool) bool {
		return len(e.Blocks) > 0 && !slices.ContainsFunc(e.Blocks, func(b Block) bool { return !is(b) })
	}
	switch {
	case all(unknown):
		return ReasonCOSE
	case all(odd) || len(e.Blocks) > 0 && e.Digest.Algorithm.hasher() == nil:
		return ReasonAlgorithm
	}
	return ReasonUnauthorised
}

// current refuses other versions of the format, manifests older than what is
// installed, and parts that are missing.
func (p *Processor) current(m *Manifest, sections []SectionKey) error {
	if m.Version != Version {
		return &Failure{Reason: ReasonParse, Err: ota.Invalid("version %d of manifests is not known", m.Version)}
	}
	installing := sections[len(sections)-1] == Validate
	if last := p.Installed; last != nil && (m.Sequence < *last || m.Sequence == *last && m.Dialect == RIOT && installing) {
		return &Failure{Reason: ReasonCondition, Err: ota.Invalid("sequence number %d is not newer than %d, which is installed", m.Sequence, *last)}
	}
	if installing && !m.asks(sections) { // not even its class would be looked at
		return &Failure{Reason: ReasonOperation, Err: errIdle}
	}
	for _, key := range sections {
		s := m.Section(key)
		switch {
		case s == nil || s.Where == Inline || s.Intact:
		case s.Where == Severed:
			return &Failure{Reason: ReasonSevering, Err: ota.Invalid("the %s section was taken away", key)}
		default:
			return &Failure{Reason: ReasonUnauthorised, Err: ota.Invalid("the %s section is not what was signed", key)}
		}
	}
	return nil
}

// errIdle is a manifest that only starts what is there, or not even that.
var errIdle = ota.Invalid("the manifest neither installs nor checks anything")

// asks reports whether there is anything to do.
func (m *Manifest) asks(sections []SectionKey) bool {
	return slices.ContainsFunc(sections, func(key SectionKey) bool { return m.Section(key) != nil })
}

// run carries out sections that there are, one after another.
func run(ctx context.Context, d Device, e *Envelope, m *Manifest, sections []SectionKey, report *Report) error {
	for _, key := range sections {
		s := m.Section(key)
		if s == nil {
			continue
		}
		machine := &machine{ctx: ctx, device: d, envelope: e, manifest: m, report: report, params: map[uint64]Params{}}
		if err := machine.section(Shared, m.Shared); err != nil {
			return err
		}
		if err := machine.section(key, s.Sequence); err != nil {
			return err
		}
	}
	return nil
}
