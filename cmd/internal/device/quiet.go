package device

import (
	"os"
	"runtime"
	"runtime/debug"
	"syscall"

	"golang.org/x/sys/unix"
)

// timerSlack is how long, in nanoseconds, the kernel may put a thread's timers
// off. Whenever anything happens the Go runtime's monitor looks around every
// 20 µs for a while; so it does every few milliseconds.
const timerSlack = 5_000_000

// garbage is how much may lie around, in per cent of what is in use: a client
// that does little has time to clean up, and others need the memory.
const garbage = 25

// Quiet has the process wake up less often; an idle device wants to sleep. It
// is for the very beginning of a program. One processor is enough for a client
// that does one thing at a time, and a second one's threads would be woken for
// nothing; GOMAXPROCS in the environment says otherwise.
//
// Threads have their slack from the one that made them, and the monitor's
// thread is made before any code of ours: so the program starts itself once
// more, under the same pid, unless whoever started it has seen to that already
// (TimerSlackNSec= of systemd). Where it cannot, it goes on as it is.
func Quiet() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(1)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbage)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if slack() >= timerSlack {
		return
	}
	program, err := os.Executable() // by its own name, which the process is known by
	if err == nil && unix.Prctl(unix.PR_SET_TIMERSLACK, timerSlack, 0, 0, 0) == nil && slack() >= timerSlack {
		_ = syscall.Exec(program, os.Args, os.Environ())
	}
}

// slack is that of the calling thread.
func slack() int {
	n, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil {
		return 0
	}
	return n
}
