package pacman

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// maxAnswer bounds what a program that is asked something may write, in bytes.
// A database of 50 000 packages stays well below.
const maxAnswer = 64 << 20

// ask runs a program that changes nothing and returns its standard output. It
// fails with an *exec.ExitError in the chain if the program ran and failed,
// and with ctx's error if that ended first; the program is then killed.
func ask(ctx context.Context, name string, args ...string) ([]byte, error) {
	return askWith(ctx, environment(), name, args...)
}

func askWith(ctx context.Context, env []string, name string, args ...string) ([]byte, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = env
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

// environment is all that package managers, their scripts and an integrator's
// program get to see. The client's own variables stay here: they may hold
// secrets, and NOTIFY_SOCKET would let a script speak for the client.
func environment() []string {
	return []string{
		"PATH=" + strings.TrimPrefix(os.Getenv("PATH")+":/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin", ":"),
		"HOME=" + os.Getenv("HOME"),
		"LC_ALL=C",
		"DEBIAN_FRONTEND=noninteractive",
	}
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
