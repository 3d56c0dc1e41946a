package device

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// lines writes the log of client.md 7.5, a line for each record:
// "<RFC 3339 UTC> (<version>): <LEVEL> - <message> key=value …".
type lines struct {
	level   slog.Level
	version string
	attrs   string // of this logger, ready to be written
	group   string
	out     *outlet
}

// outlet is where the log goes.
type outlet struct {
	mu sync.Mutex
	to io.Writer
}

// divert has the log go somewhere else from now on.
func divert(log *slog.Logger, to io.Writer) {
	l := log.Handler().(*lines)
	l.out.mu.Lock()
	defer l.out.mu.Unlock()
	l.out.to = to
}

// newLog makes the program's log. Its level is SOTA_LOG or, for the
// original's users, RUST_LOG; INFO without either.
func newLog(out io.Writer, version string, getenv func(string) string) *slog.Logger {
	text := getenv("SOTA_LOG")
	if text == "" {
		text = getenv("RUST_LOG")
	}
	return slog.New(&lines{level: level(text), version: version, out: &outlet{to: out}})
}

func level(text string) slog.Level {
	switch strings.ToLower(text) {
	case "trace", "debug":
		return slog.LevelDebug
	case "warn", "warning":
		return slog.LevelWarn
	case "error":
		return slog.LevelError
	case "off":
		return slog.LevelError + 100
	}
	return slog.LevelInfo
}

func (l *lines) Enabled(_ context.Context, level slog.Level) bool { return level >= l.level }

func (l *lines) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s): %s - %s%s", r.Time.UTC().Format(time.RFC3339), l.version, r.Level, oneLine(r.Message), l.attrs)
	r.Attrs(func(a slog.Attr) bool {
		b.WriteString(l.format(a))
		return true
	})
	b.WriteByte('\n')
	l.out.mu.Lock()
	defer l.out.mu.Unlock()
	_, err := io.WriteString(l.out.to, b.String())
	return err
}

func (l *lines) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *l
	for _, a := range attrs {
		c.attrs += l.format(a)
	}
	return &c
}

func (l *lines) WithGroup(name string) slog.Handler {
	c := *l
	c.group += name + "."
	return &c
}

func (l *lines) format(a slog.Attr) string {
	value := a.Value.Resolve().String()
	if value == "" || strings.ContainsAny(value, " \t\r\n\"=") {
		value = fmt.Sprintf("%q", value)
	}
	return " " + l.group + a.Key + "=" + value
}

// oneLine keeps foreign text from forging lines.
func oneLine(s string) string {
	return strings.NewReplacer("\n", `\n`, "\r", `\r`).Replace(s)
}
