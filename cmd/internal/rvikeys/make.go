package rvikeys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/updraft-ota/updraft/rvi"
	"github.com/updraft-ota/updraft/rvi/node"
)

// Of certificates and credentials. They begin a day early, for clocks that are
// late.
const (
	serverYears = 30
	deviceYears = 15
	early       = 24 * time.Hour
)

// rootBits is the size of the root's key. Credentials are RS256 by it (rvi.md
// 3.6), so it is RSA; it is to last for decades.
const rootBits = 3072

const (
	pemCert = "CERTIFICATE"
	pemKey  = "PRIVATE KEY" // PKCS #8
)

// authority is a root with its private key.
type authority struct {
	key  *rsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(now time.Time) (authority, error) {
	key, err := rsa.GenerateKey(rand.Reader, rootBits)
	if err != nil {
		return authority{}, err
	}
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: "Updraft RVI root"},
		NotBefore: now.Add(-early), NotAfter: now.AddDate(serverYears, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return authority{}, err
	}
	cert, err := x509.ParseCertificate(der)
	return authority{key, cert}, err
}

// proof is what one node shows, as its files hold it.
type proof struct{ cert, key, cred []byte }

// issue makes the proof of a node called name (at most 64 bytes), which may do
// what g says: now and for years, but not beyond the root's end. A node's key is
// P-256, as handshakes with it are cheap.
func (a authority) issue(name string, g node.Grant, years int, now time.Time) (proof, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return proof{}, err
	}
	g.Start, g.Stop = now.Add(-early), now.AddDate(years, 0, 0)
	if g.Stop.After(a.cert.NotAfter) {
		g.Stop = a.cert.NotAfter
	}
	if !g.Stop.After(now) {
		return proof{}, fmt.Errorf("the RVI root ended on %s", a.cert.NotAfter.Format(time.DateOnly))
	}
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: name},
		NotBefore: g.Start, NotAfter: g.Stop,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}, // links have no sides
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return proof{}, err
	}
	jwt, err := node.SignCredential(a.key, uuid.NewString(), g, der)
	if err != nil {
		return proof{}, err
	}
	private, err := encodeKey(key)
	return proof{encodeCert(der), private, []byte(jwt + "\n")}, err
}

// The rights are the minimal ones of rvi.md 3.6. All patterns end in a slash,
// as some readers compare bytes.
func backendGrant() node.Grant {
	return node.Grant{Receive: []string{sotaOfBackend}, Invoke: []string{"genivi.org/vin/", "genivi.org/device/"}}
}

func deviceGrant(who rvi.Identity) node.Grant {
	return node.Grant{Receive: []string{who.Prefix()}, Invoke: []string{sotaOfBackend}}
}

const sotaOfBackend = rvi.BackendPrefix + "sota/"

func encodeCert(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: pemCert, Bytes: der})
}

func encodeKey(key crypto.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return pem.EncodeToMemory(&pem.Block{Type: pemKey, Bytes: der}), err
}
