package image

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"github.com/updraft-ota/updraft/ota"
)

// squashMagic begins a squashfs image; the number of inodes follows.
const squashMagic = "hsqs"

// unsquash has unsquashfs (Debian package squashfs-tools) unpack an image into
// dir. As it would make links and devices, it must first list what there is.
func unsquash(ctx context.Context, f *os.File, head []byte, dir string, l Limits) error {
	if len(head) < 96 { // the superblock
		return ota.Invalid("the image is no intact squashfs: it ends in its head")
	}
	if binary.LittleEndian.Uint32(head[4:]) > uint32(l.Files)+1 { // the top is one
		return tooMany()
	}
	if err := inspect(ctx, f, l); err != nil {
		return cmp.Or(ctx.Err(), err)
	}
	cmd := unsquashfs(ctx, f, "-quiet", "-no-progress", "-no-xattrs", "-force", "-processors", "1", "-data-queue", "8", "-frag-queue", "8", "-dest", dir)
	said := &tail{max: 1000}
	cmd.Stdout, cmd.Stderr = said, said
	// It must not outlive us and write into what our successor unpacks. The
	// kernel ends it with the thread that started it, which so has to stay.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil && bytes.Contains(said.kept, []byte("No space left on device")):
		return fmt.Errorf("unsquashfs: %w", syscall.ENOSPC)
	case err != nil:
		return refused(err, said)
	}
	return nil
}

// unsquashfs reads the image as a file that stays the same whatever becomes of
// its name.
func unsquashfs(ctx context.Context, f *os.File, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "unsquashfs", append(args, "/proc/self/fd/3")...)
	cmd.ExtraFiles = []*os.File{f}
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8", "TZ=UTC"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// refused blames the image for what unsquashfs could not do with it.
func refused(err error, said *tail) error {
	if errors.Is(err, exec.ErrNotFound) {
		return &ota.Error{Kind: ota.KindUnavailable, Code: "no_unsquashfs", Text: "install squashfs-tools to unpack squashfs images", Err: err}
	}
	return ota.Invalid("the image is no intact squashfs: unsquashfs: %v: %s", err, strings.TrimSpace(string(said.kept)))
}

// inspect reads the list of what an image holds, until something is wrong.
func inspect(ctx context.Context, f *os.File, l Limits) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := unsquashfs(ctx, f, "-quiet", "-no-progress", "-llnumeric")
	said := &tail{max: 1000}
	cmd.Stderr = said
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return refused(err, said)
	}
	listed := checkList(out, l)
	if listed != nil {
		cancel() // it may have much to say yet
	}
	err = cmd.Wait()
	if listed == nil && err != nil {
		return refused(err, said)
	}
	return listed
}

// checkList reads lines as of ls -l, the first of which is the top:
// "-rw-r--r-- 0/0  3 2026-11-21 19:18 squashfs-root/name".
func checkList(r io.Reader, l Limits) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 4<<10), 4*maxPath)
	for n := -1; lines.Scan(); n++ {
		w := strings.Fields(lines.Text())
		if len(w) < 6 {
			return ota.Invalid("the image holds a name that is not one line")
		}
		if w[0][0] != '-' && w[0][0] != 'd' {
			return ota.Invalid("the image holds %q, which is neither a file nor a directory", strings.Join(w[5:], " "))
		}
		size, err := strconv.ParseInt(w[2], 10, 64)
		if err != nil || size < 0 {
			return ota.Invalid("the image holds a name that is not one line")
		}
		if w[0][0] == '-' {
			l.Bytes -= size
		}
		if l.Bytes < 0 {
			return tooLarge()
		}
		if n == l.Files {
			return tooMany()
		}
	}
	if err := lines.Err(); err != nil {
		return ota.Invalid("the image holds a name that is too long: %v", err)
	}
	return nil
}

// tail keeps the end of what is written to it.
type tail struct {
	kept []byte
	max  int
}

func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p...)
	t.kept = t.kept[max(0, len(t.kept)-t.max):]
	return len(p), nil
}
