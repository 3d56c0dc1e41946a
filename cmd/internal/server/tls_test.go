package server

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// makeCertificate writes a self-signed certificate for 127.0.0.1 and its key
// over the files.
func makeCertificate(t *testing.T, name, certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	replace(t, certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}))
	replace(t, keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// replace renames a new file into place, as whoever renews certificates does.
func replace(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := writeFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestARenewedCertificateIsPickedUp(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	makeCertificate(t, "first", certFile, keyFile)
	now := time.Now()
	var logged bytes.Buffer
	c, err := loadCertificate(certFile, keyFile, func() time.Time { return now }, slog.New(slog.NewTextHandler(&logged, nil)))
	if err != nil {
		t.Fatal(err)
	}
	shown := func() string {
		t.Helper()
		cert, err := c.get(&tls.ClientHelloInfo{})
		if err != nil {
			t.Fatal(err)
		}
		return cert.Leaf.Subject.CommonName
	}
	step := func(what, want string) {
		t.Helper()
		if got := shown(); got != want {
			t.Errorf("%s: the %s certificate is shown, not the %s", what, got, want)
		}
	}
	step("at the start", "first")

	makeCertificate(t, "second", certFile, keyFile)
	step("renewed, but looked at a moment ago", "first")
	now = now.Add(certInterval)
	step("renewed", "second")

	otherCert, otherKey := filepath.Join(dir, "c"), filepath.Join(dir, "k")
	makeCertificate(t, "third", otherCert, otherKey)
	if err := os.Rename(otherCert, certFile); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		now = now.Add(certInterval)
		step("renewed by half", "second")
	}
	if n := strings.Count(logged.String(), "does not load"); n != 1 {
		t.Errorf("the trouble is logged %d times, not once:\n%s", n, &logged)
	}
	if err := os.Rename(otherKey, keyFile); err != nil {
		t.Fatal(err)
	}
	now = now.Add(certInterval)
	step("the other half came", "third")

	if err := os.Remove(keyFile); err != nil {
		t.Fatal(err)
	}
	now = now.Add(certInterval)
	step("the key is gone", "third")
}

func TestNoStartWithoutACertificate(t *testing.T) {
	dir := t.TempDir()
	if _, err := loadCertificate(filepath.Join(dir, "c"), filepath.Join(dir, "k"), time.Now, slog.Default()); err == nil {
		t.Error("loaded a certificate that is not there")
	}
}
