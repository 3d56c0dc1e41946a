package agent

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/updraft-ota/updraft/sign"
)

// Anyone can make a link in /tmp: neither configuration, nor keys, nor
// certificates come through one.
func TestInputIsNotReadThroughAnyonesLink(t *testing.T) {
	dir := t.TempDir()
	_, public, err := sign.Generate()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []struct {
		name string
		mode os.FileMode
	}{{"ours", 0o755}, {"sticky", 0o777 | os.ModeSticky}, {"open", 0o777}} {
		in := filepath.Join(dir, d.name)
		err := errors.Join(os.Mkdir(in, 0o755), os.Mkdir(filepath.Join(in, "sub"), 0o755), os.Chmod(in, d.mode),
			os.WriteFile(filepath.Join(in, "sub", "keys"), public, 0o644), os.WriteFile(filepath.Join(in, "keys"), public, 0o644),
			os.WriteFile(filepath.Join(in, "toml"), []byte("[core]\n"), 0o644),
			os.Symlink("keys", filepath.Join(in, "keys-link")), os.Symlink("toml", filepath.Join(in, "toml-link")),
			os.Symlink("sub", filepath.Join(in, "sub-link")))
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			file string
			link bool
		}{{"keys", false}, {"sub/keys", false}, {"keys-link", true}, {"sub-link/keys", true}} {
			path := filepath.Join(in, c.file)
			_, keys := newVerifier(Paths{path})
			config := NewConfig()
			config.Core.Server, config.Device.CertificatesPath = "https://localhost", path
			for what, err := range map[string]error{"keys": keys, "certificates": config.checkCertificates()} {
				if refused := err != nil; refused != (c.link && d.name != "ours") {
					t.Errorf("%s at %s/%s: %v", what, d.name, c.file, err)
				}
			}
		}
		_, _, direct := LoadConfig(filepath.Join(in, "toml"))
		_, _, linked := LoadConfig(filepath.Join(in, "toml-link"))
		if direct != nil || errors.Is(linked, unix.ELOOP) != (d.name != "ours") {
			t.Errorf("configuration in %s: %v, through a link: %v", d.name, direct, linked)
		}
		if _, err := openInput(filepath.Join(in, "none")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("no file in %s: %v", d.name, err)
		}
	}
}
