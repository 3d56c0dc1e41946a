package suit

import (
	"context"
	"errors"

	"github.com/updraft-ota/updraft/ota"
)

// maxSteps bounds what a section may do: sequences nested in each other and
// done for every component multiply.
const maxSteps = 10_000

// errFalse is a condition that does not hold.
var errFalse = errors.New("the condition does not hold")

// machine carries out the sequences of one section: the shared one, and its
// own.
type machine struct {
	ctx      context.Context
	device   Device
	envelope *Envelope
	manifest *Manifest
	report   *Report

	at     SectionKey
	index  []uint64          // components selected
	params map[uint64]Params // by component
	nested int               // sequences we are in, besides the section's own
	steps  int
	// RIOT fetches only what it was told to be for this device (6.4).
	vendor, class bool
}

func (m *machine) section(key SectionKey, seq Sequence) error {
	m.at, m.index = key, []uint64{0}
	_, err := m.sequence(seq, false)
	return err
}

// sequence does one command after another. A condition that does not hold
// ends it: with an error, or just so if it is soft. Directives that fail are
// always errors (7.2, rule 8).
func (m *machine) sequence(seq Sequence, soft bool) (done bool, err error) {
	for _, c := range seq {
		if err := m.step(c, 1+len(c.Many)); err != nil {
			return false, err
		}
		switch c.Code {
		case SetComponent:
			err = m.selectComponents(c)
		case OverrideMultiple:
			err = m.overrideMany(c)
		case SetParameters, OverrideParameters:
			if v, ok := c.Params.Get(ParamSoftFailure).(bool); ok {
				soft = v
			}
			fallthrough
		default:
			done, err = m.forEach(c, soft)
			if !done && err == nil {
				return false, nil
			}
		}
		if err != nil {
			return false, err
		}
	}
	return true, nil
}

func (m *machine) step(c Command, n int) error {
	if m.steps += n; m.steps > maxSteps {
		return m.fail(c, 0, ReasonOperation, ota.Invalid("it takes more than %d steps", maxSteps))
	}
	return nil
}

func (m *machine) selectComponents(c Command) error {
	m.index = c.Index.List
	if c.Index.All {
		m.index = nil
		for i := range m.manifest.Components {
			m.index = append(m.index, uint64(i))
		}
	}
	if len(m.index) == 0 { // conditions would hold that nobody was asked
		return m.fail(c, 0, ReasonComponent, ota.Invalid("it selects no component"))
	}
	return m.exist(c, m.index...)
}

// exist fails if an index stands for nothing.
func (m *machine) exist(c Command, indexes ...uint64) error {
	for _, i := range indexes {
		if m.manifest.Component(i) == nil {
			return m.fail(c, i, ReasonComponent, ota.Invalid("there is no component %d", i))
		}
	}
	return nil
}

// forEach does a command for each component selected. It answers done ==
// false for a soft failure.
func (m *machine) forEach(c Command, soft bool) (done bool, err error) {
	selected := m.index
	defer func() { m.index = selected }()
	for _, i := range selected {
		if err := m.step(c, 1); err != nil {
			return false, err
		}
		m.index = []uint64{i}
		err := m.one(c, i)
		m.record(c, i, err)
		if err != nil {
			if soft && isSoft(c.Code, err) {
				return false, nil
			}
			return false, m.failure(c, i, err)
		}
	}
	return true, nil
}

// isSoft reports whether a failure only ends the sequence it is in, where
// that is allowed. A condition that cannot be answered does not hold. A
// failure of a nested sequence that was not soft is final, as is that of a
// directive.
func isSoft(code Code, err error) bool {
	if _, final := errors.AsType[*Failure](err); final {
		return false
	}
	return errors.Is(err, errFalse) || conditions[code] && (errors.Is(err, errParameter) || errors.Is(err, ErrUnsupported))
}

