package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// program is one of the integrator's, run without arguments and without a shell.
type program struct {
	path  string
	limit time.Duration // it may run for so long
	most  int           // bytes of standard output
}

// run returns what the program prints. It fails if it cannot be started, ends
// with another status than 0 (an *exec.ExitError with the end of what it
// complained of), takes too long or prints too much.
func (p program) run(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, p.limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, p.path)
	// Its children must not outlive it: the whole group is ended.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	out, complaint := &capture{max: p.most, full: cancel}, &capture{max: 4 << 10}
	cmd.Stdout, cmd.Stderr = out, complaint
	err := cmd.Run()
	switch {
	case out.over:
		return nil, fmt.Errorf("%s prints more than %d bytes", p.path, p.most)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, fmt.Errorf("%s takes longer than %s", p.path, p.limit)
	case err != nil:
		if text := strings.TrimSpace(complaint.buf.String()); text != "" {
			return nil, fmt.Errorf("%s: %w: %s", p.path, err, text)
		}
		return nil, fmt.Errorf("%s: %w", p.path, err)
	}
	return out.buf.Bytes(), nil
}

// capture keeps the first max bytes; at one more it calls full, if set.
type capture struct {
	buf  bytes.Buffer
	max  int
	over bool
	full func()
}

func (c *capture) Write(p []byte) (int, error) {
	room := min(c.max-c.buf.Len(), len(p))
	c.buf.Write(p[:room])
	if room < len(p) && !c.over {
		c.over = true
		if c.full != nil {
			c.full()
		}
	}
	return len(p), nil
}
