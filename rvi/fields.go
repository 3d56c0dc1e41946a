package rvi

import (
	"encoding/hex"
	"strings"

	"github.com/updraft-ota/updraft/ota"
)

// fields are the members of an object, read one by one. The first that is not
// as it must be is the error of the whole message; after it what is read means
// nothing. The codes are the reasons of rvi.md 7.
type fields struct {
	at  string // where the object lies, such as "services."; "" at the top
	m   map[string][]byte
	err *error
}

func (f fields) fail(code, format string, args ...any) {
	if *f.err == nil {
		*f.err = ota.Fail(ota.KindInvalid, code, format, args...)
	}
}

func (f fields) wrong(name, want string) {
	f.fail("wrong_type:"+f.at+name, "%s must be %s", f.at+name, want)
}

func (f fields) outOfRange(name string) {
	f.fail("out_of_range:"+f.at+name, "%s is out of range", f.at+name)
}

// has reports whether there is a member that is not null.
func (f fields) has(name string) bool {
	return f.m[name] != nil && string(f.m[name]) != "null"
}

func (f fields) need(name string) []byte {
	if f.m[name] == nil {
		f.fail("missing_field:"+f.at+name, "%s is missing", f.at+name)
	}
	return f.m[name]
}

// Longest texts, in bytes: the names of services, and what people read.
const (
	maxServiceName = 512
	maxText        = ota.MaxResultText
)

func (f fields) text(name string, longest int) string {
	s, ok := text(f.need(name))
	if !ok {
		f.wrong(name, "a string")
	}
	if len(s) > longest {
		f.outOfRange(name)
		return ""
	}
	return s
}

func (f fields) maybeText(name string, longest int) string {
	if !f.has(name) {
		return ""
	}
	return f.text(name, longest)
}

func (f fields) boolean(name string) bool {
	v := string(f.need(name))
	if v != "true" && v != "false" {
		f.wrong(name, "true or false")
	}
	return v == "true"
}

// number reads a whole number from 0 to most.
func (f fields) number(name string, most int64) int64 {
	n, ok := number(f.need(name))
	switch {
	case !ok:
		f.wrong(name, "a whole number")
	case n < 0 || n > most:
		f.outOfRange(name)
		return 0
	}
	return n
}

// maybeNumber is -1 if there is none.
func (f fields) maybeNumber(name string, most int64) int64 {
	if !f.has(name) {
		return -1
	}
	return f.number(name, most)
}

func (f fields) object(name string) fields {
	m, ok := members(f.need(name))
	if !ok {
		f.wrong(name, "an object")
	}
	return fields{at: f.at + name + ".", m: m, err: f.err}
}

// list reads an array of at most so many elements.
func (f fields) list(name string, most int) [][]byte {
	l, ok := elements(f.need(name))
	if !ok {
		f.wrong(name, "an array")
	}
	if len(l) > most {
		f.outOfRange(name)
		return nil
	}
	return l
}

// entries reads an array of objects; what is wrong in one is told as if it were
// at the given place.
func (f fields) entries(name string, most int, at string, read func(fields)) {
	for _, v := range f.list(name, most) {
		m, ok := members(v)
		if !ok {
			f.wrong(name, "an array of objects")
			return
		}
		read(fields{at: at, m: m, err: f.err})
	}
}

// packageID reads the members name and version.
func (f fields) packageID() ota.PackageID {
	p := ota.PackageID{Name: f.text("name", MaxParams), Version: f.text("version", MaxParams)}
	if *f.err == nil {
		*f.err = checkPackage(p)
	}
	return p
}

func (f fields) uuid(name string) string {
	s, err := ota.ParseUpdateID(f.text(name, MaxParams))
	if err != nil {
		f.fail("bad_uuid:"+f.at+name, "%s must be a UUID", f.at+name)
	}
	return string(s)
}

// unit reads what a transfer is about: update_id if it is there, else package.
func (f fields) unit() Unit {
	if f.has("update_id") {
		return Unit{Update: ota.UpdateID(f.uuid("update_id"))}
	}
	return Unit{Package: f.object("package").packageID()}
}

// unitIn reads what a device speaks of in its dialect.
func (f fields) unitIn(d Dialect) Unit {
	if d == Dialect2015 {
		return Unit{Package: f.object("package").packageID()}
	}
	return Unit{Update: ota.UpdateID(f.uuid("update_id"))}
}

// sender reads who the message says it is from.
func (f fields) sender(d Dialect) Identity {
	if d == Dialect2016 {
		name := "device"
		if !f.has(name) && f.has("device_id") {
			name = "device_id"
		}
		return Identity{Device: ota.DeviceID(f.uuid(name))}
	}
	vin := f.text("vin", MaxParams)
	if *f.err == nil {
		*f.err = checkVIN(vin)
	}
	return Identity{VIN: vin}
}

// hexSum reads n hex digits, and returns them in lower case (rvi.md 4.12, A10).
func (f fields) hexSum(name, code string, n int) string {
	s := f.text(name, MaxParams)
	if b, err := hex.DecodeString(s); err != nil || len(b)*2 != n {
		f.fail(code, "%s must be %d hex digits", f.at+name, n)
	}
	return strings.ToLower(s)
}

// digest reads the optional member sha256 (rvi.md 6.3), "" if there is none.
func (f fields) digest() ota.Digest {
	if !f.has("sha256") {
		return ""
	}
	return ota.Digest(f.hexSum("sha256", "bad_sha256_format", 64))
}
