package e2e_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

// authority signs certificates of servers on this machine.
type authority struct {
	*testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{T: t}
	a.cert, a.key, a.pem, _ = a.certify(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	return a
}

// certify signs a certificate, with the authority's own key if it has none yet.
func (a *authority) certify(c *x509.Certificate) (cert *x509.Certificate, key *ecdsa.PrivateKey, certPEM, keyPEM string) {
	a.Helper()
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.Fatal(err)
	}
	if c.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<60)); err != nil {
		a.Fatal(err)
	}
	parent, by := c, key
	if a.cert != nil {
		parent, by = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, by)
	if err != nil {
		a.Fatal(err)
	}
	if cert, err = x509.ParseCertificate(der); err != nil {
		a.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.Fatal(err)
	}
	certPEM = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return cert, key, certPEM, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
}

// serverCertificate writes a certificate and its key for 127.0.0.1.
func (a *authority) serverCertificate(certFile, keyFile string) *x509.Certificate {
	a.Helper()
	cert, _, certPEM, keyPEM := a.certify(&x509.Certificate{
		Subject: pkix.Name{CommonName: "server"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	write(a.T, certFile, certPEM, 0o644)
	write(a.T, keyFile, keyPEM, 0o600)
	return cert
}

// Over https the agent speaks to no one but who a certificate it was told to
// trust vouches for, and a certificate is renewed while all go on.
func TestHTTPS(t *testing.T) {
	t.Parallel()
	dir, port := t.TempDir(), freePort()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	old, next, wrong := newAuthority(t, "old"), newAuthority(t, "next"), newAuthority(t, "wrong")
	old.serverCertificate(cert, key)
	s := newSite(t, "--https-port", fmt.Sprint(port), "--tls-cert", cert, "--tls-key", key)
	s.publish(buildDeb(t, "tool", "1.0", nil), "tool", "1.0")
	s.publish(buildDeb(t, "tool", "2.0", nil), "tool", "2.0")

	c := newCar(s, "careful")
	url, trusted := fmt.Sprintf("https://127.0.0.1:%d", port), filepath.Join(dir, "trusted.pem")
	c.extra = []string{"--core-server", url, "--auth-server", url, "--device-certificates-path", trusted}
	write(t, trusted, "", 0o644)
	c.start()
	c.exits(1)
	write(t, trusted, wrong.pem, 0o644)
	c.start()
	c.says("/token.*certificate signed by unknown authority")
	c.terminate()
	var device struct{ LastSeen *time.Time }
	if err := s.get("/api/v1/devices/"+c.uuid, &device); err != nil || device.LastSeen != nil {
		t.Errorf("the agent spoke to a stranger: %v, %v", device.LastSeen, err)
	}

	write(t, trusted, old.pem+next.pem, 0o644)
	c.start()
	c.await(c.send("tool", "1.0"), ota.Finished)
	renewed := next.serverCertificate(cert, key)
	until(t, "the server to show its renewed certificate", func() bool {
		conn, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].Equal(renewed)
	})
	c.await(c.send("tool", "2.0"), ota.Finished)
	c.rests() // which connects anew
	c.installed("tool", "2.0")
}
