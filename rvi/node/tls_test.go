package node

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

// authority is a root and its key.
type authority struct {
	key  *rsa.PrivateKey
	cert *x509.Certificate
}

var rootKeys = [2]func() *rsa.PrivateKey{sync.OnceValue(newKey), sync.OnceValue(newKey)}

func newKey() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
}

func newAuthority(t testing.TB, number int) authority {
	t.Helper()
	a := authority{key: rootKeys[number]()}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(10, 0, 0), KeyUsage: x509.KeyUsageCertSign}
	a.cert = a.sign(t, tmpl, &a.key.PublicKey, tmpl)
	return a
}

func (a authority) sign(t testing.TB, tmpl *x509.Certificate, pub crypto.PublicKey, parent *x509.Certificate) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, pub, a.key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// identity makes a certificate, and a credential for it.
func (a authority) identity(t testing.TB, g Grant) *Identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := a.sign(t, &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "node"},
		NotBefore: a.cert.NotBefore, NotAfter: a.cert.NotAfter}, &key.PublicKey, a.cert)
	id := &Identity{Certificate: tls.Certificate{Certificate: [][]byte{c.Raw}, PrivateKey: key}, Roots: []*x509.Certificate{a.cert}}
	id.Credentials = []string{a.credential(t, g, c.Raw)}
	return id
}

func (a authority) credential(t testing.TB, g Grant, leaf []byte) string {
	t.Helper()
	if g.Start.IsZero() {
		g.Start, g.Stop = time.Now().Add(-time.Minute), time.Now().Add(time.Hour)
	}
	jwt, err := SignCredential(a.key, "test", g, leaf)
	if err != nil {
		t.Fatal(err)
	}
	return jwt
}

var (
	backendGrant = Grant{Receive: []string{backend + "sota/"}, Invoke: []string{"genivi.org/vin/", "genivi.org/device/"}}
	vehicleGrant = Grant{Receive: []string{vin}, Invoke: []string{backend + "sota/"}}
)

// secured is a server and a vehicle's node over TLS.
func secured(t *testing.T, server, vehicle Options) (s, v *Node) {
	t.Helper()
	w := newNetwork()
	server.Prefix, vehicle.Prefix, vehicle.Dial = backend, vin, w.dial
	s, v = start(t, server), start(t, vehicle)
	door := w.listen("server:8810")
	go func() {
		if err := s.ServeTLS(door); err != nil {
			t.Error(err)
		}
	}()
	go func() {
		if err := v.ConnectTLS(t.Context(), "server:8810"); err != nil {
			t.Error(err)
		}
	}()
	synctest.Wait()
	return s, v
}

func TestOverTLSThePeerIsItsCertificate(t *testing.T) {
	for name, msgpack := range map[string]bool{"json": false, "msgpack": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				a := newAuthority(t, 0)
				sLog, vLog := &log{}, &log{}
				s, v := secured(t, Options{Identity: a.identity(t, backendGrant), Audit: sLog.audit},
					Options{Identity: a.identity(t, vehicleGrant), Audit: vLog.audit, Msgpack: msgpack, Module: moduleMsgpack})
				ack, notify := handle(t, s, "/sota/ack"), handle(t, v, "/sota/notify")
				synctest.Wait()
				send(t, s, vin+"sota/notify", `[{"ü":[1,-7,2.5,null,true,"\n"]}]`)
				send(t, v, backend+"sota/ack", `[{"chunks":[1,70000]}]`)
				synctest.Wait()
				if got := notify.take(); !slices.Equal(got, []string{`[{"ü":[1,-7,2.5,null,true,"\u000a"]}]`}) && !slices.Equal(got, []string{`[{"ü":[1,-7,2.5,null,true,"\n"]}]`}) {
					t.Errorf("notified of %q", got)
				}
				if got := ack.take(); !slices.Equal(got, []string{`[{"chunks":[1,70000]}]`}) {
					t.Errorf("acked %q", got)
				}
				if from := ack.from[0]; from.Prefix != vin || len(from.Fingerprint) != 64 || from.Rights.MayReceive("genivi.org/vin/OTHER/x", time.Now()) {
					t.Errorf("from %+v", from)
				}
				if got := s.Links(); len(got) != 1 || got[0].Msgpack != msgpack {
					t.Errorf("%+v", got)
				}
				if got := append(sLog.reasons(), vLog.reasons()...); len(got) > 0 {
					t.Errorf("complained of %q", got)
				}
			})
		})
	}
}

func TestRightsExpireWhileTheLinkIsUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := newAuthority(t, 0)
		l := &log{}
		brief := vehicleGrant
		brief.Start, brief.Stop = time.Now(), time.Now().Add(10*time.Minute)
		long := Rights{vehicleGrant}
		s, v := secured(t, Options{Identity: a.identity(t, backendGrant), Audit: l.audit},
			Options{Identity: a.identity(t, brief), Rights: long, Audit: (&log{}).audit})
		ack := handle(t, s, "/sota/ack")
		synctest.Wait()
		send(t, v, backend+"sota/ack", `1`)
		time.Sleep(11 * time.Minute)
		send(t, v, backend+"sota/ack", `2`)
		synctest.Wait()
		if got := ack.take(); !slices.Equal(got, []string{`1`}) {
			t.Errorf("took %q", got)
		}
		if got := l.reasons(); !slices.Equal(got, []string{"unauthorized"}) {
			t.Errorf("%q", got)
		}
	})
}

func TestAStolenCredentialIsWorthNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := newAuthority(t, 0)
		thief := a.identity(t, Grant{Receive: []string{"genivi.org/vin/THIEF/"}})
		honest := a.identity(t, vehicleGrant)
		l, o := &log{}, Options{Identity: thief, Rights: Rights{vehicleGrant}, Audit: (&log{}).audit}
		w := newNetwork()
		s := start(t, Options{Prefix: backend, Identity: a.identity(t, backendGrant), Audit: l.audit})
		ack := handle(t, s, "/sota/ack")
		o.Prefix, o.Dial = vin, w.dial
		v := start(t, o)
		thief.Credentials = honest.Credentials // after our own check of them
		door := w.listen("s")
		go func() { _ = s.ServeTLS(door) }()
		go func() { _ = v.ConnectTLS(t.Context(), "s") }()
		handle(t, v, "/sota/notify")
		send(t, v, backend+"sota/ack", `1`)
		synctest.Wait()
		if got := l.reasons(); len(got) == 0 || got[0] != "device_cert_mismatch" || ack.take() != nil || len(s.state().Routes) > 0 {
			t.Errorf("%q, %+v", got, s.state())
		}
	})
}

func TestWhomTLSRefuses(t *testing.T) {
	for name, other := range map[string]func(testing.TB, authority) *Identity{
		"another root": func(t testing.TB, a authority) *Identity {
			id := newAuthority(t, 1).identity(t, vehicleGrant)
			return id
		},
		"a curve that is not admitted": func(t testing.TB, a authority) *Identity {
			key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			c := a.sign(t, &x509.Certificate{SerialNumber: big.NewInt(9), NotBefore: a.cert.NotBefore, NotAfter: a.cert.NotAfter}, &key.PublicKey, a.cert)
			return &Identity{Certificate: tls.Certificate{Certificate: [][]byte{c.Raw}, PrivateKey: key}}
		},
		"a certificate that is over": func(t testing.TB, a authority) *Identity {
			a.cert = &x509.Certificate{NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(-time.Minute), Subject: a.cert.Subject, RawSubject: a.cert.RawSubject}
			return a.identity(t, vehicleGrant)
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				a := newAuthority(t, 0)
				id := other(t, a)
				l := &log{}
				s := start(t, Options{Prefix: backend, Identity: a.identity(t, backendGrant), Audit: l.audit})
				w := newNetwork()
				door := w.listen("s")
				go func() { _ = s.ServeTLS(door) }()
				conn, err := w.dial(t.Context(), "", "s")
				if err != nil {
					t.Fatal(err)
				}
				c := tls.Client(conn, &tls.Config{Certificates: []tls.Certificate{id.Certificate}, InsecureSkipVerify: true})
				go func() { _ = c.Handshake(); _, _ = c.Read(make([]byte, 1)); _ = c.Close() }()
				synctest.Wait()
				time.Sleep(strangerPatience)
				synctest.Wait()
				if got := l.reasons(); !slices.Equal(got, []string{"tls"}) || s.state().Links != 0 || s.state().Strangers != 0 {
					t.Errorf("%q, %+v", got, s.state())
				}
			})
		})
	}
}

func TestOwnCredentialsAreChecked(t *testing.T) {
	a := newAuthority(t, 0)
	id := a.identity(t, vehicleGrant)
	id.Credentials = []string{"nonsense"}
	if _, err := New(Options{Prefix: vin, Identity: id}); ota.KindOf(err) != ota.KindInvalid {
		t.Error(err)
	}
	if _, err := New(Options{Prefix: vin}); ota.KindOf(err) != ota.KindInvalid {
		t.Error("without rights", err)
	}
	if _, err := New(Options{Prefix: "x", Rights: Rights{vehicleGrant}}); ota.KindOf(err) != ota.KindInvalid {
		t.Error("without a prefix", err)
	}
}
