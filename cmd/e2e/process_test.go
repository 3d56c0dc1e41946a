package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is a program that runs beside the tests.
type process struct {
	t    *testing.T
	name string
	cmd  *exec.Cmd
	log  string        // the file that has its output
	done chan struct{} // closed when it has ended
}

// self makes a command of this very program in another role.
func self(role string, args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), roleEnv+"="+role)
	return cmd
}

// launch starts a program and sees to its end. What it wrote is told if the
// test fails, and a data race it had makes the test fail.
func launch(t *testing.T, name string, cmd *exec.Cmd) *process {
	t.Helper()
	log, err := os.CreateTemp(t.TempDir(), "log-")
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := onOneThread(cmd.Start); err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, name: name, cmd: cmd, log: log.Name(), done: make(chan struct{})}
	go func() {
		cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(p.bury)
	return p
}

func (p *process) bury() {
	p.kill()
	said := p.said()
	if strings.Contains(said, "DATA RACE") {
		p.t.Errorf("%s has a data race", p.name)
	}
	if p.t.Failed() {
		p.t.Logf("%s (%s) said:\n%s", p.name, p.cmd.ProcessState, said[max(0, len(said)-20_000):])
	}
}

// kill ends it by SIGKILL.
func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.done
}

// killed waits until it has ended by SIGKILL.
func (p *process) killed() {
	p.t.Helper()
	p.ended()
	if status := p.cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGKILL {
		p.t.Fatalf("%s ended by itself: %s", p.name, p.cmd.ProcessState)
	}
}

// exits waits until it has ended with that status.
func (p *process) exits(status int) {
	p.t.Helper()
	p.ended()
	if p.cmd.ProcessState.ExitCode() != status {
		p.t.Fatalf("%s ended with %s, want status %d", p.name, p.cmd.ProcessState, status)
	}
}

// terminate asks it to end, which must be a success.
func (p *process) terminate() {
	p.t.Helper()
	p.cmd.Process.Signal(syscall.SIGTERM)
	p.exits(0)
}

func (p *process) ended() {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Fatalf("%s still runs", p.name)
	}
}

func (p *process) alive() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

func (p *process) said() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(b)
}

// says waits until it has written what the pattern matches, and returns the
// first group of it.
func (p *process) says(pattern string) (match string) {
	p.t.Helper()
	re := regexp.MustCompile(pattern)
	until(p.t, fmt.Sprintf("%s to say %q", p.name, pattern), func() bool {
		m := re.FindStringSubmatch(p.said())
		if m == nil && !p.alive() {
			p.t.Fatalf("%s has ended (%s) and never said %q", p.name, p.cmd.ProcessState, pattern)
		}
		if m != nil {
			match = m[len(m)-1]
		}
		return m != nil
	})
	return match
}

// patience is how long anything may take, on a machine that is busy with much
// else.
const patience = time.Minute

// until waits for something to become true.
func until(t *testing.T, what string, true func() bool) {
	t.Helper()
	within(t, patience, what, true)
}

// within is until for what may take another time.
func within(t *testing.T, long time.Duration, what string, true func() bool) {
	t.Helper()
	deadline := time.After(long)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !true() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("gave up waiting for %s", what)
		}
	}
}

var starter struct {
	once sync.Once
	jobs chan func()
}

// onOneThread runs f on the thread that all processes are started from: the
// kernel ends them with that thread, and it lives as long as the tests do.
func onOneThread(f func() error) error {
	starter.once.Do(func() {
		starter.jobs = make(chan func())
		go func() {
			runtime.LockOSThread()
			for job := range starter.jobs {
				job()
			}
		}()
	})
	done := make(chan error)
	starter.jobs <- func() { done <- f() }
	return <-done
}
