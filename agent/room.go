package agent

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/updraft-ota/updraft/ota"
)

// Images stay on disk after their update has ended, for whoever wants to look
// at one that failed or uses one that an external installer took. They are
// spare: the newest few stay, and give way to anything that needs the room.

// keepSpare is how many spare images stay.
const keepSpare = 3

// reserve is how much of the disk downloads leave to others, in bytes.
const reserve = 8 << 20

// spare lists the ended updates whose image is still there, oldest first.
func (a *Agent) spare() []ota.UpdateID {
	var list []ota.UpdateID
	for _, id := range a.state.at(Concluded, Reported, Refused) {
		if _, there := a.image(id); there {
			list = append(list, id)
		}
	}
	return list
}

// image returns the size of an update's image on disk.
func (a *Agent) image(id ota.UpdateID) (int64, bool) {
	if !safeName(id) {
		return 0, false
	}
	return a.images.size(string(id))
}

// dropSpare removes the oldest spare images until so many are left. It reports
// whether it removed any.
func (a *Agent) dropSpare(keep int) bool {
	list := a.spare()
	removed := false
	for len(list) > keep {
		if err := a.images.remove(string(list[0])); err != nil {
			a.log.Warn("cannot remove an image that is no longer needed", "update", list[0], "err", err)
		} else {
			removed = true
		}
		list = list[1:]
	}
	return removed
}

// dropOldest removes the oldest spare image.
func (a *Agent) dropOldest() bool { return a.dropSpare(max(len(a.spare())-1, 0)) }

// roomy repeats what a full disk refuses as long as a spare image can give way.
func (a *Agent) roomy(do func() error) error {
	for {
		err := do()
		if err == nil || localFailure(err).code != ota.DiskFull || !a.dropOldest() {
			return err
		}
	}
}

// put makes an entry durable, at the cost of spare images if it must.
func (a *Agent) put(e Entry) error { return a.roomy(func() error { return a.state.put(e) }) }

// makeRoom makes sure that the rest of an image will fit, of which have bytes
// are on disk. It fails with a *failure, DISK_FULL, if only images that are
// still needed could give way.
func (a *Agent) makeRoom(e Entry, have int64) error {
	return a.roomy(func() error { return a.fits(e, have) })
}

func (a *Agent) fits(e Entry, have int64) error {
	size := max(e.Size, have)
	if room := a.quotaFor(e.Update); size > room {
		return &failure{ota.DiskFull, fmt.Errorf("an image of %d bytes does not fit into policy.disk_quota, which has %d left for it: %w", size, max(room, 0), unix.EDQUOT)}
	}
	free, err := a.free()
	if err != nil {
		return nil // writing will tell
	}
	if size > have && size-have > free-reserve {
		return &failure{ota.DiskFull, fmt.Errorf("%d bytes are missing of the image, and %d free on the disk: %w", size-have, free, unix.ENOSPC)}
	}
	return nil
}

// mostFor is how many bytes an image may come to have, of which have are on
// disk: one whose size nobody tells must not fill the disk to its brim either.
func (a *Agent) mostFor(e Entry, have int64) int64 {
	most := a.quotaFor(e.Update)
	if free, err := a.free(); err == nil && e.Size < 0 {
		most = min(most, have+max(free-reserve, 0))
	}
	return most
}

// quotaFor is how many bytes the quota leaves for an update's image. What other
// downloads have begun is theirs, also where it is not yet on disk.
func (a *Agent) quotaFor(id ota.UpdateID) int64 {
	room, limited := a.cfg.Policy.quota()
	if !limited {
		return 1 << 62
	}
	for _, e := range a.state.entries {
		if e.Update == id || !safeName(e.Update) {
			continue
		}
		size, there := a.image(e.Update)
		if e.Step == Downloading && !there {
			part, _ := a.images.size(partName(e.Update))
			size = max(e.Size, part)
		}
		room -= size
	}
	return room
}

// size returns the length of a file, and whether there is one of that name.
func (d *folder) size(name string) (int64, bool) {
	var st unix.Stat_t
	err := unix.Fstatat(d.fd(), name, &st, unix.AT_SYMLINK_NOFOLLOW)
	if err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return 0, false
	}
	return st.Size, true
}

// free returns how many bytes the folder's disk has left for us.
func (d *folder) free() (int64, error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(d.fd(), &st); err != nil {
		return 0, errors.New("the disk does not tell how full it is")
	}
	return int64(st.Bavail) * int64(st.Frsize), nil
}
