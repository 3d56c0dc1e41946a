// Reference keeps the tables of docs/agent.md and docs/server.md true: it
// writes every setting of the programs between their marks.
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"github.com/updraft-ota/updraft/agent"
	"github.com/updraft-ota/updraft/cmd/internal/server"
)

//go:generate go run . ../../../docs

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: reference DIR")
		os.Exit(2)
	}
	for _, d := range documents {
		if err := d.rewrite(os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, "reference:", err)
			os.Exit(1)
		}
	}
}

// document is a file with a table of settings in it.
type document struct {
	file  string
	table func() string
}

var documents = []document{{"agent.md", agentKeys}, {"server.md", serverFlags}}

const begin, end = "<!-- settings -->\n", "<!-- end -->"

// with returns the document's text with its table made anew.
func (d document) with(text string) (string, error) {
	head, rest, ok := strings.Cut(text, begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return "", fmt.Errorf("%s: the marks of the table are missing", d.file)
	}
	return head + begin + d.table() + end + tail, nil
}

func (d document) rewrite(dir string) error {
	path := dir + "/" + d.file
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text, err := d.with(string(old))
	if err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), 0o644)
}

// agentKeys is a table for each section of the device client's file.
func agentKeys() string {
	var b strings.Builder
	section := ""
	for _, k := range agent.Keys {
		if k.Section != section {
			section = k.Section
			fmt.Fprintf(&b, "\n### `[%s]`\n\n| key | default | option | meaning |\n| --- | --- | --- | --- |\n", section)
		}
		fmt.Fprintf(&b, "| `%s` | %s | `--%s %s` | %s |\n", k.Name, code(k.Default()), k.Flag(), k.Arg, cell(k.Help))
	}
	return b.String() + "\n"
}

// serverFlags is one table of the server's settings.
func serverFlags() string {
	var b strings.Builder
	b.WriteString("\n| flag | key | variable | default | meaning |\n| --- | --- | --- | --- | --- |\n")
	fs := pflag.NewFlagSet("server", pflag.ContinueOnError)
	server.Flags(fs)
	fs.VisitAll(func(f *pflag.Flag) {
		key := strings.ReplaceAll(f.Name, "-", "_")
		inFile := code(key)
		if f.Name == "config" {
			inFile = ""
		}
		arg, usage := pflag.UnquoteUsage(f)
		if arg != "" {
			arg = " " + arg
		}
		fmt.Fprintf(&b, "| `--%s%s` | %s | `UPDRAFT_%s` | %s | %s |\n", f.Name, cell(arg), inFile, strings.ToUpper(key), code(f.DefValue), cell(usage))
	})
	return b.String() + "\n"
}

func code(s string) string {
	if s == "" || s == "[]" {
		return ""
	}
	return "`" + s + "`"
}

// cell makes a text fit into a table.
func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
