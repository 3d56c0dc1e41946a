package agent

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// maxConfig bounds a configuration file, in bytes.
const maxConfig = 1 << 20

// LoadConfig reads a configuration file; see ParseConfig.
func LoadConfig(path string) (c Config, warnings []string, err error) {
	f, err := openInput(path)
	if err != nil {
		return c, nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err != nil {
		return c, nil, err
	}
	if len(data) > maxConfig {
		return c, nil, fmt.Errorf("%s: longer than %d bytes", path, maxConfig)
	}
	return ParseConfig(path, data)
}

// ParseConfig reads a configuration over the defaults. Sections and keys it
// does not know are warnings, so that old files keep working. It fails with
// one line "file:line: key: what is wrong" for text that is no TOML, for a
// value of the wrong type or form, and for the old and the new polling key
// together (client.md 7.3). Values that must fit each other are left to
// Validate, because flags come in between.
func ParseConfig(name string, data []byte) (c Config, warnings []string, err error) {
	c = NewConfig()
	doc := map[string]any{}
	if err := toml.Unmarshal(data, &doc); err != nil {
		if bad, ok := errors.AsType[*toml.DecodeError](err); ok {
			line, _ := bad.Position()
			return c, nil, fmt.Errorf("%s:%d: %s", name, line, oneLine(strings.TrimPrefix(bad.Error(), "toml: ")))
		}
		return c, nil, fmt.Errorf("%s: %s", name, oneLine(err.Error()))
	}
	r := reader{name: name, lines: linesOf(data), config: &c}
	if err := r.sections(doc); err != nil {
		return c, r.warnings, err
	}
	if c.Auth != nil {
		c.fromFile = &Credentials{ClientID: c.Auth.ClientID, ClientSecret: c.Auth.ClientSecret}
	}
	return c, r.warnings, nil
}

// oldPolling is the predecessor of core.polling and core.polling_sec.
const oldPolling = "device.polling_interval"

// reader copies a parsed document into a Config.
type reader struct {
	name     string
	lines    map[string]int // of each "section" and "section.key"
	config   *Config
	warnings []string
}

func (r *reader) sections(doc map[string]any) error {
	for _, section := range r.inOrder("", doc) {
		known := slices.ContainsFunc(Keys, func(k Key) bool { return k.Section == section })
		table, ok := doc[section].(map[string]any)
		switch {
		case !known:
			r.warn(section, "unknown, ignored")
			continue
		case !ok:
			return r.wrong(section, expected("a table", doc[section]))
		}
		r.config.section(section)
		if err := r.keys(section, table); err != nil {
			return err
		}
	}
	return r.oldPolling(doc)
}

func (r *reader) keys(section string, table map[string]any) error {
	for _, name := range r.inOrder(section+".", table) {
		key := section + "." + name
		i := slices.IndexFunc(Keys, func(k Key) bool { return k.String() == key })
		switch {
		case key == oldPolling:
		case i < 0:
			r.warn(key, "unknown, ignored")
		default:
			if err := Keys[i].put(r.config, table[name]); err != nil {
				return r.wrong(key, err)
			}
		}
	}
	return nil
}

// oldPolling turns the old key into the new ones (client.md 7.3).
func (r *reader) oldPolling(doc map[string]any) error {
	device, _ := doc["device"].(map[string]any)
	value, ok := device["polling_interval"]
	if !ok {
		return nil
	}
	if core, _ := doc["core"].(map[string]any); core["polling_sec"] != nil {
		return r.wrong(oldPolling, errors.New("core.polling_sec and device.polling_interval both set: remove the latter"))
	}
	n, ok := value.(int64)
	if !ok || n < 0 || n > math.MaxUint32 {
		return r.wrong(oldPolling, expected("a whole number from 0 to 4294967295", value))
	}
	r.config.Core.Polling, r.config.Core.PollingSec = n > 0, uint32(n)
	return nil
}

func (r *reader) warn(key, text string) {
	r.warnings = append(r.warnings, r.wrong(key, errors.New(text)).Error())
}

func (r *reader) wrong(key string, err error) error {
	return fmt.Errorf("%s:%d: %s: %s", r.name, r.lines[key], oneLine(key), oneLine(err.Error()))
}

// inOrder lists a table's keys as the file has them, so that the first
// mistake is the one told.
func (r *reader) inOrder(prefix string, table map[string]any) []string {
	return slices.SortedFunc(maps.Keys(table), func(a, b string) int {
		return cmp.Or(cmp.Compare(r.lines[prefix+a], r.lines[prefix+b]), cmp.Compare(a, b))
	})
}

// linesOf finds the line of every section and key of a document that parses.
func linesOf(data []byte) map[string]int {
	lines := map[string]int{}
	var p unstable.Parser
	p.Reset(data)
	var table []string
	for p.NextExpression() {
		e := p.Expression()
		switch e.Kind {
		case unstable.Table, unstable.ArrayTable:
			table = mark(lines, &p, nil, e.Key())
		case unstable.KeyValue:
			markValue(lines, &p, table, e)
		}
	}
	return lines
}

func markValue(lines map[string]int, p *unstable.Parser, table []string, e *unstable.Node) {
	path := mark(lines, p, table, e.Key())
	if v := e.Value(); v.Kind == unstable.InlineTable {
		for it := v.Children(); it.Next(); {
			markValue(lines, p, path, it.Node())
		}
	}
}

// mark notes where a key first stands, and returns its full path.
func mark(lines map[string]int, p *unstable.Parser, table []string, key unstable.Iterator) []string {
	path := slices.Clone(table)
	for key.Next() {
		path = append(path, string(key.Node().Data))
		name := strings.Join(path, ".")
		if _, ok := lines[name]; !ok {
			lines[name] = p.Shape(key.Node().Raw).Start.Line
		}
	}
	return path
}

// oneLine keeps a message on its line.
func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' }), " ")
}
