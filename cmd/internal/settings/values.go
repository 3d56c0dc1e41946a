package settings

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
)

// Value is where a setting goes. Set reads its text form; flags, variables
// and files all pass through it.
type Value interface {
	pflag.Value
	// Accepts reports whether a TOML value (string, bool, int64, …) is of
	// the right type. What it accepts reaches Set in its printed form.
	Accepts(value any) bool
	// Expects names the TOML types accepted, such as "a text".
	Expects() string
}

// Text is any text.
type Text string

func (t *Text) Set(s string) error { *t = Text(s); return nil }
func (t *Text) String() string     { return string(*t) }
func (t *Text) Type() string       { return "string" }
func (t *Text) Expects() string    { return "a text" }
func (t *Text) Accepts(v any) bool { return isText(v) }

// Switch is on or off.
type Switch bool

func (b *Switch) Set(s string) error {
	on, err := strconv.ParseBool(s)
	if err != nil {
		return fmt.Errorf("%q: expected true or false", s)
	}
	*b = Switch(on)
	return nil
}
func (b *Switch) String() string     { return strconv.FormatBool(bool(*b)) }
func (b *Switch) Type() string       { return "bool" }
func (b *Switch) Expects() string    { return "true or false" }
func (b *Switch) Accepts(v any) bool { _, ok := v.(bool); return ok }

// Choice is one of a few words.
type Choice struct {
	Word  *string
	Words []string
}

func (c Choice) Set(s string) error {
	if !slices.Contains(c.Words, s) {
		return fmt.Errorf("%q: expected %s", s, strings.Join(c.Words, " or "))
	}
	*c.Word = s
	return nil
}
func (c Choice) String() string {
	if c.Word == nil { // pflag asks the zero value
		return ""
	}
	return *c.Word
}
func (c Choice) Type() string       { return strings.Join(c.Words, "|") }
func (c Choice) Expects() string    { return "the text " + strings.Join(c.Words, " or ") }
func (c Choice) Accepts(v any) bool { return isText(v) }

// Port is a port to listen on: Unset, Closed, or 0 (any free one) to 65535.
type Port int

// Nobody listens on a port that is Closed. One that is Unset was not closed on
// purpose, so that another setting may open it.
const (
	Closed Port = -1
	Unset  Port = -2
)

func (p *Port) Set(s string) error {
	if s == "off" {
		*p = Closed
		return nil
	}
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		return fmt.Errorf("%q: expected a port from 0 (any free one) to 65535, or off", s)
	}
	*p = Port(n)
	return nil
}
func (p *Port) String() string {
	if !p.Open() {
		return "off"
	}
	return strconv.Itoa(int(*p))
}
func (p *Port) Type() string       { return "port" }
func (p *Port) Expects() string    { return `a number or "off"` }
func (p *Port) Accepts(v any) bool { _, number := v.(int64); return number || v == "off" }

// Open reports whether somebody is to listen.
func (p Port) Open() bool { return p >= 0 }

// Size is a number of bytes, at least 1: plain, or with a unit (KiB, MiB, GiB, TiB).
type Size int64

var units = []struct {
	name  string
	bytes int64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}, {"", 1}}

func (z *Size) Set(s string) error {
	for _, u := range units {
		digits, ok := strings.CutSuffix(s, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimSpace(digits), 10, 63)
		if err != nil || n == 0 || int64(n) > (1<<62)/u.bytes {
			break
		}
		*z = Size(int64(n) * u.bytes)
		return nil
	}
	return fmt.Errorf("%q: expected a size such as 32MiB, 4GiB or 1048576 (bytes)", s)
}
func (z *Size) String() string {
	for _, u := range units {
		if n := int64(*z); n%u.bytes == 0 && n >= u.bytes && u.name != "B" {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return "0"
}
func (z *Size) Type() string       { return "size" }
func (z *Size) Expects() string    { return `a number of bytes or a text such as "4GiB"` }
func (z *Size) Accepts(v any) bool { _, number := v.(int64); return number || isText(v) }

// Pattern is a regular expression in Go's syntax, or none (the empty text).
type Pattern struct{ *regexp.Regexp }

func (p *Pattern) Set(s string) error {
	if s == "" {
		p.Regexp = nil
		return nil
	}
	re, err := regexp.Compile(s)
	if err != nil {
		return fmt.Errorf("%q is not a regular expression: %w", s, err)
	}
	p.Regexp = re
	return nil
}
func (p *Pattern) String() string {
	if p.Regexp == nil {
		return ""
	}
	return p.Regexp.String()
}
func (p *Pattern) Type() string       { return "regexp" }
func (p *Pattern) Expects() string    { return "a text" }
func (p *Pattern) Accepts(v any) bool { return isText(v) }

// Networks is a list of networks, as CIDR: a flag for each, a list in the file,
// commas between them in a variable.
type Networks []netip.Prefix

func (n *Networks) Set(s string) error {
	for word := range strings.FieldsFuncSeq(strings.Trim(s, "[]"), func(r rune) bool { return r == ',' || r == ' ' }) {
		p, err := netip.ParsePrefix(word)
		if err != nil {
			return fmt.Errorf("%q: expected a network such as 192.0.2.0/24 or 2001:db8::/32", word)
		}
		*n = append(*n, p.Masked())
	}
	return nil
}
func (n *Networks) String() string {
	words := make([]string, len(*n))
	for i, p := range *n {
		words[i] = p.String()
	}
	return strings.Join(words, ",")
}
func (n *Networks) Type() string    { return "cidr" }
func (n *Networks) Expects() string { return `a list of texts such as ["192.0.2.0/24"]` }
func (n *Networks) Accepts(v any) bool {
	list, ok := v.([]any)
	return isText(v) || ok && !slices.ContainsFunc(list, func(e any) bool { return !isText(e) })
}

// Clear lets a layer replace what those before it said.
func (n *Networks) Clear() { *n = nil }

func isText(v any) bool { _, ok := v.(string); return ok }
