package settings

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/updraft-ota/updraft/cmd/internal/usage"
)

// maxFile bounds a configuration file, in bytes.
const maxFile = 1 << 20

// File sets what a TOML file says. It fails on a file that cannot be read, on
// TOML that is wrong, on an unknown key and on a value of the wrong type; what
// is wrong in the file is told with its line.
func (t Table) File(path string) error {
	data, err := readLimited(path)
	if err != nil {
		return usage.Errorf("read configuration: %w", err)
	}
	values := map[string]any{}
	if err := toml.Unmarshal(data, &values); err != nil {
		if bad, ok := errors.AsType[*toml.DecodeError](err); ok {
			line, _ := bad.Position()
			return usage.Errorf("%s:%d: %s", path, line, bad.Error())
		}
		return usage.Errorf("%s: %w", path, err)
	}
	lines := keyLines(data)
	// In the order of the file, so that the first mistake is the one told.
	keys := slices.SortedFunc(maps.Keys(values), func(a, b string) int {
		return cmp.Or(cmp.Compare(lines[a], lines[b]), cmp.Compare(a, b))
	})
	for _, key := range keys {
		if err := t.set(key, values[key]); err != nil {
			return usage.Errorf("%s:%d: %s: %w", path, lines[key], key, err)
		}
	}
	return nil
}

func (t Table) set(key string, value any) error {
	s, ok := t.byKey(key)
	if !ok {
		return errors.New("unknown key, see --help for those there are")
	}
	if !s.Value.Accepts(value) {
		return fmt.Errorf("expected %s, not %s", s.Value.Expects(), describe(value))
	}
	return s.put(fmt.Sprint(value))
}

// describe shows a value of the wrong type.
func describe(value any) string {
	switch v := value.(type) {
	case string:
		return fmt.Sprintf("the text %q", v)
	case bool, int64, float64:
		return fmt.Sprint(v)
	case map[string]any:
		return "a table"
	case []any:
		return "a list"
	}
	return "a date or time"
}

func readLimited(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file", path)
	case info.Size() > maxFile:
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxFile)
	}
	return os.ReadFile(path)
}

// keyLines tells for each top-level key the line it first stands on, from 1.
// The decoder keeps no positions of values it could decode, so the document
// is walked once more. It is known to be well-formed.
func keyLines(data []byte) map[string]int {
	lines := map[string]int{}
	inTable := false
	var p unstable.Parser
	p.Reset(data)
	for p.NextExpression() {
		e := p.Expression()
		if e.Kind == unstable.Table || e.Kind == unstable.ArrayTable {
			inTable = true
		} else if inTable {
			continue
		}
		key := e.Key()
		if !key.Next() {
			continue
		}
		name := string(key.Node().Data)
		if _, seen := lines[name]; !seen {
			lines[name] = p.Shape(key.Node().Raw).Start.Line
		}
	}
	return lines
}
