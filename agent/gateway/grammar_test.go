package gateway

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-ota/updraft/agent"
	"github.com/updraft-ota/updraft/ota"
)

func reportOf(id ota.UpdateID, code ota.ResultCode) agent.SendUpdateReport {
	return agent.SendUpdateReport{Report: ota.Outcome(id, code, "")}
}

// client.md 3.1 to 3.3 and seed 002.
var validTexts = map[string]agent.Command{
	"auth":                  agent.Authenticate{},
	"Authenticate":          agent.Authenticate{},
	"Authenticate a b":      agent.Authenticate{Credentials: &agent.Credentials{ClientID: "a", ClientSecret: "b"}},
	" ls":                   agent.ListInstalledPackages{},
	"\tls":                  agent.ListInstalledPackages{},
	"ls ":                   agent.ListInstalledPackages{},
	"ls;":                   agent.ListInstalledPackages{},
	"ls\n":                  agent.ListInstalledPackages{},
	"ls;\n":                 agent.ListInstalledPackages{},
	"ls ;":                  agent.ListInstalledPackages{},
	"ls \n":                 agent.ListInstalledPackages{},
	"ls; ;\r\n\t":           agent.ListInstalledPackages{},
	"ListInstalledPackages": agent.ListInstalledPackages{},
	"GetUpdateRequests\r\n": agent.GetUpdateRequests{},
	"getreq":                agent.GetUpdateRequests{},
	"info":                  agent.ListSystemInfo{},
	"ListSystemInfo":        agent.ListSystemInfo{},
	"shutdown":              agent.Shutdown{},
	"Shutdown":              agent.Shutdown{},
	"sendinfo":              agent.SendSystemInfo{},
	"SendSystemInfo":        agent.SendSystemInfo{},
	"dl 1":                  agent.StartDownload{Update: "1"},
	"dl\t1":                 agent.StartDownload{Update: "1"},
	"dl 1 ":                 agent.StartDownload{Update: "1"},
	"dl 1 ;":                agent.StartDownload{Update: "1"},
	"StartDownload überall": agent.StartDownload{Update: "überall"},
	"inst 1":                agent.StartInstall{Update: "1"},
	"StartInstall 1":        agent.StartInstall{Update: "1"},
	"sendpack n1 v1 n2 v2":  agent.SendInstalledPackages{Packages: []ota.PackageID{{Name: "n1", Version: "v1"}, {Name: "n2", Version: "v2"}}},
	"SendInstalledPackages gcc 7.63 Movie&MusicPlayer rc2-beta3 ECU9274927BF82-firmware gitID-2fab572": agent.SendInstalledPackages{Packages: []ota.PackageID{
		{Name: "gcc", Version: "7.63"}, {Name: "Movie&MusicPlayer", Version: "rc2-beta3"}, {Name: "ECU9274927BF82-firmware", Version: "gitID-2fab572"}}},
	"sendup u1 0":                      reportOf("u1", ota.OK),
	"sendup u1 ok":                     reportOf("u1", ota.OK),
	"sendup u1 Ok":                     reportOf("u1", ota.OK),
	"sendup myid 19":                   reportOf("myid", ota.GeneralError),
	"SendUpdateReport myid DISK_FULL":  reportOf("myid", ota.DiskFull),
	"SendUpdateReport myid not_Found;": reportOf("myid", ota.PackageNotFound),
}

func TestValidTexts(t *testing.T) {
	for input, want := range validTexts {
		got, err := ParseText(input)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%q: %v\n%s", input, err, diff)
		}
	}
}

func TestEveryResultCodeByNumberAndName(t *testing.T) {
	for code := ota.OK; code.Valid(); code++ {
		number, err := EncodeCommand(reportOf("u", code))
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range []string{code.String(), strings.ToLower(code.String()), strings.Trim(string(number[strings.Index(string(number), "result_code")+13:][:2]), ",")} {
			got, err := ParseText("sendup u " + word)
			if diff := cmp.Diff(agent.Command(reportOf("u", code)), got); err != nil || diff != "" {
				t.Errorf("%s: %v\n%s", word, err, diff)
			}
		}
	}
}

var invalidTexts = []string{
	"", " ", ";", "\nls", "\n", "LS", "SHUTDOWN", "foo", "lsfoo", "ls some", "getreq now", "info please", "shutdown now",
	"auth one", "auth a b c", "authenticate", "sendpack", "sendpack a", "sendpack a 1 b", "SendInstalledSoftware", "sendinst a",
	"sendsoft some", "sendinfo please", "sendup u1", "sendup u1 20", "sendup u1 00", "sendup u1 -1", "sendup 1 2 3", "dl", `dl "a b"`,
	"StartDownload this and that", "StartInstall", "inst more than one",
	"dl1", "inst1", "dl 1;ls", "dl 1\nls", "ls; x", "ls\u00a0", "dl \xff", "sendup u1 +1", "sendup u1 OK!", `"ls"`,
}

func TestInvalidTexts(t *testing.T) {
	for _, input := range invalidTexts {
		c, err := ParseText(input)
		if c != nil || ota.KindOf(err) != ota.KindInvalid || !strings.HasPrefix(err.Error(), "Unknown Command: ") {
			t.Errorf("%q: %v, %v", input, c, err)
		}
	}
	if _, err := ParseText("dl " + strings.Repeat("a", maxInput)); err == nil || len(err.Error()) > 2000 {
		t.Error("an overlong command was accepted, or echoed in full")
	}
}

func TestErrorTexts(t *testing.T) {
	for input, want := range map[string]string{
		"foo":     "Unknown Command: bad command: foo",
		"dl1":     "Unknown Command: bad command: dl1",
		"dl 1;ls": "Unknown Command: bad command: dl 1;ls",
		"100%d":   "Unknown Command: bad command: 100%d",
		"dl":      "Unknown Command: usage: StartDownload <update-id>",
		"ls some": "Unknown Command: unexpected ListInstalledPackages args: some",
	} {
		if _, err := ParseText(input); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", input, err, want)
		}
	}
}

func FuzzParseText(f *testing.F) {
	for input := range validTexts {
		f.Add(input)
	}
	for _, input := range invalidTexts {
		f.Add(input)
	}
	f.Fuzz(func(t *testing.T, input string) {
		c, err := ParseText(input)
		if (c == nil) == (err == nil) {
			t.Fatalf("%v and %v", c, err)
		}
		if err != nil {
			return
		}
		// Blanks around and a terminator behind never change the meaning.
		again, err := ParseText("\t" + strings.TrimRight(input, ";\r\n") + " ;\r\n")
		if diff := cmp.Diff(c, again); err != nil || diff != "" {
			t.Errorf("%v\n%s", err, diff)
		}
		// What the text form can say, the JSON form can say too.
		b, err := EncodeCommand(c)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := DecodeCommand(b); err != nil || !cmp.Equal(c, back) {
			t.Errorf("%s became %v, %v", b, back, err)
		}
	})
}
