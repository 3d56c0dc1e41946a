package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// script writes a shell script.
func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSystemInfoThatIsNoneFails(t *testing.T) {
	for name, c := range map[string]struct{ program, want string }{
		"none":     {"off", "device.system_info is off"},
		"missing":  {"/nowhere/to/be/found", "no such file"},
		"status":   {script(t, "echo '{}'; echo sorry >&2; exit 3"), "exit status 3: sorry"},
		"not JSON": {script(t, "echo hello"), "does not print JSON"},
		"nothing":  {script(t, ""), "does not print JSON"},
		"two":      {script(t, "echo '{} {}'"), "does not print JSON"},
		"too much": {script(t, "echo '['; yes '0,'"), "more than 1048576 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := systemInfo(t.Context(), c.program)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v", err)
			}
		})
	}
}
