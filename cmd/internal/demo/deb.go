package demo

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

// realPackage is a Debian package without dependencies and maintainer
// scripts, so that any scratch root can take it.
const realPackage = "publicsuffix"

// downloadPatience is how long Debian's archive may take to answer.
const downloadPatience = 10 * time.Second

// findDeb puts a real Debian package into dir: Debian's own if it can be
// had, else one built on the spot. It says in words where it is from.
func findDeb(ctx context.Context, dir string) (path, origin string, err error) {
	if path, err := downloadDeb(ctx, dir); err == nil {
		return path, "from Debian", nil
	}
	path, err = buildDeb(ctx, dir)
	return path, "built here, as Debian's archive did not answer", err
}

func downloadDeb(ctx context.Context, dir string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, downloadPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "apt-get", "download", "-q", realPackage)
	cmd.Dir = dir
	cmd.WaitDelay = time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("apt-get download %s: %w: %s", realPackage, err, out)
	}
	found, err := filepath.Glob(filepath.Join(dir, realPackage+"_*.deb"))
	if err != nil || len(found) != 1 {
		return "", fmt.Errorf("apt-get download %s left %d files", realPackage, len(found))
	}
	return found[0], nil
}

const control = `Package: updraft-demo
Version: 1.0-1
Architecture: all
Maintainer: Updraft <updraft@localhost>
Description: a package to install over the air
`

func buildDeb(ctx context.Context, dir string) (string, error) {
	tree := filepath.Join(dir, "updraft-demo")
	for name, text := range map[string]string{
		"DEBIAN/control":               control,
		"usr/share/updraft-demo/hello": "Installed over the air.\n",
	} {
		path := filepath.Join(tree, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return "", err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return "", err
		}
	}
	path := filepath.Join(dir, "updraft-demo_1.0-1_all.deb")
	out, err := exec.CommandContext(ctx, "dpkg-deb", "--root-owner-group", "--build", tree, path).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("dpkg-deb --build: %w: %s", err, out)
	}
	return path, nil
}

// identify reads a package's name and version.
func identify(ctx context.Context, deb string) (ota.PackageID, error) {
	out, err := exec.CommandContext(ctx, "dpkg-deb", "--show", "--showformat", "${Package} ${Version}", deb).Output()
	if err != nil {
		return ota.PackageID{}, fmt.Errorf("read %s: %w", deb, err)
	}
	name, version, _ := strings.Cut(string(out), " ")
	id := ota.PackageID{Name: name, Version: version}
	return id, id.Validate()
}

// makeRoot makes an empty Debian system's package database below dir.
func makeRoot(dir string) error {
	admin := filepath.Join(dir, "var/lib/dpkg")
	for _, sub := range []string{"info", "updates", "triggers"} {
		if err := os.MkdirAll(filepath.Join(admin, sub), 0o755); err != nil {
			return err
		}
	}
	for _, file := range []string{"status", "available"} {
		if err := os.WriteFile(filepath.Join(admin, file), nil, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// installed asks a root's package database for a package's version and state.
func installed(ctx context.Context, root, name string) string {
	admin := filepath.Join(root, "var/lib/dpkg")
	out, err := exec.CommandContext(ctx, "dpkg-query", "--admindir", admin, "--show", "--showformat", "${Version} (${db:Status-Status})", name).Output()
	if err != nil {
		return "not there"
	}
	return string(out)
}
