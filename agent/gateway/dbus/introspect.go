package dbus

import (
	"fmt"
	"strings"
)

// nodes reports whether a path is our object's, and which nodes are right
// below it on the way there.
func (g *Gateway) nodes(path string) (ours bool, children []string) {
	if path == g.cfg.Path {
		return true, nil
	}
	rest, ok := strings.CutPrefix(g.cfg.Path, strings.TrimSuffix(path, "/")+"/")
	if !ok {
		return false, nil
	}
	child, _, _ := strings.Cut(rest, "/")
	return false, []string{child}
}

const introspectHead = `<!DOCTYPE node PUBLIC "-//freedesktop//DTD D-BUS Object Introspection 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd">
<node>
  <interface name="org.freedesktop.DBus.Introspectable">
    <method name="Introspect">
      <arg name="xml_data" type="s" direction="out"/>
    </method>
  </interface>
  <interface name="org.freedesktop.DBus.Peer">
    <method name="Ping"/>
    <method name="GetMachineId">
      <arg name="machine_uuid" type="s" direction="out"/>
    </method>
  </interface>
`

// introspect describes a node in the XML of the D-Bus specification. Names
// need no escaping: the configuration was checked.
func (g *Gateway) introspect(ours bool, children []string) string {
	var b strings.Builder
	b.WriteString(introspectHead)
	if ours {
		fmt.Fprintf(&b, "  <interface name=\"%s\">\n", g.cfg.Interface)
		for _, m := range methods {
			member(&b, "method", m.name, m.in, ` direction="in"`)
		}
		member(&b, "signal", event, eventArgs, "")
		b.WriteString("  </interface>\n")
	}
	for _, child := range children {
		fmt.Fprintf(&b, "  <node name=\"%s\"/>\n", child)
	}
	b.WriteString("</node>\n")
	return b.String()
}

func member(b *strings.Builder, kind, name string, args []arg, direction string) {
	fmt.Fprintf(b, "    <%s name=\"%s\">\n", kind, name)
	for _, a := range args {
		fmt.Fprintf(b, "      <arg name=\"%s\" type=\"%s\"%s/>\n", a.name, a.signature, direction)
	}
	fmt.Fprintf(b, "    </%s>\n", kind)
}
