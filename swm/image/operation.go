package image

import (
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/updraft-ota/updraft/ota"
)

// Kind is what an operation does.
type Kind string

const (
	InstallPackage      Kind = "install_package"
	UpgradePackage      Kind = "upgrade_package"
	RemovePackage       Kind = "remove_package"
	FlashModuleFirmware Kind = "flash_module_firmware"
	CreatePartition     Kind = "create_partition"
	DeletePartition     Kind = "delete_partition"
	ResizePartition     Kind = "resize_partition"
	WritePartition      Kind = "write_partition"
	PatchPartition      Kind = "patch_partition"
	InstallConfig       Kind = "install_config"
)

// kind tells what an operation of a kind must come with.
type kind struct {
	failure ota.ResultCode // when nothing more exact is known
	image   bool           // a file of the archive
	pkg     bool           // the name of an installed package
	path    bool           // where a file goes
	plugin  bool           // a plug-in does it, with parameters
}

var kinds = map[Kind]kind{
	InstallPackage:      {failure: ota.InstallFailed, image: true},
	UpgradePackage:      {failure: ota.UpgradeFailed, image: true},
	RemovePackage:       {failure: ota.RemovalFailed, pkg: true},
	FlashModuleFirmware: {failure: ota.FlashFailed, image: true, plugin: true},
	CreatePartition:     {failure: ota.CreatePartitionFailed, plugin: true},
	DeletePartition:     {failure: ota.DeletePartitionFailed, plugin: true},
	ResizePartition:     {failure: ota.ResizePartitionFailed, plugin: true},
	WritePartition:      {failure: ota.WritePartitionFailed, image: true, plugin: true},
	PatchPartition:      {failure: ota.PatchPartitionFailed, image: true, plugin: true},
	InstallConfig:       {failure: ota.InstallFailed, image: true, path: true},
}

// Kinds lists them all, by name.
func Kinds() []Kind { return slices.Sorted(maps.Keys(kinds)) }

// Failure is the result code of an operation of this kind that failed.
func (k Kind) Failure() ota.ResultCode { return kinds[k].failure }

// Operation is one step of an update.
type Operation struct {
	ID          string
	Kind        Kind
	Image       string // path of a file in the archive, "" if it needs none
	Continue    bool   // go on with the next operation if this one fails
	Description string
	Package     string            // of remove_package: its name
	Path        string            // of install_config: where the file goes, absolute
	Parameters  map[string]string // for the plug-in
}

// File is where the operation's file lies in the image unpacked in dir.
func (o Operation) File(dir string) string { return filepath.Join(dir, filepath.FromSlash(o.Image)) }

func readOperation(raw json.RawMessage) (Operation, error) {
	var o Operation
	ms, err := readMembers(raw)
	if err != nil {
		return o, err
	}
	var name string
	onFailure := "abort"
	ms.line("id", &o.ID, required)
	ms.line("operation", &name, required)
	ms.text("description", &o.Description)
	ms.line("onFailure", &onFailure, optional)
	if ms.err != nil {
		return o, ms.err
	}
	o.Kind, o.Continue = Kind(name), onFailure == "continue"
	k, known := kinds[o.Kind]
	if !known {
		return o, fmt.Errorf("operation: %q is not one that there is", name)
	}
	if !o.Continue && onFailure != "abort" {
		return o, fmt.Errorf("onFailure: expected abort or continue, not %q", onFailure)
	}
	if k.image || k.plugin {
		ms.text("image", &o.Image)
	}
	if k.pkg {
		ms.line("package", &o.Package, required)
	}
	if k.path {
		ms.line("path", &o.Path, required)
	}
	if k.plugin {
		o.Parameters = ms.object("parameters")
	}
	if err := ms.end(); err != nil {
		return o, err
	}
	return o, o.check(k)
}

// check looks at values by themselves.
func (o Operation) check(k kind) error {
	switch {
	case k.image && o.Image == "":
		return fmt.Errorf("image: %s needs one", o.Kind)
	case o.Image != "" && !plainPath(o.Image):
		return fmt.Errorf("image: %q is no path inside the archive", o.Image)
	case k.pkg && !packageName(o.Package):
		return fmt.Errorf("package: %q is no package name", o.Package)
	case k.path && (!strings.HasPrefix(o.Path, "/") || !plainPath(o.Path[1:])):
		return fmt.Errorf("path: %q is no plain absolute path of a file", o.Path)
	}
	seen := map[string]bool{}
	for key := range o.Parameters {
		upper := strings.ToUpper(key)
		if !variable(key) || seen[upper] {
			return fmt.Errorf("parameters: %q: expected letters, digits and underscores, in one letter case only", key)
		}
		seen[upper] = true
	}
	return nil
}

// maxPath and maxDepth bound where a file may lie.
const (
	maxPath  = 1024 // bytes
	maxDepth = 32   // directories
)

// plainPath reports whether p names something below where one is, in the only
// way there is.
func plainPath(p string) bool {
	return p != "" && p != "." && len(p) <= maxPath && strings.Count(p, "/") < maxDepth && printable(p) &&
		path.Clean(p) == p && filepath.IsLocal(filepath.FromSlash(p))
}

// packageName reports whether s is a Debian package's name, with or without an
// architecture. It cannot be taken for an option.
func packageName(s string) bool {
	return s != "" && alphanumeric(rune(s[0])) && !strings.ContainsFunc(s, func(r rune) bool {
		return !alphanumeric(r) && !strings.ContainsRune("+-.:", r)
	})
}

// variable reports whether s can be part of an environment variable's name.
func variable(s string) bool {
	return s != "" && len(s) <= 64 && !strings.ContainsFunc(s, func(r rune) bool { return !alphanumeric(r) && r != '_' })
}

func alphanumeric(r rune) bool {
	return '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
}
