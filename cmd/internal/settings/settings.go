// Package settings fills a program's configuration from four layers: its
// defaults, then a TOML file, then environment variables, then flags; each
// layer beats those before it.
//
// One Table names every setting once. From the name http-port follow the flag
// --http-port, the key http_port and, for a program whose variables begin
// with UPDRAFT_, the variable UPDRAFT_HTTP_PORT. A table's values point into
// the program's configuration, so filling the table fills that.
//
// Every failure here is wrong usage and one line long.
package settings

import (
	"strings"

	"github.com/spf13/pflag"

	"github.com/updraft-ota/updraft/cmd/internal/usage"
)

// Setting is one thing to configure.
type Setting struct {
	Name  string // of the flag: lower case with dashes
	Value Value
	Usage string // for --help; a `quoted` word names the flag's argument
	// FlagOnly keeps the setting out of the file, where it would make no sense.
	FlagOnly bool
}

// Key is the setting's key in the file.
func (s Setting) Key() string { return strings.ReplaceAll(s.Name, "-", "_") }

// Variable is the setting's environment variable.
func (s Setting) Variable(prefix string) string { return prefix + strings.ToUpper(s.Key()) }

// put sets the value anew, whatever an earlier layer said.
func (s Setting) put(text string) error {
	if list, ok := s.Value.(interface{ Clear() }); ok {
		list.Clear()
	}
	return s.Value.Set(text)
}

// Table lists a program's settings in the order --help shows them.
type Table []Setting

// Flags declares a flag for every setting. Parsing them sets the table's
// values, so flags that must beat other layers belong to a table of their
// own: see Override.
func (t Table) Flags(fs *pflag.FlagSet) {
	for _, s := range t {
		f := fs.VarPF(s.Value, s.Name, "", s.Usage)
		if s.Value.Type() == "bool" {
			f.NoOptDefVal = "true"
		}
	}
}

// Environment sets what variables say. An empty variable says nothing.
func (t Table) Environment(prefix string, getenv func(string) string) error {
	for _, s := range t {
		text := getenv(s.Variable(prefix))
		if text == "" {
			continue
		}
		if err := s.put(text); err != nil {
			return usage.Errorf("%s: %w", s.Variable(prefix), err)
		}
	}
	return nil
}

// Override sets what was given on the command line. The flags were parsed
// into another table's values, and so are known to be right.
func (t Table) Override(fs *pflag.FlagSet) error {
	for _, s := range t {
		if f := fs.Lookup(s.Name); f != nil && f.Changed {
			if err := s.put(f.Value.String()); err != nil {
				return usage.Errorf("--%s: %w", s.Name, err)
			}
		}
	}
	return nil
}

// byKey finds the setting a file's key means.
func (t Table) byKey(key string) (Setting, bool) {
	for _, s := range t {
		if !s.FlagOnly && s.Key() == key {
			return s, true
		}
	}
	return Setting{}, false
}
