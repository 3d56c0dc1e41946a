package pacman

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/updraft-ota/updraft/ota"
)

// What a run leaves in the update's work directory.
const (
	lockName    = "run.lock"   // locked while a run goes on; holds the keeper's process id
	startsName  = "run.starts" // how often a run was started, one byte each
	endName     = "run.end"    // how the last run ended: an output as JSON
	stdoutName  = "run.stdout" // what it writes, while it runs
	stderrName  = "run.stderr"
	troubleName = "run.trouble" // what the keeper, or systemd-run, has to complain of
)

// maxStream is how much of each stream is kept, so that both and their labels
// fit a report.
const maxStream = ota.MaxResultText/2 - 100

// output is how a run ended, and the end of what it wrote.
type output struct {
	Program string // its base name
	Status  int    // exit status, -1 if a signal ended it or it did not start
	How     string // in words if it did not exit with 0, such as "exit status 1"
	Killed  bool   // a signal ended it, so it may have stopped anywhere
	Stdout  string
	Stderr  string
}

func (o output) mentions(s string) bool {
	return strings.Contains(o.Stderr, s) || strings.Contains(o.Stdout, s)
}

// both is the text of a failure (client.md 6).
func (o output) both() string {
	text := "stdout: " + o.Stdout + "\nstderr: " + o.Stderr
	if o.How != "" {
		text = o.Program + ": " + o.How + "\n" + text
	}
	return text
}

// record keeps o in the work directory, durably and whole or not at all.
func (o output) record(dir string) error {
	text, err := json.Marshal(o)
	if err != nil {
		return err
	}
	return replace(dir, endName, text)
}

// past is what the work directory tells about runs of earlier clients.
type past struct {
	starts int
	ended  bool   // the last of them has come to an end that it recorded
	last   output // that end
}

// cut reports whether the last run was stopped somewhere in the middle.
func (p past) cut() bool { return p.starts > 0 && (!p.ended || p.last.Killed) }

func readPast(dir string) (past, error) {
	var p past
	starts, err := os.Stat(filepath.Join(dir, startsName))
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err != nil {
		return p, fmt.Errorf("look for earlier runs: %w", err)
	}
	p.starts = int(starts.Size())
	text, err := os.ReadFile(filepath.Join(dir, endName))
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err != nil {
		return p, fmt.Errorf("look for earlier runs: %w", err)
	}
	if err := json.Unmarshal(text, &p.last); err != nil {
		return p, fmt.Errorf("look for earlier runs: %s: %w", endName, err)
	}
	p.ended = true
	return p, nil
}

// begin notes, durably, that one more run starts.
func (p past) begin(dir string) error {
	if err := os.Remove(filepath.Join(dir, endName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return replace(dir, startsName, []byte(strings.Repeat("+", p.starts+1)))
}

// replace writes a file durably: after a crash there is the old or the new one.
func replace(dir, name string, text []byte) error {
	tmp := filepath.Join(dir, name+".new")
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp, filepath.Join(dir, name)); err != nil {
		return err
	}
	return syncDir(dir)
}
