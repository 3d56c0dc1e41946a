package ab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/updraft-ota/updraft/agent"
	"github.com/updraft-ota/updraft/ota"
)

// refused checks that an installation ends with a code before the boot loader
// hears of it, and that the running slot is as it was.
func (w *world) refused(out agent.Outcome, code ota.ResultCode, words ...string) {
	w.Helper()
	w.want(out, code, A, words...)
	if w.holds(A) != "old" {
		w.Error("the running slot was written")
	}
}

func (w *world) install() agent.Outcome { return w.installer().Install(w.Context(), w.img) }

func TestImagesThatAreNotWritten(t *testing.T) {
	w := newWorld(t, "grub", A)
	w.download("new")
	before := w.read("slot-b")

	w.must(os.Truncate(w.at("slot-b"), imageSize-1))
	w.refused(w.install(), ota.DiskFull, fmt.Sprintf("%d bytes", imageSize), fmt.Sprintf("room for %d", imageSize-1))
	w.write("slot-b", before)

	whole := w.img
	w.img.Digest = ""
	w.refused(w.install(), ota.ValidationFailed, "no digest")
	w.img = whole
	w.img.Path = w.at("nowhere")
	w.refused(w.install(), ota.GeneralError, "no such file")
	w.img = whole
	if w.read("slot-b") != before {
		t.Error("the slot was written")
	}

	w.write("image", strings.Repeat("y", imageSize))
	w.refused(w.install(), ota.ValidationFailed, "the image has the digest", string(whole.Digest))
	if got := w.installed(); got != "" {
		t.Errorf("installed: %q", got)
	}
}

func TestAnImageMayFillTheSlot(t *testing.T) {
	w := newWorld(t, "grub", A)
	w.must(os.Truncate(w.at("slot-b"), imageSize))
	w.download("new")
	w.want(w.finish(), ota.OK, B)
}

func TestPlacesThatAreNoSlots(t *testing.T) {
	w := newWorld(t, "uboot", A)
	w.download("new")
	w.write("file", strings.Repeat("z", slotSize))
	w.must(errors.Join(
		os.Symlink(w.at("file"), w.at("link")),
		os.Symlink(w.at("slot-a"), w.at("link-to-a")),
		os.Link(w.at("slot-a"), w.at("name-of-a")),
		os.Mkdir(w.at("folder"), 0o700),
		unix.Mkfifo(w.at("fifo"), 0o600),
	))
	for path, why := range map[string]string{
		w.at("link"):      "may only be one to a block device",
		w.at("link-to-a"): "the same place",
		w.at("name-of-a"): "the same place",
		w.at("folder"):    "is a directory",
		w.at("fifo"):      "neither a block device nor a file",
		w.at("nowhere"):   "no such file",
		"/dev/null":       "neither a block device nor a file",
	} {
		w.cfg.SlotB = path
		w.refused(w.install(), ota.WritePartitionFailed, why)
	}
	w.must(os.Link(w.at("file"), w.at("file-too")))
	w.cfg.SlotB = w.at("file")
	w.refused(w.install(), ota.WritePartitionFailed, "has 2 names")
	if w.read("file") != strings.Repeat("z", slotSize) || w.has("nowhere") {
		t.Error("something was written or made")
	}
}

// What the medium gives back counts, not what write(2) said.
func TestASlotThatForgets(t *testing.T) {
	w := newWorld(t, "uboot", A)
	w.download("new")
	in := w.installer()
	in.fault = func(point string) {
		if point == "before reading the slot back" {
			w.write("slot-b", w.read("slot-b")[:chunk]+strings.Repeat("?", slotSize-chunk))
		}
	}
	w.refused(in.Install(w.Context(), w.img), ota.WritePartitionFailed, "does not hold what was written")
}

// full lets the client see a directory that has room for 64 KiB only.
func (w *world) full(name, prepare string) {
	w.must(os.Mkdir(w.at(name), 0o700))
	w.wrap = func(exe string) []string {
		return []string{"unshare", "--user", "--map-root-user", "--mount", "sh", "-ec",
			"mount -t tmpfs -o size=64k,mode=700 none " + w.at(name) + "\n" + prepare + "\nexec " + exe}
	}
}

