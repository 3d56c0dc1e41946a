package device

import (
	"os"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/updraft-ota/updraft/swm/image"
)

// docs/swm.md tells every option with its default, and every operation.
func TestManagerIsDocumented(t *testing.T) {
	b, err := os.ReadFile("../../../docs/swm.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for line := range strings.Lines(string(b)) {
		if _, row, ok := strings.Cut(line, "| `"); ok {
			name, rest, _ := strings.Cut(row, "`")
			word, _, _ := strings.Cut(name, " ")
			rows[word] += rest
		}
	}
	managerCommand("test", Hooks{}, new(bool)).Flags().VisitAll(func(f *pflag.Flag) {
		want := strings.TrimSuffix(strings.TrimSuffix(f.DefValue, "0s"), "false")
		if row, ok := rows["--"+f.Name]; !ok || !strings.Contains(row, want) {
			t.Errorf("docs/swm.md lacks --%s with its default %q", f.Name, f.DefValue)
		}
	})
	for _, k := range image.Kinds() {
		if row := rows[string(k)]; !strings.Contains(row, "`"+k.Failure().String()+"`") {
			t.Errorf("docs/swm.md lacks %s with its code %s", k, k.Failure())
		}
	}
}

// What makes no sense is wrong usage.
func TestManagerUsage(t *testing.T) {
	for _, args := range [][]string{
		{"--bus", "school"}, {"--accept", "some"}, {"--events-socket", "/tmp/e"}, {"--commands-socket", "/tmp/c"},
		{"--max-bytes", "0"}, {"--max-files", "-1"}, {"--plugin-timeout", "0s"}, {"more"},
	} {
		var log strings.Builder
		if status := Main(append([]string{"swm"}, args...), "test", Hooks{Out: &log, Log: &log}); status != 2 {
			t.Errorf("%v: status %d: %s", args, status, log.String())
		}
	}
}
