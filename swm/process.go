package swm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process is one that may outlive us, so that it is found again: a number may
// come to mean another process, which then began at another time.
type process struct {
	PID   int
	Start uint64 // clock ticks since the machine started
	Boot  string // which start of the machine
	Limit bool   // it may be ended when it takes too long
}

// gated is a shell script that waits to be let through and then becomes the
// program that its arguments name. Without a word, when we are gone, it ends.
const gated = `read word <&3 && exec 3<&- && exec "$@"`

// ended is how a process ended, and the end of what it wrote.
type ended struct {
	status int // -1 if a signal ended it
	text   string
}

func (e ended) says(text string) bool { return strings.Contains(e.text, text) }

// errTooLong says that a process was ended because it took too long.
var errTooLong = errors.New("it took too long and was ended")

// start runs a program apart from us, in a session of its own and writing to a
// file: when we are killed it goes on. It begins only once the journal knows of
// it. A limit of 0 is none. If ctx ends first the process goes on, too.
func (j *job) start(ctx context.Context, limit time.Duration, env []string, argv ...string) (ended, error) {
	out, err := os.OpenFile(filepath.Join(j.dir, "output"), os.O_RDWR|os.O_CREATE|os.O_TRUNC|os.O_APPEND|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return ended{}, err
	}
	defer out.Close()
	gate, open, err := os.Pipe()
	if err != nil {
		return ended{}, err
	}
	defer open.Close()
	cmd := exec.Command("/bin/sh", append([]string{"-c", gated, "sh"}, argv...)...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = "/", env, out, out
	cmd.ExtraFiles = []*os.File{gate}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	gate.Close()
	if err != nil {
		return ended{}, err
	}
	exit := make(chan error, 1)
	go func() { exit <- cmd.Wait() }()
	j.rec.Running, err = identify(cmd.Process.Pid)
	if err == nil {
		j.rec.Running.Limit = limit > 0
		err = j.journal.put(j.rec)
	}
	if err != nil {
		open.Close()
		<-exit
		return ended{}, err
	}
	j.Fault("started")
	if _, err := io.WriteString(open, "go\n"); err != nil {
		return ended{}, fmt.Errorf("start %s: %w", argv[0], err)
	}
	err = supervise(ctx, cmd.Process.Pid, exit, out, limit)
	if ctx.Err() != nil || errors.Is(err, errTooLong) {
		return ended{}, err
	}
	status := 0
	if err != nil {
		status = cmd.ProcessState.ExitCode()
	}
	return ended{status, endOf(out)}, nil
}

// longestOutput is how long the file of what a process writes may get before
// it is emptied.
const longestOutput = 1 << 20

// supervise waits for a process, keeps its output short, and ends it and those
// it started when it takes too long.
func supervise(ctx context.Context, pid int, exit <-chan error, out *os.File, limit time.Duration) error {
	var late <-chan time.Time
	if limit > 0 {
		t := time.NewTimer(limit)
		defer t.Stop()
		late = t.C
	}
	look := time.NewTicker(time.Second)
	defer look.Stop()
	for {
		select {
		case err := <-exit:
			return err
		case <-look.C:
			if st, err := out.Stat(); err == nil && st.Size() > longestOutput {
				out.Truncate(0)
			}
		case <-late:
			syscall.Kill(-pid, syscall.SIGKILL)
			<-exit
			return errTooLong
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// endOf is the end of what a process wrote.
func endOf(f *os.File) string {
	st, err := f.Stat()
	if err != nil {
		return ""
	}
	text := make([]byte, min(st.Size(), 16<<10))
	n, _ := f.ReadAt(text, st.Size()-int64(len(text)))
	return string(text[:n])
}

// identify tells which process has a number now. It fails if none has.
func identify(pid int) (*process, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return nil, err
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	// The name, in parentheses, may hold anything; field 22 is the start time
	// (proc_pid_stat(5)).
	f := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(f) < 20 {
		return nil, fmt.Errorf("/proc/%d/stat has too few fields", pid)
	}
	start, err := strconv.ParseUint(string(f[19]), 10, 64)
	return &process{PID: pid, Start: start, Boot: strings.TrimSpace(string(boot))}, err
}

// await waits until a process that an earlier manager started has ended. One
// that takes too long, counted anew, is ended.
func (m *Manager) await(ctx context.Context, p *process) error {
	if p == nil {
		return nil
	}
	fd, err := unix.PidfdOpen(p.PID, 0)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) {
		return nil
	}
	if err != nil {
		return os.NewSyscallError("pidfd_open", err)
	}
	defer unix.Close(fd)
	now, err := identify(p.PID)
	if err != nil || now.Start != p.Start || now.Boot != p.Boot {
		return nil // the number means another one now
	}
	m.Log.Info("waiting for what an earlier manager started", "pid", p.PID)
	for began := time.Now(); ; {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 1000)
		switch {
		case n > 0:
			return nil
		case err != nil && !errors.Is(err, unix.EINTR):
			return os.NewSyscallError("poll", err)
		case ctx.Err() != nil:
			return ctx.Err()
		case p.Limit && time.Since(began) > m.PluginTimeout:
			unix.Kill(-p.PID, unix.SIGKILL)
		}
	}
}
