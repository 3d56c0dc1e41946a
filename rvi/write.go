package rvi

import (
	"strconv"

	"github.com/updraft-ota/updraft/ota"
)

// writer appends the one object of a message's parameters.
type writer struct {
	b     []byte
	first bool
}

// params begins the array that every message is wrapped in (rvi.md 2.6).
func params(b []byte) writer { return writer{b: append(b, "[{"...), first: true} }

func (w *writer) done() []byte { return append(w.b, "}]"...) }

func (w *writer) comma() {
	if !w.first {
		w.b = append(w.b, ',')
	}
	w.first = false
}

// key writes a member's name, which needs no escapes.
func (w *writer) key(name string) {
	w.comma()
	w.b = append(append(append(w.b, '"'), name...), `":`...)
}

func (w *writer) text(name, s string) {
	w.key(name)
	w.b = appendText(w.b, s)
}

// maybe writes a text that is not empty.
func (w *writer) maybe(name, s string) {
	if s != "" {
		w.text(name, s)
	}
}

func (w *writer) number(name string, n int64) {
	w.key(name)
	w.b = strconv.AppendInt(w.b, n, 10)
}

func (w *writer) boolean(name string, v bool) {
	w.key(name)
	w.b = strconv.AppendBool(w.b, v)
}

func (w *writer) open(name string) {
	w.key(name)
	w.b = append(w.b, '{')
	w.first = true
}

func (w *writer) close() {
	w.b = append(w.b, '}')
	w.first = false
}

// list writes n objects, each by a call of f.
func (w *writer) list(name string, n int, f func(i int)) {
	w.key(name)
	w.b = append(w.b, '[')
	w.first = true
	for i := range n {
		w.comma()
		w.b = append(w.b, '{')
		w.first = true
		f(i)
		w.close()
	}
	w.b = append(w.b, ']')
	w.first = false
}

func (w *writer) packageID(p ota.PackageID) {
	w.text("name", p.Name)
	w.text("version", p.Version)
}

func (w *writer) unit(u Unit) {
	if u.Update != "" {
		w.text("update_id", string(u.Update))
		return
	}
	w.open("package")
	w.packageID(u.Package)
	w.close()
}

func (w *writer) sender(i Identity) {
	if i.Device != "" {
		w.text("device", string(i.Device))
		return
	}
	w.text("vin", i.VIN)
}

// appendText appends s as a JSON string; bytes that are not UTF-8 become U+FFFD.
func appendText(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r < ' ':
			b = append(b, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default:
			b = append(b, string(r)...)
		}
	}
	return append(b, '"')
}
