package gateway

import (
	"strings"
	"unicode/utf8"

	"github.com/updraft-ota/updraft/agent"
	"github.com/updraft-ota/updraft/ota"
)

// form is one line of the grammar's table (client.md 3.1). make turns the
// arguments into a command and reports whether they fit.
type form struct {
	long, short, args string
	make              func(args []string) (agent.Command, bool)
}

var forms = []form{
	{"Authenticate", "auth", "[<client-id> <client-secret>]", authenticate},
	plain(agent.GetUpdateRequests{}, "getreq"),
	plain(agent.ListInstalledPackages{}, "ls"),
	plain(agent.ListSystemInfo{}, "info"),
	plain(agent.Shutdown{}, "shutdown"),
	{"SendInstalledPackages", "sendpack", "<name> <version> [<name> <version> ...]", sendInstalledPackages},
	{"SendInstalledSoftware", "sendinst", "(has only a JSON form)", func([]string) (agent.Command, bool) { return nil, false }},
	plain(agent.SendSystemInfo{}, "sendinfo"),
	{"SendUpdateReport", "sendup", "<update-id> <result-code>", sendUpdateReport},
	{"StartDownload", "dl", "<update-id>", onUpdate(func(id ota.UpdateID) agent.Command { return agent.StartDownload{Update: id} })},
	{"StartInstall", "inst", "<update-id>", onUpdate(func(id ota.UpdateID) agent.Command { return agent.StartInstall{Update: id} })},
}

// ParseText reads one command in the grammar of client.md 3.1, without the
// quirks of the original: a name ends where its word ends, and after the
// terminator only blanks and terminators may follow. It fails with
// KindInvalid, and the text is that of an Error event: "Unknown Command: ",
// then "bad command: <input>", "usage: …" or "unexpected … args: …".
func ParseText(input string) (agent.Command, error) {
	head, rest := input, ""
	if i := strings.IndexAny(input, ";\r\n"); i >= 0 {
		head, rest = input[:i], input[i:]
	}
	words := strings.FieldsFunc(head, func(r rune) bool { return r == ' ' || r == '\t' })
	f, known := lookup(words)
	if !known || len(input) > maxInput || !utf8.ValidString(input) || strings.Trim(rest, " \t\r\n;") != "" {
		return nil, unknown("bad command: %s", input)
	}
	args := words[1:]
	c, ok := f.make(args)
	switch {
	case ok:
		return c, nil
	case f.args == "":
		return nil, unknown("unexpected %s args: %s", f.long, strings.Join(args, " "))
	}
	return nil, unknown("usage: %s %s", f.long, f.args)
}

func lookup(words []string) (form, bool) {
	if len(words) > 0 {
		for _, f := range forms {
			if words[0] == f.long || words[0] == f.short {
				return f, true
			}
		}
	}
	return form{}, false
}

// unknown makes an error with the category that the original gives both to
// unknown commands and to wrong arguments (client.md 2.10).
func unknown(format, text string, more ...any) error {
	const longest = 1000
	if len(text) > longest {
		text = text[:longest] + "…"
	}
	return ota.Invalid("Unknown Command: "+format, append([]any{strings.ToValidUTF8(text, "�")}, more...)...)
}

// plain is the form of a command without arguments.
func plain(c agent.Command, short string) form {
	return form{c.Name(), short, "", func(args []string) (agent.Command, bool) { return c, len(args) == 0 }}
}

func onUpdate(command func(ota.UpdateID) agent.Command) func([]string) (agent.Command, bool) {
	return func(args []string) (agent.Command, bool) {
		if len(args) != 1 {
			return nil, false
		}
		return command(ota.UpdateID(args[0])), true
	}
}

func authenticate(args []string) (agent.Command, bool) {
	switch len(args) {
	case 0:
		return agent.Authenticate{}, true
	case 2:
		return agent.Authenticate{Credentials: &agent.Credentials{ClientID: args[0], ClientSecret: args[1]}}, true
	}
	return nil, false
}

func sendInstalledPackages(args []string) (agent.Command, bool) {
	if len(args) == 0 || len(args)%2 != 0 {
		return nil, false
	}
	var c agent.SendInstalledPackages
	for i := 0; i < len(args); i += 2 {
		c.Packages = append(c.Packages, ota.PackageID{Name: args[i], Version: args[i+1]})
	}
	return c, true
}

func sendUpdateReport(args []string) (agent.Command, bool) {
	if len(args) != 2 {
		return nil, false
	}
	code, err := ota.ParseResultCode(args[1])
	return agent.SendUpdateReport{Report: ota.Outcome(ota.UpdateID(args[0]), code, "")}, err == nil
}
