package main

import (
	"os"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/updraft-ota/updraft/cmd/internal/device"
	"github.com/updraft-ota/updraft/cmd/internal/server"
)

// The documents hold every key and flag there is, with the defaults of the
// code: go generate ./cmd/internal/reference makes them true again.
func TestDocumentsAreTrue(t *testing.T) {
	for _, d := range documents {
		text, err := os.ReadFile("../../../docs/" + d.file)
		if err != nil {
			t.Fatal(err)
		}
		want, err := d.with(string(text))
		if err != nil {
			t.Fatal(err)
		}
		if string(text) != want {
			t.Errorf("docs/%s is behind the code: run go generate ./cmd/internal/reference", d.file)
		}
	}
}

// What is no setting of the file is told in words: nothing the programs take
// is left out.
func TestEveryFlagIsTold(t *testing.T) {
	said := ""
	for _, file := range []string{"agent.md", "server.md", "swm.md"} {
		text, err := os.ReadFile("../../../docs/" + file)
		if err != nil {
			t.Fatal(err)
		}
		said += string(text)
	}
	told := func(f *pflag.Flag) {
		if f.Name != "help" && !strings.Contains(said, "`--"+f.Name) {
			t.Errorf("--%s is in no document", f.Name)
		}
	}
	root := device.Command("1")
	root.Flags().VisitAll(told)
	for _, c := range root.Commands() {
		if !c.Hidden && c.Name() != "help" && c.Name() != "completion" {
			c.LocalFlags().VisitAll(told)
		}
	}
	server.Command("1").LocalFlags().VisitAll(told)
}

func TestTablesHoldWhatUsersLookFor(t *testing.T) {
	for table, wants := range map[string][]string{
		agentKeys():   {"| `polling_sec` | `10` | `--core-polling-sec SECONDS` |", "### `[auth]`", "`--device-trusted-keys PATH`"},
		serverFlags(): {"| `--http-port", "`http_port`", "`UPDRAFT_HTTP_PORT`", "`8080`"},
	} {
		for _, want := range wants {
			if !strings.Contains(table, want) {
				t.Errorf("%q is missing in\n%s", want, table)
			}
		}
	}
}
