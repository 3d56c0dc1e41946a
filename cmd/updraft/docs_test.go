package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestDocumentedCommands gives every command that docs/suit.md shows with a
// "$" to a shell, and compares what it prints; keys alone differ.
func TestDocumentedCommands(t *testing.T) {
	text, err := os.ReadFile("../../docs/suit.md")
	if err != nil {
		t.Fatal(err)
	}
	var script strings.Builder
	shown := commandsIn(string(text))
	for _, s := range shown {
		s.story(&script)
	}
	if len(shown) < 10 {
		t.Errorf("only %d commands were found", len(shown))
	}
	file := filepath.Join(t.TempDir(), "suit.txtar")
	if err := os.WriteFile(file, []byte(script.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{Files: []string{file}, RequireExplicitExec: true})
}

// shownCommand is a command of a document, with what it prints.
type shownCommand struct{ command, out, err string }

// commandsIn finds the commands in indented blocks; lines that begin as errors
// do are the errors.
func commandsIn(text string) (found []shownCommand) {
	more := false
	for line := range strings.Lines(text) {
		line, indented := strings.CutPrefix(line, "    ")
		command, begins := strings.CutPrefix(line, "$ ")
		switch last := len(found) - 1; {
		case indented && begins:
			found = append(found, shownCommand{command: command})
			more = strings.HasSuffix(command, "\\\n")
		case last < 0:
		case more:
			found[last].command += line
			more = strings.HasSuffix(line, "\\\n")
		case indented && strings.HasPrefix(line, "updraft: "):
			found[last].err += line
		case indented || line == "\n" && found[last].out != "":
			found[last].out += line
		default: // the block is over: what comes is of nobody
			found = append(found, shownCommand{})
		}
	}
	return slices.DeleteFunc(found, func(s shownCommand) bool { return s.command == "" })
}

var fingerprint = regexp.MustCompile(`key [0-9a-f]{16}`)

// story writes the command as testscript takes it: on one line.
func (s shownCommand) story(w *strings.Builder) {
	quote := func(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }
	all := func(text string) string {
		text = fingerprint.ReplaceAllString(regexp.QuoteMeta(strings.TrimRight(text, "\n")), "key [0-9a-f]{16}")
		return quote(`\A` + strings.ReplaceAll(text, "\n", `\n`) + `\n*\z`)
	}
	fails := ""
	if s.err != "" {
		fails = "! "
	}
	command := strings.ReplaceAll(strings.TrimSuffix(s.command, "\n"), "\\\n", " ")
	fmt.Fprintf(w, "%sexec sh -c %s\nstdout %s\nstderr %s\n", fails, quote(command), all(s.out), all(s.err))
}
