package pacman

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/updraft-ota/updraft/ota"
)

// maxAnswer bounds what a program that is asked something may write, in bytes.
// A database of 50 000 packages stays well below.
const maxAnswer = 64 << 20

// The output of dpkg lies in these files of the work directory.
const (
	stdoutFile = "dpkg.stdout"
	stderrFile = "dpkg.stderr"
)

// ask runs a program that changes nothing and returns its standard output. It
// fails with an *exec.ExitError in the chain if the program ran and failed,
// and with ctx's error if that ended first; the program is then killed.
func ask(ctx context.Context, name string, args ...string) ([]byte, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = environment()
	cmd.Stderr = &capped{w: &stderr, left: 4 << 10}
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	out, err := io.ReadAll(io.LimitReader(pipe, maxAnswer+1))
	if len(out) > maxAnswer {
		err = fmt.Errorf("more than %d bytes of output", maxAnswer)
	}
	if err != nil {
		stop()
	}
	if err := errors.Join(err, cmd.Wait()); err != nil {
		return nil, fmt.Errorf("%s: %w: %s", name, errors.Join(context.Cause(ctx), err), strings.TrimSpace(clean(stderr.String())))
	}
	return out, nil
}

// dpkg runs dpkg on root and returns what it said. If ctx ends first dpkg goes
// on, and the answer is ctx's error.
//
// dpkg lives in a session of its own and writes to files: the client may be
// killed at any time, and dpkg must neither get that signal nor a broken pipe.
func (d *deb) dpkg(ctx context.Context, dir string, args ...string) (output, error) {
	stdout, err := create(dir, stdoutFile)
	if err != nil {
		return output{}, err
	}
	defer stdout.Close()
	stderr, err := create(dir, stderrFile)
	if err != nil {
		return output{}, err
	}
	defer stderr.Close()

	cmd := exec.Command("dpkg", append(d.flags(), args...)...)
	cmd.Dir, cmd.Env = "/", environment()
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return output{}, fmt.Errorf("start dpkg: %w", err)
	}
	d.log.Info("dpkg started", "pid", cmd.Process.Pid, "args", cmd.Args[1:])
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		said := readOutput(dir)
		said.exit = err
		return said, nil
	case <-ctx.Done():
		return output{}, ctx.Err()
	}
}

// flags are what every run of dpkg gets. The only forces are those that keep
// it from asking about configuration files, and the one without which it
// refuses an ordinary user's scratch root.
func (d *deb) flags() []string {
	flags := []string{"-E", "-G", "--force-confdef", "--force-confold"}
	if d.root == "/" {
		return flags
	}
	if os.Geteuid() != 0 {
		flags = append(flags, "--force-not-root")
	}
	return append([]string{"--root=" + d.root}, flags...)
}

// environment is all that dpkg and maintainer scripts get to see. The client's
// own variables stay here: they may hold secrets, and NOTIFY_SOCKET would let
// a script speak for the client.
func environment() []string {
	return []string{
		"PATH=" + strings.TrimPrefix(os.Getenv("PATH")+":/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin", ":"),
		"HOME=" + os.Getenv("HOME"),
		"LC_ALL=C",
		"DEBIAN_FRONTEND=noninteractive",
	}
}

func create(dir, name string) (*os.File, error) {
	return os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_APPEND|syscall.O_NOFOLLOW, 0o600)
}

// output is the end of what a run of dpkg wrote, and how it exited.
type output struct {
	stdout, stderr string
	exit           error
}

func (o output) mentions(s string) bool {
	return strings.Contains(o.stderr, s) || strings.Contains(o.stdout, s)
}

// both is the text of a failure (client.md 6).
func (o output) both() string {
	text := "stdout: " + o.stdout + "\nstderr: " + o.stderr
	if o.exit != nil {
		text = "dpkg: " + o.exit.Error() + "\n" + text
	}
	return text
}

func readOutput(dir string) output {
	return output{stdout: tail(filepath.Join(dir, stdoutFile)), stderr: tail(filepath.Join(dir, stderrFile))}
}

// maxStream is how much of each stream is kept, so that both and their labels
// fit a report.
const maxStream = ota.MaxResultText/2 - 100

// tail is the end of a file, at most maxStream bytes.
func tail(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	if st, err := f.Stat(); err == nil && st.Size() > maxStream {
		f.Seek(-maxStream, io.SeekEnd)
	}
	b, _ := io.ReadAll(io.LimitReader(f, maxStream))
	return clean(string(b))
}

// clean makes text that may be cut anywhere fit for a report, without making
// it longer.
func clean(s string) string {
	return strings.ToValidUTF8(s[max(0, len(s)-maxStream):], "?")
}

// capped passes on the first bytes and swallows the rest.
type capped struct {
	w    io.Writer
	left int
}

func (c *capped) Write(p []byte) (int, error) {
	n := min(len(p), c.left)
	c.left -= n
	_, err := c.w.Write(p[:n])
	return len(p), err
}
