package device

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// call runs the program as a shell would.
func call(t *testing.T, args ...string) (status int, out, log string) {
	t.Helper()
	var o, l bytes.Buffer
	status = Main(args, "1.2", Hooks{In: strings.NewReader(""), Out: &o, Log: &l})
	return status, o.String(), l.String()
}

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sota.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOptionsBeatTheFileAndTheFileIsFoundByTheEnvironment(t *testing.T) {
	t.Setenv("SOTA_CONFIG", file(t, "[core]\nserver = 'http://a.example'\npolling_sec = 7\n"))
	status, out, log := call(t, "--print", "--core-server", "http://b.example")
	if status != 0 || log != "" || !strings.Contains(out, "server = 'http://b.example'") || !strings.Contains(out, "polling_sec = 7") {
		t.Fatalf("%d\n%s\n%s", status, out, log)
	}
	status, out, _ = call(t, "-p", "-c", file(t, "[core]\nserver = 'http://c.example'\n"))
	if status != 0 || !strings.Contains(out, "server = 'http://c.example'") {
		t.Fatalf("--config does not beat SOTA_CONFIG: %s", out)
	}
}

func TestExitCodes(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want int
		says string
	}{
		"help":                   {[]string{"--help"}, 0, ""},
		"version":                {[]string{"-v"}, 0, ""},
		"unknown option":         {[]string{"--speed"}, 2, "unknown flag: --speed"},
		"an argument":            {[]string{"please"}, 2, "please"},
		"no such file":           {[]string{"-c", "/nowhere/sota.toml"}, 1, "/nowhere/sota.toml"},
		"a wrong type":           {[]string{"-c", file(t, "[core]\npolling_sec = 'often'\n")}, 1, "sota.toml:2: core.polling_sec"},
		"a wrong option's value": {[]string{"--core-polling", "yes"}, 1, "--core-polling"},
		"https without certificates": {
			[]string{"--core-server", "https://x.example", "--device-certificates-path", "/nowhere"}, 1, "/nowhere",
		},
	} {
		t.Run(name, func(t *testing.T) {
			status, out, log := call(t, c.args...)
			if status != c.want || !strings.Contains(log, c.says) {
				t.Fatalf("exit %d, want %d\n%s\n%s", status, c.want, out, log)
			}
		})
	}
}

func TestUnknownKeysAreWarnedAboutAndOldFilesGoOn(t *testing.T) {
	status, _, log := call(t, "-p", "-c", file(t, "[core]\nserver = 'http://a.example'\ncolour = 'red'\n"))
	if status != 0 || !strings.Contains(log, "WARN") || !strings.Contains(log, "colour") {
		t.Fatalf("%d %s", status, log)
	}
}

func TestLogLines(t *testing.T) {
	var b bytes.Buffer
	log := newLog(&b, "1.2", func(string) string { return "" })
	log.Debug("unheard")
	log.With("update", "u 1").WithGroup("part").Info("two\nlines", "bytes", 3, "err", io.EOF)
	want := regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ \(1\.2\): INFO - two\\nlines update="u 1" part\.bytes=3 part\.err=EOF\n$`)
	if !want.MatchString(b.String()) {
		t.Fatalf("%q", b.String())
	}
}

func TestLogLevels(t *testing.T) {
	for _, c := range []struct {
		sota, rust string
		want       slog.Level
	}{{"", "", slog.LevelInfo}, {"debug", "error", slog.LevelDebug}, {"", "TRACE", slog.LevelDebug}, {"warn", "", slog.LevelWarn}, {"junk", "", slog.LevelInfo}} {
		log := newLog(io.Discard, "", func(name string) string { return map[string]string{"SOTA_LOG": c.sota, "RUST_LOG": c.rust}[name] })
		if !log.Enabled(t.Context(), c.want) || log.Enabled(t.Context(), c.want-1) {
			t.Errorf("%+v", c)
		}
	}
}
