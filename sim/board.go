package sim

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/uuid"

	"github.com/updraft-ota/updraft/suit"
)

// firmware is the component that has two slots.
var firmware = suit.ComponentID{"\x00"}

// board is the device as a manifest acts on it, while one of its two slots
// stands for the firmware: the free one to install, the one that runs to start.
type board struct {
	*Device
	slot int
}

var _ suit.Device = (*board)(nil)

// Is knows one vendor and one class for everything on the board.
func (b *board) Is(kind suit.ParamKey, _ suit.ComponentID, id uuid.UUID) bool {
	switch kind {
	case suit.ParamVendor:
		return id == b.Vendor
	case suit.ParamClass:
		return id == b.Class
	case suit.ParamDevice:
		return id == b.ID && id != uuid.Nil
	}
	return false
}

// Slot compares numbers, or offsets with RIOT. What has one place is in slot 0.
func (b *board) Slot(c suit.ComponentID, slot uint64) bool {
	switch {
	case !c.Equal(firmware):
		return slot == 0
	case b.Dialect == suit.RIOT:
		return slot == b.Offsets[b.slot]
	}
	return slot == uint64(b.slot)
}

func slotFile(slot int) string { return fmt.Sprintf("slot%d.bin", slot) }

// path is the file that stands for a component.
func (b *board) path(c suit.ComponentID) string {
	if c.Equal(firmware) {
		return filepath.Join(b.Dir, slotFile(b.slot))
	}
	parts := make([]string, len(c))
	for i, p := range c {
		parts[i] = url.QueryEscape(p)
	}
	return filepath.Join(b.Dir, "component-"+strings.Join(parts, ",")+".bin")
}

// Measure reads all of a component; one that was never written is empty.
func (b *board) Measure(c suit.ComponentID, expected suit.Params) (suit.Digest, uint64, error) {
	want, _ := expected.Get(suit.ParamDigest).(suit.Digest)
	h := hasher(want.Algorithm)
	if h == nil {
		return suit.Digest{}, 0, fmt.Errorf("%w: digests by %s", suit.ErrUnsupported, want.Algorithm)
	}
	f, err := os.Open(b.path(c))
	if errors.Is(err, fs.ErrNotExist) {
		return suit.Digest{Algorithm: want.Algorithm, Sum: h.Sum(nil)}, 0, nil
	}
	if err != nil {
		return suit.Digest{}, 0, err
	}
	defer f.Close()
	n, err := io.Copy(h, f)
	return suit.Digest{Algorithm: want.Algorithm, Sum: h.Sum(nil)}, uint64(n), err
}

func hasher(a suit.Algorithm) hash.Hash {
	switch a {
	case suit.SHA256, suit.RIOTSHA256:
		return sha256.New()
	case suit.SHA384:
		return sha512.New384()
	case suit.SHA512:
		return sha512.New()
	}
	return nil
}

// Fetch writes blocks to their place as they come.
func (b *board) Fetch(ctx context.Context, c suit.ComponentID, uri string, _ suit.Params) error {
	return b.fill(c, func(f *os.File) (int64, error) {
		n, err := b.network().fetch(ctx, uri, f, b.SlotSize)
		if err != nil {
			return n, fmt.Errorf("fetch %s: %w", uri, err)
		}
		e := Event{Kind: Fetched, URL: uri, Size: n}
		if c.Equal(firmware) {
			e.Slot = &b.slot
		}
		b.tell(e)
		return n, nil
	})
}

// Write puts content in its place.
func (b *board) Write(c suit.ComponentID, content []byte, _ suit.Params) error {
	return b.fill(c, func(f *os.File) (int64, error) {
		n, err := (&place{w: f, size: b.SlotSize}).WriteAt(content, 0)
		return int64(n), err
	})
}

// Copy reads one place and writes another.
func (b *board) Copy(c, from suit.ComponentID, _ suit.Params) error {
	if b.path(c) == b.path(from) {
		return nil
	}
	source, err := os.Open(b.path(from))
	if err != nil {
		return err
	}
	defer source.Close()
	return b.fill(c, func(f *os.File) (int64, error) { return io.Copy(f, source) })
}

// Swap renames, by way of a third place. One that was switched off in between
// was not done installing, and will be told again.
func (b *board) Swap(c, other suit.ComponentID, _ suit.Params) error {
	here, there := b.path(c), b.path(other)
	if here == there {
		return nil
	}
	aside := there + ".aside"
	return errors.Join(move(there, aside), move(here, there), move(aside, here), b.flash.sync())
}

// move renames a file; what was never written is empty, and stays so.
func move(from, to string) error {
	err := os.Rename(from, to)
	if errors.Is(err, fs.ErrNotExist) {
		err = os.Remove(to)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// fill writes a component anew; what was in it is gone whatever happens, as
// flash is erased before it is written.
func (b *board) fill(c suit.ComponentID, write func(*os.File) (int64, error)) error {
	f, err := os.OpenFile(b.path(c), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	n, err := write(f)
	if err == nil {
		err = f.Truncate(n) // of content that became shorter on the way
	}
	return errors.Join(err, f.Sync(), f.Close(), b.flash.sync())
}

// Invoke has nothing to run; that it was asked to is told.
func (b *board) Invoke(c suit.ComponentID, args []byte) error {
	b.tell(Event{Kind: Invoked, Text: strings.TrimSpace(fmt.Sprintf("%s %q", c, args))})
	return nil
}

// bootable is what riotboot and RIOT ask of an image in a slot (6.4, 6.5): a
// header that is intact, is for this slot, and has the sequence number as its
// version.
func (b *board) bootable(m *suit.Manifest) error {
	if b.Dialect != suit.RIOT || !writesFirmware(m) {
		return nil
	}
	f, err := os.Open(b.path(firmware))
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	img, err := suit.ReadImage(f, info.Size())
	switch boot := img.RIOTBoot; {
	case err != nil:
		return fmt.Errorf("the image in slot %d has no header that riotboot knows: %w", b.slot, err)
	case boot == nil:
		return fmt.Errorf("the image in slot %d is for %s, not for riotboot", b.slot, img.Format)
	case len(img.Problems) > 0:
		return fmt.Errorf("the image in slot %d: %s", b.slot, strings.Join(img.Problems, "; "))
	case uint64(boot.Version) != m.Sequence:
		return fmt.Errorf("the image in slot %d has version %d in its header, and the manifest sequence number %d", b.slot, boot.Version, m.Sequence)
	case !boot.InSlot(b.Offsets[b.slot]):
		return fmt.Errorf("the image in slot %d is linked for address %#x, and the slot is at %#x", b.slot, boot.Start, b.Offsets[b.slot])
	}
	return nil
}

// writesFirmware reports whether a manifest is about the firmware.
func writesFirmware(m *suit.Manifest) bool {
	for _, c := range m.Components {
		if c.Equal(firmware) {
			return true
		}
	}
	return false
}
