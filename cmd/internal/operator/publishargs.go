package operator

import (
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/updraft-ota/updraft/cmd/internal/usage"
)

// spread gives every value of a list its own flag, as pflag wants it: a list
// takes all values up to the next option, "--publish a b" being
// "--publish=a --publish=b" (seed 003). It fails on a list without values.
func spread(fs *pflag.FlagSet, args []string, lists ...string) (out []string, err error) {
	list, empty := "", "" // that takes values, and that has none yet
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if list != "" && !isOption(arg) {
			out, empty = append(out, list+"="+arg), ""
			continue
		}
		if empty != "" {
			break
		}
		list = ""
		name, _, given := strings.Cut(arg, "=")
		f := fs.Lookup(strings.ReplaceAll(strings.TrimLeft(name, "-"), "_", "-"))
		switch {
		case f == nil || !strings.HasPrefix(arg, "--"):
			out = append(out, arg)
		case !slices.Contains(lists, f.Name):
			out = append(out, arg)
			if f.NoOptDefVal == "" && !given && i+1 < len(args) { // its value, whatever it is
				i++
				out = append(out, args[i])
			}
		case given:
			list, out = name, append(out, arg)
		default:
			list, empty = name, name
		}
	}
	if empty != "" {
		return nil, usage.Errorf("%s needs at least one value: see --help", empty)
	}
	return out, nil
}

// isOption tells an option from a value; a lone "-" is one.
func isOption(arg string) bool { return len(arg) > 1 && arg[0] == '-' }
