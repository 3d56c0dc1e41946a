package image

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
)

// members are those of a JSON object, not yet read. encoding/json alone would
// take a name in any letter case, the last of two that are alike, and null for
// anything.
type members struct {
	left map[string]json.RawMessage
	err  error // the first that was wrong
}

// readMembers splits an object. It fails if text is anything else, or if a
// name comes twice.
func readMembers(text []byte) (*members, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, cause(err, "expected an object")
	}
	ms := &members{left: map[string]json.RawMessage{}}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		name, _ := t.(string)
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, err
		}
		if _, twice := ms.left[name]; twice {
			return nil, fmt.Errorf("member %q is there twice", name)
		}
		ms.left[name] = value
	}
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the object")
	}
	return ms, nil
}

func cause(err error, text string) error {
	if err != nil {
		return err
	}
	return errors.New(text)
}

const (
	required = true
	optional = false
)

// read takes a member out, into v.
func (ms *members) read(name string, v any, must bool) bool {
	raw, ok := ms.left[name]
	delete(ms.left, name)
	switch {
	case !ok && must:
		ms.fail(name, "it is missing")
	case ok && string(raw) == "null":
		ms.fail(name, "it is null")
	case ok:
		if err := json.Unmarshal(raw, v); err != nil {
			ms.fail(name, "%v", err)
		}
	}
	return ok
}

func (ms *members) fail(name, format string, args ...any) {
	if ms.err == nil {
		ms.err = fmt.Errorf("%s: %s", name, fmt.Sprintf(format, args...))
	}
}

// line reads a short text on one line that is not empty.
func (ms *members) line(name string, to *string, must bool) {
	if there := ms.read(name, to, must); there && (*to == "" || len(*to) > maxLine || !printable(*to)) {
		ms.fail(name, "expected 1 to %d bytes without control characters", maxLine)
	}
}

// text reads a text that may be missing.
func (ms *members) text(name string, to *string) {
	if ms.read(name, to, optional); len(*to) > maxText {
		ms.fail(name, "it is longer than %d bytes", maxText)
	}
}

func (ms *members) list(name string, to *[]json.RawMessage) { ms.read(name, to, required) }

// object reads an object of texts that may be missing.
func (ms *members) object(name string) map[string]string {
	var raw json.RawMessage
	if !ms.read(name, &raw, optional) || ms.err != nil {
		return nil
	}
	inner, err := readMembers(raw)
	if err != nil {
		ms.fail(name, "%v", err)
		return nil
	}
	texts := map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(inner.left)) {
		var value string
		inner.read(key, &value, required)
		if len(value) > maxText || !printable(value) {
			inner.fail(key, "expected at most %d bytes without control characters", maxText)
		}
		texts[key] = value
	}
	if inner.err != nil {
		ms.fail(name, "%v", inner.err)
	}
	return texts
}

// end tells what was wrong, or what is left.
func (ms *members) end() error {
	if ms.err == nil && len(ms.left) > 0 {
		return fmt.Errorf("member %q is not known here", slices.Sorted(maps.Keys(ms.left))[0])
	}
	return ms.err
}
