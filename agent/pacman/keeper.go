package pacman

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// keeperWord is the first argument of a process that keeps a run.
const keeperWord = "updraft-keep-run"

// lockFD is where the keeper finds the lock that the client took for it.
const lockFD = 3

// A keeper is a process between the client and what installs: the client may
// be killed, or be replaced by the very package that is being installed, and
// somebody has to see how the run ends, bound what it writes, and hold the
// lock by which the next client knows that it is still going on.
//
// It is this program again. That it is so is decided here, before anything
// else, so that every program with this room in it, tests included, can.
func init() {
	if len(os.Args) > 3 && os.Args[1] == keeperWord {
		os.Exit(keep(os.Args[2], os.Args[3:]))
	}
}

// keep runs a program, records in dir how it ended, and returns 0 if that
// succeeded.
func keep(dir string, argv []string) int {
	// Those that end the client, or a service manager's scope, are not for us.
	// They are caught, not ignored: that would pass on to the program.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM)
	syscall.CloseOnExec(lockFD)
	if _, err := os.NewFile(lockFD, lockName).WriteAt([]byte(strconv.Itoa(os.Getpid())), 0); err != nil {
		return keeperFailed(err)
	}
	end, err := watch(dir, argv)
	if err != nil {
		return keeperFailed(err)
	}
	if err := end.record(dir); err != nil {
		// The disk may be full. How it ended is more than what was said.
		end.Stdout, end.Stderr = "", ""
		if err := end.record(dir); err != nil {
			return keeperFailed(err)
		}
	}
	return 0
}

func keeperFailed(err error) int {
	fmt.Fprintln(os.Stderr, "keep the installation:", err)
	return 1
}

// watch runs a program to its end. It fails if the program has nowhere to
// write; one that cannot be started is an end, too.
func watch(dir string, argv []string) (output, error) {
	stdout, err := newStream(dir, stdoutName)
	if err != nil {
		return output{}, err
	}
	stderr, err := newStream(dir, stderrName)
	if err != nil {
		return output{}, err
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = stdout.file, stderr.file
	ended := start(cmd)
	look := time.NewTicker(time.Second)
	defer look.Stop()
	for running := true; running; {
		select {
		case <-look.C:
			stdout.bound()
			stderr.bound()
		case err = <-ended:
			running = false
		}
	}
	end := ending(cmd, err)
	if end.Killed {
		awaitOrphans(look.C)
	}
	end.Stdout, end.Stderr = stdout.tail(), stderr.tail()
	return end, nil
}

// start starts a program and returns where its end, or why it did not start,
// will be told.
func start(cmd *exec.Cmd) <-chan error {
	ended := make(chan error, 1)
	if err := cmd.Start(); err != nil {
		ended <- err
		return ended
	}
	go func() { ended <- cmd.Wait() }()
	return ended
}

// ending is how a program ended, or that it did not start, without what it
// wrote.
func ending(cmd *exec.Cmd, err error) output {
	end := output{Program: filepath.Base(cmd.Path), Status: -1}
	if cmd.ProcessState != nil {
		end.Status = cmd.ProcessState.ExitCode()
		end.Killed = end.Status < 0
	}
	if err != nil {
		end.How = err.Error()
	}
	return end
}

// awaitOrphans waits until nobody else is in this process's session. When
// dpkg alone is killed, the maintainer script that it ran goes on, and nobody
// must begin anew beside it. What a script started as a service is in a
// session of its own.
func awaitOrphans(look <-chan time.Time) {
	me := os.Getpid()
	for inSession(me) {
		<-look
	}
}

// inSession reports whether a living process other than its leader is in a
// session.
func inSession(leader int) bool {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has just ended
		}
		// The name, in parentheses, may hold anything; then come the state, the
		// parent, the process group and the session (proc_pid_stat(5)).
		f := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
		if len(f) < 4 || string(f[0]) == "Z" || string(f[3]) != strconv.Itoa(leader) {
			continue
		}
		if path != fmt.Sprintf("/proc/%d/stat", leader) {
			return true
		}
	}
	return false
}

// lockRun takes the lock of a work directory. It fails with errBusy if a run
// holds it.
func lockRun(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: %s", errBusy, f.Name())
		}
		return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return f, nil
}
