package ab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// grub keeps the choice in GRUB's environment block, by grub-editenv. The
// variables are those every grub.cfg made by grub-mkconfig knows; the slots
// are the ids of menu entries:
//
//	saved_entry  what starts: A or B
//	next_entry   what starts the next time only; GRUB empties it before
//
// grub-editenv cuts the file to nothing before it writes. So it works on a
// copy, which then takes the file's place in one step.
type grub struct{ file string }

func (g grub) read(ctx context.Context) (choice, error) {
	vars, err := list(ctx, g.file)
	if err != nil {
		return choice{}, err
	}
	return choice{Keep: entry(vars["saved_entry"]), Try: entry(vars["next_entry"])}, nil
}

// entry reads the id of a menu entry. Others than ours are no slot.
func entry(id string) Slot {
	slot, _ := parseSlot(id)
	return slot
}

func (g grub) write(ctx context.Context, c choice) error {
	path, err := filepath.EvalSymlinks(g.file) // some systems keep it beside GRUB's EFI program
	if err != nil {
		return err
	}
	if _, err := list(ctx, path); err != nil {
		return err
	}
	tmp, err := duplicate(path)
	if err != nil {
		return err
	}
	defer os.Remove(tmp)
	if _, err := run(ctx, askLimit, "", "grub-editenv", tmp, "set", "saved_entry="+string(c.Keep), "next_entry="+string(c.Try)); err != nil {
		return err
	}
	return replace(tmp, path)
}

// list reads an environment block. It fails if there is none.
func list(ctx context.Context, path string) (map[string]string, error) {
	if _, err := os.Stat(path); err != nil { // grub-editenv would take it for empty
		return nil, fmt.Errorf("%w: make it with grub-editenv %s create", err, path)
	}
	out, err := run(ctx, askLimit, "", "grub-editenv", path, "list")
	return variables(out), err
}

// duplicate copies a file within its directory and returns the copy's path.
func duplicate(path string) (string, error) {
	from, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer from.Close()
	info, err := from.Stat()
	if err != nil {
		return "", err
	}
	tmp := path + ".updraft"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	to, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, info.Mode().Perm())
	if err != nil {
		return "", err
	}
	_, err = io.Copy(to, from)
	return tmp, errors.Join(err, to.Close())
}

// replace makes tmp durable and puts it in path's place.
func replace(tmp, path string) error {
	if err := syncPath(tmp); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return syncPath(filepath.Dir(path))
}

func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
