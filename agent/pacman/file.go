package pacman

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/updraft-ota/updraft/agent"
	"github.com/updraft-ota/updraft/ota"
)

// list is a file with one line per installed image: the test double of
// client.md 6. The file is never opened through a symbolic link, since it
// often lies in a directory that everyone may write to.
type list struct{ path string }

// Installed reads the lines that are exactly a name, one space and a version;
// others are skipped. It fails if the file cannot be read.
func (l list) Installed(context.Context) ([]ota.PackageID, error) {
	f, err := l.open(os.O_RDONLY)
	if err != nil {
		return nil, fmt.Errorf("list installed packages: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil {
		return nil, fmt.Errorf("list installed packages: %w", err)
	}
	var ids []ota.PackageID
	for line := range strings.SplitSeq(string(text), "\n") {
		name, version, _ := strings.Cut(line, " ")
		if name != "" && version != "" && !strings.Contains(version, " ") {
			ids = append(ids, ota.PackageID{Name: name, Version: version})
		}
	}
	return ids, nil
}

// Install appends the image's path as a line, unless the file has that line.
// The answer is OK once the line is durable; otherwise INSTALL_FAILED, or
// DISK_FULL.
func (l list) Install(_ context.Context, img agent.Image) agent.Outcome {
	err := l.note(img.Path)
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return agent.Outcome{Code: ota.DiskFull, Text: err.Error()}
	case err != nil:
		return agent.Outcome{Code: ota.InstallFailed, Text: err.Error()}
	}
	return agent.Outcome{Code: ota.OK}
}

// note makes sure that the file durably has the line.
func (l list) note(line string) error {
	if strings.ContainsAny(line, "\r\n") {
		return fmt.Errorf("image path %q holds a line break", line)
	}
	f, err := l.open(os.O_RDWR | os.O_CREATE | os.O_APPEND)
	if err != nil {
		return err
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil {
		return err
	}
	if _, err := f.WriteString(missing(string(text), line)); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return syncDir(filepath.Dir(l.path))
}

// missing is what to append to text so that it has the line, whole. A crash,
// or a person, may have left the last line open.
func missing(text, line string) string {
	lines := strings.Split(text, "\n")
	last := len(lines) - 1
	switch {
	case lines[last] == line:
		return "\n"
	case slices.Contains(lines, line):
		return ""
	case lines[last] != "":
		return "\n" + line + "\n"
	}
	return line + "\n"
}

func (l list) open(flag int) (*os.File, error) {
	return os.OpenFile(l.path, flag|syscall.O_NOFOLLOW, 0o644)
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
