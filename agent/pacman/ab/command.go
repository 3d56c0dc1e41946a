package ab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"
)

// How long programs may take, other than the health check.
const (
	askLimit  = 30 * time.Second // a program that is asked something
	hookLimit = time.Minute      // the reboot command
)

// maxAnswer is how much of a program's output is kept, in bytes. A U-Boot
// environment of that size would be a large one.
const maxAnswer = 256 << 10

// ask runs a command line and returns its standard output.
func ask(ctx context.Context, line string) (string, error) {
	return run(ctx, askLimit, "", strings.Fields(line)...)
}

// run runs a program, without a shell, gives it its input and returns its
// standard output. It fails, with what the program complained of, if that cannot be started, exits
// with another status than 0 or takes longer than limit; its process group is
// then killed.
func run(ctx context.Context, limit time.Duration, input string, argv ...string) (string, error) {
	if len(argv) == 0 {
		return "", errors.New("the command is empty")
	}
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(limited, argv[0], argv[1:]...)
	out, complaint := &capped{left: maxAnswer}, &capped{left: 2 << 10}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), out, complaint
	cmd.Dir, cmd.Env = "/", environ()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	switch {
	case err == nil:
		return out.String(), nil
	case ctx.Err() != nil:
		return "", ctx.Err()
	case limited.Err() != nil:
		err = fmt.Errorf("still ran after %s", limit)
	}
	if said := strings.TrimSpace(complaint.String()); said != "" {
		return "", fmt.Errorf("%s: %w: %s", argv[0], err, clip(said))
	}
	return "", fmt.Errorf("%s: %w", argv[0], err)
}

// environ is all that programs get to see: the client's own variables may hold
// secrets, and NOTIFY_SOCKET would let a program speak for the client.
func environ() []string {
	return []string{
		"PATH=" + strings.TrimPrefix(os.Getenv("PATH")+":/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin", ":"),
		"HOME=" + os.Getenv("HOME"),
		"LC_ALL=C",
	}
}

// capped keeps the first bytes and swallows the rest.
type capped struct {
	bytes.Buffer
	left int
}

func (c *capped) Write(p []byte) (int, error) {
	n := min(len(p), c.left)
	c.left -= n
	c.Buffer.Write(p[:n])
	return len(p), nil
}

// clip makes foreign text fit for a report.
func clip(s string) string {
	const most = 1 << 10
	if len(s) > most {
		s = s[:most] + "…"
	}
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "?")
	}
	return s
}

// pause waits for d or until ctx ends, and then returns ctx's error.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
