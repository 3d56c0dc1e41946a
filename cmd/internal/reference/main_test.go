package main

import (
	"os"
	"strings"
	"testing"
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
