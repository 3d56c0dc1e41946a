package image

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/updraft-ota/updraft/ota"
)

// checkTree looks at what was unpacked, whoever did it, and takes all rights
// from it but the owner's to read and write.
func checkTree(dir string, l Limits) error {
	files, bytes := 0, int64(0)
	return filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil || p == dir {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		files++
		if info.Mode().IsRegular() {
			bytes += info.Size()
		}
		switch {
		case !plainPath(filepath.ToSlash(name)):
			return ota.Invalid("the image holds %q, which is no path inside it", name)
		case !info.Mode().IsRegular() && !info.IsDir():
			return ota.Invalid("the image holds %q, which is neither a file nor a directory", name)
		case info.Mode().IsRegular() && info.Sys().(*syscall.Stat_t).Nlink != 1:
			return ota.Invalid("the image holds %q, which is a link", name)
		case files > l.Files:
			return tooMany()
		case bytes > l.Bytes:
			return tooLarge()
		case info.IsDir():
			return os.Chmod(p, 0o700)
		}
		return os.Chmod(p, 0o600)
	})
}
