package gateway

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/updraft-ota/updraft/ota"
)

// What docs/gateways.md says can be said and is heard.
func TestTheGatewaysAreDocumented(t *testing.T) {
	b, err := os.ReadFile("../../docs/gateways.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)

	var commands []string
	for _, row := range rows(text, "Commands") {
		json := quoted(row[2])[0]
		want, err := DecodeCommand([]byte(json))
		if err != nil {
			t.Errorf("%s: %v", json, err)
			continue
		}
		commands = append(commands, want.Name())
		for _, words := range quoted(row[0] + row[1]) {
			words = strings.NewReplacer(" …", "", "CODE", "0").Replace(words)
			if got, err := ParseText(words); err != nil || got.Name() != want.Name() {
				t.Errorf("%s: %v %v", words, got, err)
			}
		}
	}
	for _, f := range forms {
		if !slices.Contains(commands, f.long) {
			t.Errorf("nothing is said of %s", f.long)
		}
	}

	var events []string
	for _, row := range rows(text, "Events") {
		for _, json := range quoted(row[0]) {
			e, err := DecodeEvent([]byte(json))
			if err != nil {
				t.Errorf("%s: %v", json, err)
				continue
			}
			events = append(events, e.Name())
		}
	}
	for _, v := range eventVectors {
		if !slices.Contains(events, v.event.Name()) {
			t.Errorf("nothing is said of %s", v.event.Name())
		}
	}

	for c := range ota.GeneralError + 1 {
		if !strings.Contains(text, fmt.Sprintf("| %d | `%s` |", c, c)) {
			t.Errorf("nothing is said of %s", c)
		}
	}
}

// rows are the cells of the first table below a heading, without its head.
func rows(text, heading string) (all [][]string) {
	_, text, _ = strings.Cut(text, "\n## "+heading+"\n")
	_, text, _ = strings.Cut(text, "\n|")
	table, _, _ := strings.Cut(text, "\n\n")
	for _, line := range strings.Split(table, "\n")[2:] {
		all = append(all, strings.Split(strings.Trim(line, "|"), "|"))
	}
	return all
}

// quoted is what a cell has between backquotes.
func quoted(cell string) (all []string) {
	for _, m := range regexp.MustCompile("`([^`]*)`").FindAllStringSubmatch(cell, -1) {
		all = append(all, m[1])
	}
	return all
}
