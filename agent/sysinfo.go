package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"
)

const (
	systemInfoLimit = 60 * time.Second
	maxSystemInfo   = 1 << 20 // bytes of standard output
)

// systemInfo runs a program without arguments and without a shell and returns
// what it prints. It fails if there is none, if it cannot be started, ends
// with another status than 0, takes longer than a minute, prints more than
// 1 MiB or anything but one JSON document in UTF-8 (client.md 8.5).
func systemInfo(ctx context.Context, program string) ([]byte, error) {
	if program == "" {
		return nil, errors.New("no system_info command is configured")
	}
	ctx, cancel := context.WithTimeout(ctx, systemInfoLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, program)
	// Its children must not outlive it: the whole group is ended.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	out, complaint := &capture{max: maxSystemInfo, full: cancel}, &capture{max: 4 << 10}
	cmd.Stdout, cmd.Stderr = out, complaint
	err := cmd.Run()
	switch {
	case out.over:
		return nil, fmt.Errorf("%s prints more than %d bytes", program, maxSystemInfo)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, fmt.Errorf("%s takes longer than %s", program, systemInfoLimit)
	case err != nil:
		if text := strings.TrimSpace(complaint.buf.String()); text != "" {
			return nil, fmt.Errorf("%s: %w: %s", program, err, text)
		}
		return nil, fmt.Errorf("%s: %w", program, err)
	case !utf8.Valid(out.buf.Bytes()) || !json.Valid(out.buf.Bytes()):
		return nil, fmt.Errorf("%s does not print JSON", program)
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
