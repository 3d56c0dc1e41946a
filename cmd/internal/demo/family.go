package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// family is the processes of a demo. They end with it, whatever ends it.
type family struct {
	members []*member
	once    sync.Once
	jobs    chan func()
}

type member struct {
	cmd  *exec.Cmd
	log  string
	done chan struct{} // closed when the process has ended
}

// onOneThread runs f on the thread all members are started from: the kernel
// ends them when that thread ends, which is with this process.
func (f *family) onOneThread(start func() error) error {
	f.once.Do(func() {
		f.jobs = make(chan func())
		go func() {
			runtime.LockOSThread()
			for job := range f.jobs {
				job()
			}
		}()
	})
	done := make(chan error)
	f.jobs <- func() { done <- start() }
	return <-done
}

// start starts a program whose output goes to a log file.
func (f *family) start(log, program string, args ...string) error {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := f.onOneThread(cmd.Start); err != nil {
		return fmt.Errorf("start %s: %w", program, err)
	}
	m := &member{cmd: cmd, log: log, done: make(chan struct{})}
	go func() {
		cmd.Wait()
		close(m.done)
	}()
	f.members = append(f.members, m)
	return nil
}

// failed names the first member that has ended, with the end of its log.
func (f *family) failed() error {
	for _, m := range f.members {
		select {
		case <-m.done:
			log, _ := os.ReadFile(m.log)
			if tail := bytes.TrimSpace(log); len(tail) > 2000 {
				log = tail[len(tail)-2000:]
			}
			return fmt.Errorf("%s ended (%s); its log %s ends with:\n%s", filepath.Base(m.cmd.Path), m.cmd.ProcessState, m.log, log)
		default:
		}
	}
	return nil
}

// until waits for something to become true, and fails if it takes longer
// than patience or a member ends before.
func (f *family) until(ctx context.Context, patience time.Duration, what string, true func() bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("gave up waiting for %s after %s", what, patience))
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !true() {
		if err := f.failed(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
	return nil
}

// wait lasts until the user ends the demo or a member fails.
func (f *family) wait(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := f.failed(); err != nil {
				return err
			}
		}
	}
}

// end asks all members to end, youngest first, and kills who does not.
func (f *family) end() error {
	var errs []error
	for i := len(f.members) - 1; i >= 0; i-- {
		m := f.members[i]
		m.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-m.done:
		case <-time.After(10 * time.Second):
			m.cmd.Process.Kill()
			errs = append(errs, fmt.Errorf("%s did not end by itself", filepath.Base(m.cmd.Path)))
		}
	}
	f.members = nil
	return errors.Join(errs...)
}

// self is this program.
func self() string {
	path, err := os.Executable()
	if err != nil {
		return os.Args[0]
	}
	return path
}

// sibling is a program installed beside this one, else one in the path.
func sibling(name string) string {
	path := filepath.Join(filepath.Dir(self()), name)
	if _, err := os.Stat(path); err == nil {
		return path
	}
	return name
}

// output runs a program to its end and returns its standard output.
func output(ctx context.Context, program string, args ...string) ([]byte, error) {
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w: %s", filepath.Base(program), strings.Join(args, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return out, nil
}

// shell writes arguments as one would type them.
func shell(args []string) string {
	var out []string
	for _, a := range args {
		if strings.ContainsAny(a, " \t'\"$&;()<>|*?#~`\\") {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		out = append(out, a)
	}
	return strings.Join(out, " ")
}
