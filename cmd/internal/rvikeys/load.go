// Package rvikeys makes and reads the files by which RVI nodes prove over TLS
// who they are (rvi.md 3.6): the certificate of a root that all of them share,
// a node's certificate and key, and its credential, which says what the bearer
// of that certificate may host and invoke.
//
// A server makes its own at first need (Ensure), and those of its devices
// (Issue). Everything is finite: the root and the server's end after 30 years,
// a device's after 15. There is no list of revoked ones: a device that is
// removed from the server gets nothing, whatever it can prove.
package rvikeys

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/updraft-ota/updraft/rvi/node"
)

// Files are where a node's proof lies.
type Files struct {
	Root string // certificates of one or more roots, PEM
	Cert string // certificate, PEM; others between it and a root may follow
	Key  string // private key of Cert, PEM
	Cred string // credentials for Cert, JWTs, one a line
}

// maxFile bounds each file, in bytes.
const maxFile = 1 << 20

// Load reads a node's proof. Whether its credentials are right for it, node.New
// finds out.
func Load(f Files) (*node.Identity, error) {
	roots, err := readRoots(f.Root)
	if err != nil {
		return nil, err
	}
	cert, err := readFile("certificate", f.Cert)
	if err != nil {
		return nil, err
	}
	key, err := readFile("key", f.Key)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("rvi certificate %s with key %s: %w", f.Cert, f.Key, err)
	}
	creds, err := readFile("credential", f.Cred)
	if err != nil {
		return nil, err
	}
	id := &node.Identity{Certificate: pair, Roots: roots, Credentials: strings.Fields(string(creds))}
	if len(id.Credentials) == 0 {
		return nil, fmt.Errorf("rvi credential: %s is empty", f.Cred)
	}
	return id, nil
}

func readRoots(path string) ([]*x509.Certificate, error) {
	text, err := readFile("root", path)
	if err != nil {
		return nil, err
	}
	var roots []*x509.Certificate
	for len(text) > 0 {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != pemCert {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("rvi root %s: %w", path, err)
		}
		roots = append(roots, c)
	}
	if len(roots) == 0 {
		return nil, fmt.Errorf("rvi root: there is no certificate in %s", path)
	}
	return roots, nil
}

// readFile reads a file of ours, named by what it holds.
func readFile(what, path string) (_ []byte, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("rvi %s: %w", what, err)
		}
	}()
	if path == "" {
		return nil, errors.New("no file is given, and root, certificate, key and credential belong together")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("%s has more than %d bytes", path, maxFile)
	}
	return text, nil
}
