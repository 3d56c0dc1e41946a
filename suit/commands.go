package suit

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/updraft-ota/updraft/ota"
)

// errParameter is a parameter that a command needs and that is not set, or
// that the device can do nothing with.
var errParameter = errors.New("the parameters do not allow it")

// mismatch is an image that is not the one expected, with what it is.
type mismatch struct{ found Params }

func (e *mismatch) Error() string {
	return fmt.Sprintf("found an image of %v bytes with digest %v", e.found.Get(ParamSize), e.found.Get(ParamDigest))
}

func (e *mismatch) Unwrap() error { return errFalse }

// param finds a parameter that a command cannot do without.
func param[T any](ps Params, key ParamKey) (T, error) {
	v, ok := ps.Get(key).(T)
	if !ok {
		return v, fmt.Errorf("%w: %s is not set", errParameter, key)
	}
	return v, nil
}

// command does a condition or a directive on one component.
func (m *machine) command(code Code, c ComponentID, ps Params) error {
	switch code {
	case CheckVendor, CheckClass, CheckDevice:
		return m.identify(code, c, ps)
	case CheckImage:
		return m.match(c, ps)
	case CheckOtherImage:
		switch err := m.match(c, ps); {
		case errors.Is(err, errFalse):
			return nil
		case err == nil:
			return errFalse
		default:
			return err
		}
	case CheckContent:
		content, err := param[[]byte](ps, ParamContent)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(content)
		return m.match(c, Params{{ParamDigest, Digest{SHA256, sum[:]}}, {ParamSize, uint64(len(content))}})
	case CheckSlot:
		n, err := param[uint64](ps, ParamSlot)
		if err == nil && !m.device.Slot(c, n) {
			err = errFalse
		}
		return err
	case Abort:
		return errFalse
	case Fetch:
		return m.fetch(c, ps)
	case Write:
		return m.write(c, ps)
	case Copy:
		return m.move(c, ps, m.device.Copy)
	case Swap:
		return m.move(c, ps, m.device.Swap)
	case Invoke:
		args, _ := ps.Get(ParamInvokeArgs).([]byte)
		return m.device.Invoke(c, args)
	}
	return m.extended(code, c, ps)
}

var identifiers = map[Code]ParamKey{CheckVendor: ParamVendor, CheckClass: ParamClass, CheckDevice: ParamDevice}

func (m *machine) identify(code Code, c ComponentID, ps Params) error {
	kind := identifiers[code]
	id, ok := ps.Get(kind).(uuid.UUID)
	if pen, isPEN := ps.Get(kind).(PEN); isPEN {
		id, ok = pen.ID(), true
	}
	switch {
	case !ok:
		return fmt.Errorf("%w: %s is not set", errParameter, kind)
	case !m.device.Is(kind, c, id):
		return errFalse
	}
	m.vendor = m.vendor || code == CheckVendor
	m.class = m.class || code == CheckClass
	return nil
}

// match compares what is in a component with what should be.
func (m *machine) match(c ComponentID, ps Params) error {
	want, err := param[Digest](ps, ParamDigest)
	if err != nil {
		return err
	}
	sum, size, err := m.device.Measure(c, ps)
	if err != nil {
		return err
	}
	expected, sized := ps.Get(ParamSize).(uint64)
	if !sum.Equal(want) || sized && size != expected {
		return &mismatch{Params{{ParamDigest, sum}, {ParamSize, size}}}
	}
	return nil
}

func (m *machine) fetch(c ComponentID, ps Params) error {
	uri, err := param[string](ps, ParamURI)
	if err != nil {
		return err
	}
	if m.manifest.Dialect == RIOT && !(m.vendor && m.class) {
		return ota.Invalid("vendor and class were not checked before")
	}
	if err := m.decrypts(ps); err != nil {
		return err
	}
	if content, ok := m.envelope.Payload(uri); ok {
		return m.device.Write(c, content, ps)
	}
	return m.device.Fetch(m.ctx, c, uri, ps)
}

func (m *machine) write(c ComponentID, ps Params) error {
	content, err := param[[]byte](ps, ParamContent)
	if err == nil {
		err = m.decrypts(ps)
	}
	if err != nil {
		return err
	}
	return m.device.Write(c, content, ps)
}

// move copies or swaps.
func (m *machine) move(c ComponentID, ps Params, how func(c, other ComponentID, ps Params) error) error {
	from, err := param[uint64](ps, ParamSource)
	if err == nil {
		err = m.decrypts(ps)
	}
	if err != nil {
		return err
	}
	source := m.manifest.Component(from)
	if source == nil {
		return ota.Invalid("there is no component %d", from)
	}
	return how(c, source, ps)
}

// decrypts makes sure that no ciphertext is installed as if it were an image.
func (m *machine) decrypts(ps Params) error {
	info, encrypted := ps.Get(ParamEncryption).([]byte)
	if !encrypted {
		return nil
	}
	if d, ok := m.device.(Decrypter); !ok || !d.Decrypts(info) {
		return fmt.Errorf("%w: it is encrypted for somebody else", errParameter)
	}
	return nil
}

func (m *machine) extended(code Code, c ComponentID, ps Params) error {
	x, ok := m.device.(Extension)
	if !ok {
		return ErrUnsupported
	}
	holds, err := x.Extended(m.ctx, code, c, ps)
	if err == nil && !holds {
		err = errFalse
	}
	return err
}
