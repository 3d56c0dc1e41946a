package gateway

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-ota/updraft/agent"
	"github.com/updraft-ota/updraft/ota"
)

func TestCompletions(t *testing.T) {
	known := []ota.UpdateID{"u2", "u1-b", "u1-a"}
	for line, want := range map[string]string{
		"StartD":            "StartDownload",
		"send":              "sendinfo sendinst sendpack sendup",
		"dl ":               "u1-a u1-b u2",
		"  inst u1-":        "u1-a u1-b",
		"sendup u2":         "u2",
		"sendup u2 O":       "OK OLD_VERSION",
		"sendup u2 OK ":     "",
		"ls ":               "",
		"auth ":             "",
		"foo u":             "",
		"StartDownload\tu2": "u2",
	} {
		if _, got := completions(line, known); strings.Join(got, " ") != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
	if _, all := completions("", known); len(all) != 2*len(forms) {
		t.Errorf("%q", all)
	}
	if head, _ := completions("sendup u1", known); head != "sendup " {
		t.Errorf("%q stays", head)
	}
}

func TestKnownUpdates(t *testing.T) {
	report := func(id ota.UpdateID) ota.Report { return ota.Outcome(id, ota.OK, "") }
	var told []agent.Told
	for _, e := range []agent.Event{
		agent.UpdatesReceived{Updates: []ota.Offer{{Update: "a"}, {Update: "b"}, {Update: "with a blank"}, {Update: "x;shutdown"}, {Update: ""}}},
		agent.UpdateAvailable{Update: agent.Available{Update: "c"}}, agent.DownloadingUpdate{Update: "a"}, agent.DownloadingUpdate{Update: "d"},
		agent.DownloadComplete{Image: agent.Downloaded{Update: "e"}}, agent.DownloadFailed{Update: "f"}, agent.InstallingUpdate{Update: "g"},
		agent.InstallComplete{Report: report("h")}, agent.InstallFailed{Report: report("i")}, agent.Error{Text: "z"},
	} {
		told = append(told, agent.Told{Event: e})
	}
	if diff := cmp.Diff([]ota.UpdateID{"a", "b", "c", "d", "e", "f", "g", "h", "i"}, updates(told)); diff != "" {
		t.Error(diff)
	}
}
