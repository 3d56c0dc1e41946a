package dbus

import (
	"fmt"
	"strings"

	godbus "github.com/godbus/dbus/v5"

	"github.com/updraft-ota/updraft/agent"
	"github.com/updraft-ota/updraft/ota"
)

// arg is an argument, as introspection tells it.
type arg struct{ name, signature string }

// method is one that we offer. read makes a command of as many values as there
// are arguments. It fails with KindInvalid or KindTooLarge.
type method struct {
	name string
	in   []arg
	read func(body []any) (agent.Command, error)
}

var methods = []method{
	{"initiateDownload", []arg{{"update_id", "s"}}, readInitiateDownload},
	{"updateReport", []arg{{"update_id", "s"}, {"operations_results", "aa{sv}"}}, readUpdateReport},
	{"sendInstalledPackages", []arg{{"packages", "a(ss)"}}, readInstalledPackages},
}

// event is the signal: an event's name, and the event as JSON (client.md 4.3).
const event = "Event"

var eventArgs = []arg{{"name", "s"}, {"json", "s"}}

// Names of errors in the D-Bus specification. Arguments that are wrong are
// InvalidArgs, where the original has names of its own that are none.
const (
	errFailed           = "org.freedesktop.DBus.Error.Failed"
	errInvalidArgs      = "org.freedesktop.DBus.Error.InvalidArgs"
	errLimitsExceeded   = "org.freedesktop.DBus.Error.LimitsExceeded"
	errUnknownObject    = "org.freedesktop.DBus.Error.UnknownObject"
	errUnknownInterface = "org.freedesktop.DBus.Error.UnknownInterface"
	errUnknownMethod    = "org.freedesktop.DBus.Error.UnknownMethod"
)

const introspectable = "org.freedesktop.DBus.Introspectable"

// object answers method calls to one path. Through face and call the library
// finds it for every path, interface and method there may be, so that all that
// is wrong is told in one place, by its standard name.
type object struct {
	door *Gateway
	path string
}

type face struct {
	object
	name string // "" if the caller names none
}

type call struct {
	face
	method string
}

// LookupObject lets the library find an object.
func (g *Gateway) LookupObject(path godbus.ObjectPath) (godbus.ServerObject, bool) {
	return object{g, string(path)}, true
}

func (o object) LookupInterface(name string) (godbus.Interface, bool) { return face{o, name}, true }
func (f face) LookupMethod(name string) (godbus.Method, bool)         { return call{f, name}, true }

// DecodeArguments leaves them to the method.
func (call) DecodeArguments(_ *godbus.Conn, _ string, _ *godbus.Message, body []any) ([]any, error) {
	return body, nil
}

// The library asks these only of methods whose arguments it decodes.
func (call) NumArguments() int     { return 0 }
func (call) NumReturns() int       { return 0 }
func (call) ArgumentValue(int) any { return nil }
func (call) ReturnValue(int) any   { return nil }

// Call answers. Its errors are *godbus.Error.
func (c call) Call(body ...any) ([]any, error) {
	ours, children := c.door.nodes(c.path)
	if !ours && len(children) == 0 {
		return nil, failure(errUnknownObject, "there is no object %s", c.path)
	}
	switch {
	case c.method == "Introspect" && (c.name == introspectable || c.name == ""):
		return []any{c.door.introspect(ours, children)}, nil
	case ours && (c.name == c.door.cfg.Interface || c.name == ""):
		return nil, c.command(body)
	case c.name == introspectable:
		return nil, c.unknown()
	}
	return nil, failure(errUnknownInterface, "there is no interface %s at %s", c.name, c.path)
}

// command reads one of our methods and has it done.
func (c call) command(body []any) error {
	for _, m := range methods {
		if m.name != c.method {
			continue
		}
		command, err := m.command(body)
		if err == nil {
			err = c.door.post(command)
		}
		if err != nil {
			c.door.log.Warn("refused a call", "method", m.name, "err", err)
			return refusal(err)
		}
		return nil
	}
	return c.unknown()
}

func (m method) command(body []any) (agent.Command, error) {
	if err := count(body, m.in); err != nil {
		return nil, err
	}
	return m.read(body)
}

func (c call) unknown() error {
	return failure(errUnknownMethod, "there is no method %s", c.method)
}

// refusal names an error as the specification does.
func refusal(err error) *godbus.Error {
	name := errFailed
	switch ota.KindOf(err) {
	case ota.KindInvalid:
		name = errInvalidArgs
	case ota.KindTooLarge, ota.KindTooMany:
		name = errLimitsExceeded
	}
	return failure(name, "%v", err)
}

func failure(name, format string, args ...any) *godbus.Error {
	return godbus.NewError(name, []any{sayable(fmt.Sprintf(format, args...))})
}

// sayable makes any text one that the bus carries.
func sayable(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}
