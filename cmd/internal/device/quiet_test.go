package device

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
)

// quietRole is set where this program is what TestQuiet looks at.
const quietRole = "UPDRAFT_TEST_QUIET"

func TestMain(m *testing.M) {
	if os.Getenv(quietRole) == "" {
		os.Exit(m.Run())
	}
	Quiet()
	fmt.Println("pid", os.Getpid(), "processors", runtime.GOMAXPROCS(0), "slack", slack())
}

func TestQuiet(t *testing.T) {
	for _, c := range []struct{ set, want string }{
		{"GOMAXPROCS=", "processors 1 slack 5000000"},
		{"GOMAXPROCS=3", "processors 3 slack 5000000"},
	} {
		cmd := exec.Command("/proc/self/exe", "-test.run=none")
		cmd.Env = append(os.Environ(), quietRole+"=1", c.set)
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		// It ran twice and spoke once, as the process that was started.
		if want := fmt.Sprintf("pid %d %s", cmd.Process.Pid, c.want); strings.TrimSpace(string(out)) != want {
			t.Errorf("%s: %q, want %q", c.set, out, want)
		}
	}
}