func TestADiskThatIsFull(t *testing.T) {
	w := newWorld(t, "grub", A)
	w.download("new")
	w.full("disk", fmt.Sprintf("truncate -s %d %s", slotSize, w.at("disk/slot")))
	w.cfg.SlotB = w.at("disk/slot")
	out := *w.live(0).Outcome
	w.refused(out, ota.DiskFull, "slot B", "no space left")

	// The journal's disk is full: nothing is tried that would be forgotten.
	w = newWorld(t, "grub", A)
	w.download("new")
	w.full("disk", "head -c 70000 /dev/zero > "+w.at("disk/filler")+" || true")
	w.img.WorkDir = w.at("disk")
	out = *w.live(0).Outcome
	w.refused(out, ota.DiskFull, "no space left")
}

func TestStoppedWhileWriting(t *testing.T) {
	w := newWorld(t, "grub", A)
	w.download("new")
	ctx, stop := context.WithCancel(t.Context())
	in := w.installer()
	chunks := 0
	in.fault = func(point string) {
		if point == "before writing to the slot" {
			chunks++
			stop()
		}
	}
	in.Install(ctx, w.img)
	if chunks != 1 {
		t.Errorf("%d chunks were written after the stop", chunks)
	}
	w.want(w.finish(), ota.OK, B)
}

// loopDevice makes a block device of a file. Where there are none, for an
// ordinary user or in a container, it returns the file itself, and says so.
func (w *world) loopDevice(path string) (device string, real bool) {
	out, err := exec.Command("losetup", "--find", "--show", path).Output()
	if err != nil {
		w.Logf("no loop devices here (losetup: %v): the story is told with a file", err)
		return path, false
	}
	device = strings.TrimSpace(string(out))
	w.Cleanup(func() {
		if err := exec.Command("losetup", "--detach", device).Run(); err != nil {
			w.Error(err)
		}
	})
	return device, true
}

func TestBlockDevices(t *testing.T) {
	const size = (imageSize/4096 + 2) * 4096
	w := newWorld(t, "uboot", A)
	w.must(errors.Join(os.Truncate(w.at("slot-a"), size), os.Truncate(w.at("slot-b"), size)))
	var real bool
	w.cfg.SlotA, _ = w.loopDevice(w.at("slot-a"))
	w.cfg.SlotB, real = w.loopDevice(w.at("slot-b"))
	w.download("new")
	if real {
		w.usedDevice()
		w.must(os.Symlink(w.cfg.SlotB, w.at("by-label"))) // as udev names them
		w.cfg.SlotB = w.at("by-label")
	}
	w.want(w.finish(), ota.OK, B)
	if w.holds(A) != "old" || w.holds(B) != "new" {
		t.Errorf("slot A holds %q, slot B %q", w.holds(A), w.holds(B))
	}
	w.next("new")
	w.must(os.WriteFile(w.img.Path, make([]byte, size+1), 0o600))
	w.want(w.install(), ota.DiskFull, B, fmt.Sprintf("room for %d", size))
}

// usedDevice checks that a device in use, as by a mount, is left alone, and so
// is one that is both slots under two names.
func (w *world) usedDevice() {
	w.Helper()
	user, err := os.OpenFile(w.cfg.SlotB, os.O_RDONLY|unix.O_EXCL, 0)
	w.must(err)
	w.refused(w.install(), ota.WritePartitionFailed, "it is mounted, or in use")
	w.must(user.Close())

	var st unix.Stat_t
	w.must(unix.Stat(w.cfg.SlotA, &st))
	b := w.cfg.SlotB
	w.cfg.SlotB = w.at("node")
	w.must(unix.Mknod(w.cfg.SlotB, unix.S_IFBLK|0o600, int(st.Rdev)))
	w.refused(w.install(), ota.WritePartitionFailed, "the same place")
	w.cfg.SlotB = b
}
