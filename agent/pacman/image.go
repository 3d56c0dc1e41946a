package pacman

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/updraft-ota/updraft/ota"
)

// control is what an image says about its package (deb-control(5)).
type control struct {
	Name, Version, Arch, MultiArch string
	Depends, PreDepends, Provides  []clause
}

// readImage reads an image's control fields. It refuses, with
// VALIDATION_FAILED, what is not a Debian package or has malformed fields.
func readImage(ctx context.Context, path string) (control, error) {
	f, err := os.Open(path) // what dpkg-deb says after this is about the content
	if err != nil {
		return control{}, err
	}
	f.Close()
	out, err := ask(ctx, "dpkg-deb", "-f", path, "Package", "Version", "Architecture", "Multi-Arch", "Pre-Depends", "Depends", "Provides")
	if err != nil {
		return control{}, damaged(err, "Debian")
	}
	fields := parseFields(string(out))
	c := control{Name: fields["Package"], Version: fields["Version"], Arch: fields["Architecture"], MultiArch: fields["Multi-Arch"]}
	if c.Name == "" || c.Version == "" || c.Arch == "" {
		return control{}, refuse(ota.ValidationFailed, "the image lacks a package name, version or architecture")
	}
	for field, into := range map[string]*[]clause{"Pre-Depends": &c.PreDepends, "Depends": &c.Depends, "Provides": &c.Provides} {
		if *into, err = parseClauses(fields[field]); err != nil {
			return control{}, refuse(ota.ValidationFailed, "%s of %s: %v", field, c.Name, err)
		}
	}
	return c, nil
}

// checkContents unpacks the image's files to nowhere. A damaged archive would
// otherwise show only when half of it is on the device.
func checkContents(ctx context.Context, path string) error {
	cmd := exec.CommandContext(ctx, "dpkg-deb", "--fsys-tarfile", path)
	cmd.Env = environment()
	var stderr strings.Builder
	cmd.Stderr = &capped{w: &stderr, left: 4 << 10}
	if err := cmd.Run(); err != nil {
		return damaged(errors.Join(err, errors.New(strings.TrimSpace(stderr.String()))), "Debian")
	}
	return ctx.Err()
}

// damaged turns a failure to read an image into a refusal, unless it is not the
// image's fault.
func damaged(err error, kind string) error {
	exit, ran := errors.AsType[*exec.ExitError](err)
	switch {
	case !ran || !exit.Exited(): // not started, or killed
		return err
	case strings.Contains(err.Error(), "No space left on device"):
		return refuse(ota.DiskFull, "%v", err)
	}
	return refuse(ota.ValidationFailed, "the image is not an intact %s package: %v", kind, err)
}

// accepts refuses, with INSTALL_FAILED, an architecture this system does not
// run.
func (d *deb) accepts(ctx context.Context, pkg control) error {
	if pkg.Arch == "all" {
		return nil
	}
	native, err := ask(ctx, "dpkg", "--print-architecture")
	if err != nil {
		return err
	}
	foreign, err := ask(ctx, "dpkg", "--root="+d.root, "--print-foreign-architectures")
	if err != nil {
		return err
	}
	archs := strings.Fields(string(native) + string(foreign))
	if !slices.Contains(archs, pkg.Arch) {
		return refuse(ota.InstallFailed, "%s %s is for architecture %s, this system is %s", pkg.Name, pkg.Version, pkg.Arch, strings.Join(archs, ", "))
	}
	return nil
}

// parseFields reads "Name: value" lines and their continuations.
func parseFields(text string) map[string]string {
	fields := map[string]string{}
	name := ""
	for line := range strings.Lines(text) {
		if line[0] == ' ' || line[0] == '\t' {
			fields[name] += line
			continue
		}
		var value string
		name, value, _ = strings.Cut(line, ":")
		fields[name] = strings.TrimSpace(value)
	}
	return fields
}