// one does a command for one component. A condition that does not hold is an
// errFalse.
func (m *machine) one(c Command, i uint64) error {
	switch {
	case m.manifest.Dialect == RIOT && !riotCommands[c.Code]:
		return ErrUnsupported
	case m.at == Shared && !conditions[c.Code] && !sharedDirectives[c.Code]:
		return ota.Invalid("the shared sequence may only ask and set parameters")
	}
	switch c.Code {
	case SetParameters, OverrideParameters:
		if m.nested == 0 && c.Params.Get(ParamSoftFailure) != nil {
			return ota.Invalid("conditions may only be soft in a sequence that is tried or run")
		}
		// RIOT takes both alike: its install sequences set what the shared
		// one has set before.
		m.set(i, c.Params, c.Code == OverrideParameters || m.manifest.Dialect == RIOT)
		return nil
	case CopyParameters:
		return m.copyParams(c, i)
	case TryEach:
		return m.try(c)
	case RunSequence, RIOTRunSequence:
		_, err := m.sequenceWithin(c.Run, false)
		return err
	}
	id := m.manifest.Component(i)
	if id == nil {
		return ota.Invalid("there is no component %d", i)
	}
	return m.command(c.Code, id, m.params[i])
}

// try does the first sequence whose conditions all hold.
func (m *machine) try(c Command) error {
	for _, seq := range c.Tries {
		if done, err := m.sequenceWithin(seq, true); done || err != nil {
			return err
		}
	}
	return errFalse
}

func (m *machine) sequenceWithin(seq Sequence, soft bool) (done bool, err error) {
	m.nested++
	defer func() { m.nested-- }()
	return m.sequence(seq, soft)
}

// set gives a component parameters, those it has already only if told so.
func (m *machine) set(i uint64, params Params, override bool) {
	now := append(Params{}, m.params[i]...)
	for _, p := range params {
		at := now.index(p.Key)
		switch {
		case at < 0 && len(now) < maxParams:
			now = append(now, p)
		case at < 0: // what is not set fails where it is needed
		case override:
			now[at] = p
		}
	}
	m.params[i] = now
}

func (m *machine) overrideMany(c Command) error {
	for _, many := range c.Many {
		if err := m.exist(c, many.Index); err != nil {
			return err
		}
		if many.Params.Get(ParamSoftFailure) != nil {
			return m.fail(c, many.Index, ReasonParameter, ota.Invalid("%s is not of one component", ParamSoftFailure))
		}
		m.set(many.Index, many.Params, true)
	}
	return nil
}

func (m *machine) copyParams(c Command, i uint64) error {
	for _, from := range c.Copies {
		for _, key := range from.Keys {
			value := m.params[from.From].Get(ParamKey(key))
			if value == nil {
				return ota.Invalid("%s of component %d is not set", ParamKey(key), from.From)
			}
			m.set(i, Params{{ParamKey(key), value}}, true)
		}
	}
	return nil
}

// record notes what happened, where the author asked for it.
func (m *machine) record(c Command, i uint64, err error) {
	want := uint64(recordSuccess)
	if err != nil {
		want = recordFailure
	}
	if c.Policy&want != 0 && len(m.report.Records) < maxRecords {
		m.report.Records = append(m.report.Records, m.where(c, i, err))
	}
}

func (m *machine) where(c Command, i uint64, err error) Record {
	r := Record{Section: m.at, Offset: uint64(c.Offset), Component: i}
	if measured, ok := errors.AsType[*mismatch](err); ok {
		r.Properties = measured.found
	}
	return r
}

// failure is what one failed with, as the end of it all. A nested command
// that failed is what is told, not the one that holds it.
func (m *machine) failure(c Command, i uint64, err error) error {
	if f, ok := errors.AsType[*Failure](err); ok {
		return f
	}
	switch {
	case errors.Is(err, errFalse):
		return m.fail(c, i, ReasonCondition, err)
	case errors.Is(err, errParameter):
		return m.fail(c, i, ReasonParameter, err)
	case errors.Is(err, ErrUnsupported):
		return m.fail(c, i, ReasonCommand, err)
	}
	return m.fail(c, i, ReasonOperation, err)
}

func (m *machine) fail(c Command, i uint64, reason Reason, err error) error {
	return &Failure{Reason: reason, At: m.where(c, i, err), Err: within(c.Code.String(), err)}
}
