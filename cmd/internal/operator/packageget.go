package operator

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/updraft-ota/updraft/cmd/internal/usage"
	"github.com/updraft-ota/updraft/httpapi"
	"github.com/updraft-ota/updraft/httpapi/operator/client"
	"github.com/updraft-ota/updraft/ota"
)

func packageGet(o *options) *cobra.Command {
	var out, file string
	c := onePackage(o, cobra.Command{
		Use:   "get NAME=VERSION [PATH]",
		Short: "Download a package's files",
		Long: `Download all files of a package into the directory PATH (or --out PATH), which
is NAME-VERSION unless given, under their names. If PATH is no directory, it is
where the main file goes, or with --file another; the only file of a package
goes to NAME-VERSION unless PATH is given.

Each file appears once all of it has arrived and is what was published.`,
		Example: `  updraft package get nginx=1.22.1-9 nginx.deb
  updraft package get lamp=r2 firmware/
  updraft package get lamp=r2 --file manifest --out lamp.suit`,
	}, 2, func(c *cobra.Command, api *client.Client, p client.Package, rest []string) error {
		if len(rest) == 1 {
			if out != "" {
				return usage.Errorf("give PATH or --out, not both")
			}
			out = rest[0]
		}
		wanted, err := plan(p, file, out)
		if err != nil {
			return err
		}
		for _, d := range wanted {
			if err := d.fetch(c, api, p); err != nil {
				return err
			}
		}
		return o.show(c, downloaded(p, wanted), func(w io.Writer) {
			for _, d := range wanted {
				fmt.Fprintf(w, "%s  %s, SHA-256 %s\n", clean(d.path), size(d.Size), d.SHA256)
			}
		})
	})
	c.Flags().StringVar(&out, "out", "", "write to this `path`, a directory or a file")
	c.Flags().StringVar(&file, "file", "", "only the file of this `name`")
	return c
}

// download is a file to get, and where it goes.
type download struct {
	httpapi.Artifact
	main bool
	path string
}

// plan decides which files go where.
func plan(p client.Package, file, out string) ([]download, error) {
	all := filesOf(p)
	only := -1
	switch {
	case file != "" && p.Artifacts == nil: // the server knows what its only file is called
		all[0].Name, all[0].main, only = file, false, 0
	case file != "":
		if only = slices.IndexFunc(all, func(d download) bool { return d.Name == file }); only < 0 {
			return nil, fmt.Errorf("%s=%s has no file %q: updraft package show lists those there are", p.Id.Name, p.Id.Version, file)
		}
	}
	folder := strings.HasSuffix(out, "/") || isFolder(out)
	switch {
	case only < 0 && (len(all) == 1 || out != "" && !folder):
		only = 0
	case out == "" && only < 0:
		out, folder = p.Id.Name+"-"+p.Id.Version, true
	}
	if only >= 0 {
		all = all[only : only+1]
	}
	for i := range all {
		d := &all[i]
		name := d.Name
		switch {
		case out != "" && !folder:
			d.path = out
			continue
		case name == "": // its only file has no name that means anything
			name = p.Id.Name + "-" + p.Id.Version
		}
		if name != filepath.Base(name) || !filepath.IsLocal(name) {
			return nil, fmt.Errorf("%q is not a name for a file here: give it one with --file and --out", name)
		}
		d.path = filepath.Join(out, name)
	}
	if folder {
		return all, os.MkdirAll(out, 0o755)
	}
	return all, nil
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// filesOf lists the files of a package, the main one first.
func filesOf(p client.Package) (list []download) {
	if p.Artifacts == nil {
		return []download{{Artifact: httpapi.Artifact{Size: p.Size, SHA256: p.Sha256}, main: true}}
	}
	for i, a := range *p.Artifacts {
		list = append(list, download{Artifact: httpapi.Artifact{Name: a.Name, Size: a.Size, SHA256: a.Sha256}, main: i == 0})
	}
	return list
}

func (d download) fetch(c *cobra.Command, api *client.Client, p client.Package) error {
	params := &client.GetPackageFileParams{}
	if !d.main {
		params.Artifact = &d.Name
	}
	resp, err := api.GetPackageFile(c.Context(), p.Id.Name, p.Id.Version, params)
	if err := check(resp, err); err != nil {
		return err
	}
	defer resp.Body.Close()
	want := ota.Sums{Size: d.Size, SHA256: ota.Digest(d.SHA256)}
	if err := save(d.path, resp.Body, want, progress(c.ErrOrStderr(), "downloading "+filepath.Base(d.path), d.Size)); err != nil {
		return fmt.Errorf("download %s of %s=%s: %w", filepath.Base(d.path), p.Id.Name, p.Id.Version, err)
	}
	return nil
}

// downloaded is what -o json prints: file is there if it was one.
func downloaded(p client.Package, list []download) any {
	doc := struct {
		client.Package
		File  string   `json:"file,omitempty"`
		Files []string `json:"files"`
	}{Package: p}
	for _, d := range list {
		doc.Files = append(doc.Files, d.path)
	}
	if len(list) == 1 {
		doc.File = list[0].path
	}
	return doc
}
