package device

import (
	"os"
	"path/filepath"
	"runtime"
)

// timerSlack is how long, in nanoseconds, the kernel may put a thread's timers
// off. Whenever anything happens the Go runtime's monitor looks around every
// 20 µs for a while; so it does every few milliseconds.
const timerSlack = "5000000"

// Quiet has the process wake up less often; an idle device wants to sleep. It
// is for the beginning of a program. One processor is enough for a client that
// does one thing at a time, and a second one's threads would be woken for
// nothing; GOMAXPROCS in the environment says otherwise. Timers of threads
// other than the caller's are beyond a process without CAP_SYS_NICE: there it
// is for the service manager to set them (TimerSlackNSec=).
func Quiet() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(1)
	}
	threads, _ := filepath.Glob("/proc/self/task/[0-9]*")
	for _, t := range threads {
		os.WriteFile(filepath.Join("/proc", filepath.Base(t), "timerslack_ns"), []byte(timerSlack), 0)
	}
}
