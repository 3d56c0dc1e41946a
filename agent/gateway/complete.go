package gateway

import (
	"slices"
	"strings"

	"github.com/updraft-ota/updraft/agent"
	"github.com/updraft-ota/updraft/ota"
)

// completions lists what the last word of line may become, sorted, and what
// stands before that word. The first word is a command; for the others the
// command's form says what is wanted.
func completions(line string, known []ota.UpdateID) (head string, choice []string) {
	i := strings.LastIndexAny(line, " \t") + 1
	head, word := line[:i], line[i:]
	for _, w := range wanted(strings.Fields(head), known) {
		if strings.HasPrefix(w, word) {
			choice = append(choice, w)
		}
	}
	slices.Sort(choice)
	return head, slices.Compact(choice)
}

// wanted lists the words that may follow others.
func wanted(words []string, known []ota.UpdateID) (list []string) {
	if len(words) == 0 {
		for _, f := range forms {
			list = append(list, f.long, f.short)
		}
		return list
	}
	f, ok := lookup(words)
	args := strings.Fields(f.args)
	if !ok || len(words) > len(args) {
		return nil
	}
	switch args[len(words)-1] {
	case "<update-id>":
		return each(known, func(id ota.UpdateID) string { return string(id) })
	case "<result-code>":
		for c := ota.ResultCode(0); c.Valid(); c++ {
			list = append(list, c.String())
		}
	}
	return list
}

func commonPrefix(words []string) string {
	prefix := words[0]
	for _, w := range words {
		for !strings.HasPrefix(w, prefix) {
			prefix = prefix[:len(prefix)-1]
		}
	}
	return prefix
}

// updates lists the updates that events speak of and that one can name in a
// command: ids without blanks or terminators.
func updates(told []agent.Told) (ids []ota.UpdateID) {
	add := func(id ota.UpdateID) {
		if id != "" && !strings.ContainsAny(string(id), " \t\r\n;") && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	for _, t := range told {
		switch e := t.Event.(type) {
		case agent.UpdatesReceived:
			for _, o := range e.Updates {
				add(o.Update)
			}
		case agent.UpdateAvailable:
			add(e.Update.Update)
		case agent.DownloadingUpdate:
			add(e.Update)
		case agent.DownloadComplete:
			add(e.Image.Update)
		case agent.DownloadFailed:
			add(e.Update)
		case agent.InstallingUpdate:
			add(e.Update)
		case agent.InstallComplete:
			add(e.Report.Update)
		case agent.InstallFailed:
			add(e.Report.Update)
		}
	}
	return ids
}
