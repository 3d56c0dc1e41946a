package rvi

import "github.com/updraft-ota/updraft/ota"

// Form is how a message without content is written (rvi.md 4.10, 5.3).
type Form uint8

const (
	FormEmpty  Form = iota // []: as in the seeds
	FormNull               // [null]: what the clients of 2015 really need
	FormObject             // an object: what the clients of 2016 need
)

// FormFor is the form a device understands. compatible is its switch for the
// original programs; getpackages of 2016 is always an object.
func FormFor(d Dialect, of Service, compatible bool) Form {
	switch {
	case d > Dialect2015 && (compatible || of == ServiceGetPackages):
		return FormObject
	case compatible:
		return FormNull
	}
	return FormEmpty
}

// GetPackages asks for the list of installed software (rvi.md 4.3, 8).
type GetPackages struct{ Form Form }

// Abort ends all transfers of a device (rvi.md 4.3, 10; 4.12, A11).
type Abort struct{ Form Form }

func (GetPackages) Service() Service { return ServiceGetPackages }
func (Abort) Service() Service       { return ServiceAbort }

func (GetPackages) toDevice() {}
func (Abort) toDevice()       {}

func (m GetPackages) AppendParams(b []byte) []byte { return m.Form.append(b) }
func (m Abort) AppendParams(b []byte) []byte       { return m.Form.append(b) }

func (f Form) append(b []byte) []byte {
	switch f {
	case FormNull:
		return append(b, "[null]"...)
	case FormObject:
		return append(b, `[{"include_packages":true,"include_module_firmware":true}]`...)
	}
	return append(b, "[]"...)
}

// readForm takes every form, and for these two no parameters at all (rvi.md 4.10).
func readForm(params []byte) (Form, error) {
	if len(params) == 0 {
		return FormEmpty, nil
	}
	v, err := readJSON(params)
	if err != nil {
		return 0, err
	}
	if list, ok := elements(v); ok {
		if len(list) == 0 {
			return FormEmpty, nil
		}
		if len(list) > 1 {
			return 0, ota.Fail(ota.KindInvalid, "extra_parameters", "the message has more than one parameter")
		}
		v = list[0]
	}
	switch {
	case string(v) == "null":
		return FormNull, nil
	case v[0] == '{':
		return FormObject, nil
	}
	return 0, ota.Fail(ota.KindInvalid, "wrong_type:parameters", "parameters must be an array of at most one object")
}
