package device

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestQuiet(t *testing.T) {
	t.Setenv("GOMAXPROCS", "")
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	runtime.LockOSThread() // and never unlocked: the thread ends with the test
	Quiet()
	if n := runtime.GOMAXPROCS(0); n != 1 {
		t.Errorf("%d processors", n)
	}
	got, err := os.ReadFile(fmt.Sprintf("/proc/%d/timerslack_ns", unix.Gettid()))
	if err != nil || strings.TrimSpace(string(got)) != timerSlack {
		t.Errorf("timers may be %s ns late, %v", got, err)
	}
	t.Setenv("GOMAXPROCS", "3")
	runtime.GOMAXPROCS(3)
	if Quiet(); runtime.GOMAXPROCS(0) != 3 {
		t.Error("what the environment says does not count")
	}
}
