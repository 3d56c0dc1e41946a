package rvikeys

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/updraft-ota/updraft/rvi"
)

const (
	rootCert = "root.crt"
	rootKey  = "root.key" // needed by Issue only: it may be kept elsewhere
	credFile = "credential.jwt"
)

// serverFiles are a server's, below its data folder.
func serverFiles(dir string) Files {
	at := func(name string) string { return filepath.Join(dir, "rvi", name) }
	return Files{Root: at(rootCert), Cert: at("server.crt"), Key: at("server.key"), Cred: at(credFile)}
}

// Ensure returns the files of the server whose data folder is dir, in DIR/rvi
// (0700). Those of one that has none are made: a root with its key, and the
// proof of the backend. It makes all of them or none, whenever it is
// interrupted, and never again what was there once: if some are gone, it fails
// and says which.
func Ensure(dir string, now time.Time) (Files, error) {
	files := serverFiles(dir)
	folder := filepath.Join(dir, "rvi")
	if err := makeFolder(folder); err != nil {
		return files, fmt.Errorf("rvi keys: %w", err)
	}
	needed := []string{files.Root, files.Cert, files.Key, files.Cred}
	err := lay(folder, func() ([]file, error) {
		missing := absent(needed)
		if len(missing) == 0 {
			return nil, nil
		}
		if own := append(needed, filepath.Join(folder, rootKey)); len(absent(own)) < len(own) {
			return nil, fmt.Errorf("%s is gone: put it back; or remove the others in %s too, to have all of them made anew, and give every device new files", missing[0], folder)
		}
		return newServer(now)
	})
	if err != nil {
		return files, fmt.Errorf("rvi keys: %w", err)
	}
	return files, nil
}

func newServer(now time.Time) ([]file, error) {
	root, err := newAuthority(now)
	if err != nil {
		return nil, err
	}
	p, err := root.issue("Updraft backend", backendGrant(), serverYears, now)
	if err != nil {
		return nil, err
	}
	key, err := encodeKey(root.key)
	if err != nil {
		return nil, err
	}
	return []file{
		{rootCert, encodeCert(root.cert.Raw), 0o644}, {rootKey, key, 0o600},
		{"server.crt", p.cert, 0o644}, {"server.key", p.key, 0o600}, {credFile, p.cred, 0o644},
	}, nil
}

// Issue makes the proof of a device: root.crt, device.crt, device.key (0600)
// and credential.jwt, in the folder out, which is made (0700) if need be. It
// signs with the root of the server whose data folder is dir, whether that runs
// or not; Ensure makes one first if need be. It makes all files or none, and
// overwrites nothing.
func Issue(dir string, who rvi.Identity, out string, now time.Time) (Files, error) {
	at := func(name string) string { return filepath.Join(out, name) }
	files := Files{Root: at(rootCert), Cert: at("device.crt"), Key: at("device.key"), Cred: at(credFile)}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return files, fmt.Errorf("there is no folder %s: name the server's data folder", dir)
	}
	server, err := Ensure(dir, now)
	if err != nil {
		return files, err
	}
	root, err := readAuthority(server.Root, filepath.Join(filepath.Dir(server.Root), rootKey))
	if err != nil {
		return files, err
	}
	name := who.VIN
	if who.Device != "" {
		name = string(who.Device)
	}
	if err := os.MkdirAll(out, 0o700); err != nil {
		return files, err
	}
	if err := syncFolder(filepath.Dir(out)); err != nil {
		return files, err
	}
	return files, lay(out, func() ([]file, error) {
		for _, path := range []string{files.Root, files.Cert, files.Key, files.Cred} {
			if len(absent([]string{path})) == 0 {
				return nil, fmt.Errorf("%s exists already: remove it first, or name another folder", path)
			}
		}
		p, err := root.issue(name, deviceGrant(who), deviceYears, now)
		if err != nil {
			return nil, err
		}
		return []file{
			{rootCert, encodeCert(root.cert.Raw), 0o644}, {"device.crt", p.cert, 0o644},
			{"device.key", p.key, 0o600}, {credFile, p.cred, 0o644},
		}, nil
	})
}

// readAuthority reads the root that signs.
func readAuthority(cert, key string) (a authority, err error) {
	roots, err := readRoots(cert)
	if err != nil {
		return a, err
	}
	text, err := readFile("root's key", key)
	if errors.Is(err, fs.ErrNotExist) {
		return a, fmt.Errorf("%s is not there, and only who has it can make files for devices", key)
	}
	if err != nil {
		return a, err
	}
	a.cert = roots[0]
	block, _ := pem.Decode(text)
	if block == nil || block.Type != pemKey {
		return a, fmt.Errorf("rvi root's key: %s is no PKCS #8 private key in PEM", key)
	}
	private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return a, fmt.Errorf("rvi root's key %s: %w", key, err)
	}
	rsaKey, ok := private.(*rsa.PrivateKey)
	if !ok || !rsaKey.PublicKey.Equal(a.cert.PublicKey) {
		return a, fmt.Errorf("rvi root's key: %s is not the RSA key of %s", key, cert)
	}
	a.key = rsaKey
	return a, nil
}
