package rvi

import (
	"strings"

	"github.com/updraft-ota/updraft/ota"
)

// Dialect is a form of the messages (rvi.md 4, 5).
type Dialect uint8

const (
	Unknown     Dialect = iota // nothing was said yet
	Dialect2015                // packages and VINs
	Dialect2016a
	Dialect2016 // updates and devices; 2016a has updates and VINs
)

func (d Dialect) String() string {
	return [...]string{"unknown", "2015", "2016a", "2016"}[d%4]
}

// ParseDialect reads "2015", "2016a" or "2016". It fails with KindInvalid.
func ParseDialect(s string) (Dialect, error) {
	for _, d := range []Dialect{Dialect2015, Dialect2016a, Dialect2016} {
		if s == d.String() {
			return d, nil
		}
	}
	return Unknown, ota.Invalid("there is no RVI dialect %q: use 2015, 2016a or 2016", s)
}

// Transfers is how many files may be under way to one vehicle at a time, in
// every dialect (rvi.md 4.6).
const Transfers = 3

// Choose is the dialect to notify in (rvi.md 5.6): the one the device used last,
// else the configured one, else what the name of its services suggests.
func Choose(last, configured Dialect, name string) Dialect {
	switch {
	case last != Unknown:
		return last
	case configured != Unknown:
		return configured
	case strings.HasPrefix(name, devicePrefix):
		return Dialect2016
	}
	return Dialect2015
}

func dialectOf(from Identity, of Unit) Dialect {
	switch {
	case from.Device != "":
		return Dialect2016
	case of.Update != "":
		return Dialect2016a
	}
	return Dialect2015
}

// readDialect tells dialects apart by the members of what a device says (rvi.md
// 5.6). Where the identity is missing it tells in which dialect to miss it.
func readDialect(f fields) Dialect {
	update := f.has("update_id") || f.has("update_report")
	installed := f.has("installed_software") || f.has("installed")
	if update && (f.has("package") || f.has("packages")) {
		f.fail("mixed_dialect", "the message holds members of two dialects")
	}
	switch {
	case (f.has("device") || f.has("device_id")) && (update || installed):
		return Dialect2016
	case f.has("vin") && (update || installed):
		return Dialect2016a
	case update || installed:
		return Dialect2016
	case (f.has("device") || f.has("device_id")) && !f.has("package") && !f.has("packages"):
		return Dialect2016
	}
	return Dialect2015
}
