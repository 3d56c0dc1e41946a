package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"unicode/utf8"

	"github.com/updraft-ota/updraft/ota"
)

// maxDepth bounds the nesting of arrays and objects. Commands and events need
// five levels; the rest is for members that are ignored.
const maxDepth = 32

// fields are the arguments of a variant, not yet read.
type fields []json.RawMessage

// decode reads a variant and lets of make the value from its name and fields.
func decode[T any](data []byte, of func(string, fields) (T, error)) (T, error) {
	var none T
	switch {
	case len(data) > maxInput:
		return none, ota.Invalid("Failed to parse JSON: more than %d bytes", maxInput)
	case !utf8.Valid(data):
		return none, ota.Invalid("Failed to parse JSON: it is not UTF-8")
	case tooDeep(data):
		return none, ota.Invalid("Failed to parse JSON: nested deeper than %d", maxDepth)
	}
	var raw json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		return none, ota.Invalid("Failed to parse JSON: %v", err)
	}
	name, f, err := variant(raw)
	if err == nil {
		var v T
		if v, err = of(name, f); err == nil {
			return v, nil
		}
	}
	return none, ota.Invalid("Failed to decode JSON: %v", err)
}

// variant splits "Name" or {"variant":"Name","fields":[…]}.
func variant(raw json.RawMessage) (string, fields, error) {
	var name string
	if json.Unmarshal(raw, &name) == nil && string(raw) != "null" {
		return name, nil, nil
	}
	var v struct {
		Variant string            `json:"variant"`
		Fields  []json.RawMessage `json:"fields"`
	}
	err := strict(raw, reflect.ValueOf(&v).Elem())
	return v.Variant, v.Fields, err
}

func (f fields) none() error { return f.count(0) }

func (f fields) count(n int) error {
	if len(f) != n {
		return fmt.Errorf("fields: expected %d, not %d", n, len(f))
	}
	return nil
}

func one[A, T any](f fields, make func(A) T) (T, error) {
	var a A
	if err := f.count(1); err != nil {
		return make(a), err
	}
	err := strict(f[0], reflect.ValueOf(&a).Elem())
	return make(a), err
}

func two[A, B, T any](f fields, make func(A, B) T) (T, error) {
	var a A
	var b B
	if err := f.count(2); err != nil {
		return make(a, b), err
	}
	err := errors.Join(strict(f[0], reflect.ValueOf(&a).Elem()), strict(f[1], reflect.ValueOf(&b).Elem()))
	return make(a, b), err
}

// strict reads raw into v as encoding/json would, except that a struct's
// members must all be there, under exactly their names, and that only a
// pointer may be null.
func strict(raw json.RawMessage, v reflect.Value) error {
	_, custom := v.Addr().Interface().(json.Unmarshaler)
	switch {
	case v.Kind() == reflect.Pointer:
		if string(raw) == "null" {
			return nil
		}
		v.Set(reflect.New(v.Type().Elem()))
		return strict(raw, v.Elem())
	case v.Type() == reflect.TypeFor[json.RawMessage]():
		return json.Unmarshal(raw, v.Addr().Interface())
	case string(raw) == "null":
		return errors.New("expected a value, not null")
	case custom:
		return json.Unmarshal(raw, v.Addr().Interface())
	case v.Kind() == reflect.Struct:
		return strictStruct(raw, v)
	case v.Kind() == reflect.Slice:
		return strictSlice(raw, v)
	}
	return json.Unmarshal(raw, v.Addr().Interface())
}

func strictStruct(raw json.RawMessage, v reflect.Value) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		return err
	}
	for i := range v.NumField() {
		name := v.Type().Field(i).Tag.Get("json")
		member, ok := members[name]
		if !ok {
			return fmt.Errorf("member %q is missing", name)
		}
		if err := strict(member, v.Field(i)); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func strictSlice(raw json.RawMessage, v reflect.Value) error {
	var items []json.RawMessage
	if err := json.Unmarshal(raw, &items); err != nil {
		return err
	}
	v.Set(reflect.MakeSlice(v.Type(), len(items), len(items)))
	for i, item := range items {
		if err := strict(item, v.Index(i)); err != nil {
			return fmt.Errorf("[%d]: %w", i, err)
		}
	}
	return nil
}

// tooDeep reports whether brackets nest deeper than maxDepth. Brackets within
// strings do not count.
func tooDeep(data []byte) bool {
	depth, quoted := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}
