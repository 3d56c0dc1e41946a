package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/updraft-ota/updraft/fleet"
	"github.com/updraft-ota/updraft/ota"
)

// importedFile tells in the data folder which trees were imported, a path a
// line: what was removed here since does not come back.
const importedFile = "imported"

// importTree publishes the files that the original server keeps in a folder,
// DIR/PUBLISH_ID/FILE (ota-server.md 1), unless that was done before. What
// breaks a rule is left out and told.
func (s *server) importTree(ctx context.Context) error {
	if s.UploadPath == "" {
		return nil
	}
	path, err := filepath.Abs(s.UploadPath)
	if err != nil {
		return err
	}
	before, err := os.ReadFile(s.folder.path(importedFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if slices.Contains(strings.Split(string(before), "\n"), path) {
		s.log.Info("this tree was imported at an earlier start, see DIR/"+importedFile, "path", path)
		return nil
	}
	tree, err := os.OpenRoot(path)
	if err != nil {
		return fmt.Errorf("import the old tree: %w: --upload-path names it", err)
	}
	defer tree.Close()
	t := &treeImport{server: s, tree: tree}
	if err := t.all(ctx); err != nil {
		return fmt.Errorf("import %s: %w", path, err)
	}
	s.log.Info("imported a tree of the original server", "path", path, "versions", t.taken, "refused", t.refused)
	return writeFile(s.folder.path(importedFile), append(before, path+"\n"...), 0o600)
}

type treeImport struct {
	*server
	tree           *os.Root
	taken, refused int
}

func (t *treeImport) all(ctx context.Context) error {
	folders, err := fs.ReadDir(t.tree.FS(), ".")
	if err != nil {
		return err
	}
	for _, f := range folders {
		if !f.IsDir() {
			t.leaveOut(f.Name(), errors.New("it is not a folder"))
			continue
		}
		releases, err := t.releases(f.Name())
		if err != nil {
			return err
		}
		for _, r := range releases {
			err := t.publish(ctx, f.Name(), r)
			switch ota.KindOf(err) {
			case ota.KindInvalid, ota.KindConflict, ota.KindTooLarge:
				t.leaveOut(f.Name(), err)
				err = nil
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *treeImport) leaveOut(name string, err error) {
	t.refused++
	t.log.Warn("left out of the import", "name", name, "err", err)
}

// oldRelease are the files of a folder that carry the same version in their
// names, or none.
type oldRelease struct {
	version string
	names   []string
	at      time.Time // when the first of them was written
}

// releases are the versions that lie in one folder, the oldest first. Aliases
// are passed over: there are no copies here.
func (t *treeImport) releases(folder string) (list []oldRelease, err error) {
	entries, err := fs.ReadDir(t.tree.FS(), folder)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		n, _ := ota.ParseRIOTName(e.Name())
		_, bad := ota.StoredName(e.Name(), "")
		info, err := e.Info()
		switch {
		case bad != nil:
			t.leaveOut(folder+"/"+e.Name(), bad)
			continue
		case err != nil || !info.Mode().IsRegular():
			t.leaveOut(folder+"/"+e.Name(), errors.Join(err, errors.New("it is not a regular file")))
			continue
		case n.Version == ota.Latest:
			continue
		}
		i := slices.IndexFunc(list, func(r oldRelease) bool { return r.version == n.Version })
		if i < 0 {
			i = len(list)
			list = append(list, oldRelease{version: n.Version, at: info.ModTime()})
		}
		list[i].names = append(list[i].names, e.Name())
		if info.ModTime().Before(list[i].at) {
			list[i].at = info.ModTime()
		}
	}
	slices.SortFunc(list, func(a, b oldRelease) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.version, b.version)) })
	return list, nil
}

func (t *treeImport) publish(ctx context.Context, folder string, r oldRelease) error {
	n := fleet.Publication{ID: folder}
	if _, err := ota.CleanPublishID(folder); err != nil {
		return err
	}
	for _, file := range r.names {
		name, err := ota.StoredName(file, "")
		if err != nil {
			return err
		}
		a, err := t.put(ctx, filepath.Join(folder, file), name)
		if err != nil {
			return err
		}
		n.Files = append(n.Files, a)
	}
	out, err := t.fleet.Publish(ctx, ota.DefaultNamespace, n)
	if err == nil {
		t.taken++
		t.log.Info("imported", "package", out.Package.ID, "files", r.names)
	}
	return err
}

func (t *treeImport) put(ctx context.Context, path, name string) (ota.Artifact, error) {
	f, err := t.tree.Open(path)
	if err != nil {
		return ota.Artifact{}, err
	}
	defer f.Close()
	return t.fleet.PutFile(ctx, name, f, t.fleet.MaxUpload)
}
