package e2e_test

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/updraft-ota/updraft/ota"
)

// A device may prove who it is by a certificate, over DTLS and over TLS.
func TestLibcoapWithCertificates(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	ca := newAuthority(t, "devices")
	write(t, in("ca.pem"), ca.pem, 0o644)
	ca.serverCertificate(in("server.pem"), in("server.key"))
	_, _, cert, key := ca.certify(&x509.Certificate{Subject: pkix.Name{CommonName: "lamp-1"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	write(t, in("lamp.pem"), cert, 0o644)
	write(t, in("lamp.key"), key, 0o600)

	l := newLab(t, "--https-port", "0", "--tls-cert", in("server.pem"), "--tls-key", in("server.key"),
		"--coaps-client-ca", in("ca.pem"), "--coaps-tcp-port", "0", "--coap-public=false")
	lamp := l.lamp("lamp", 7, "lamp-1")
	d := l.small()
	d.register("lamp-1", "example.com", "lamp-1")
	d.send(lamp)
	proof := []string{"-c", in("lamp.pem"), "-j", in("lamp.key"), "-C", in("ca.pem")}
	want := l.kept("slot1.bin")
	for _, client := range []string{"coap-client-openssl", "coap-client-gnutls"} {
		for _, root := range []string{l.coaps(), "coaps+tcp://" + l.addresses().CoAPSTCP} {
			if got := coapGet(t, client, root+"/lamp/slot1.bin", proof...); !bytes.Equal(got, want) {
				t.Errorf("%s from %s: got %d bytes, not the %d published", client, root, len(got), len(want))
			}
			if got := coapGet(t, client, root+"/u/lamp-1", proof...); !bytes.Contains(got, []byte("/m/")) {
				t.Errorf("%s from %s: is to install %q", client, root, got)
			}
		}
	}
	if said, err := exec.Command("coap-client-notls", "-B", "20", l.coap()+"/lamp/slot1.bin").CombinedOutput(); !bytes.Contains(said, []byte("4.01")) {
		t.Errorf("without any proof it gets %q, %v", said[:min(100, len(said))], err)
	}
}

// libcoap's client observes what a device is to install.
func TestLibcoapObservesADevice(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	d := l.small()
	d.register("lamp-1", "example.com", "lamp-1", "--psk")
	lamp := l.lamp("lamp", 7, "lamp-1")
	observer := launch(t, "observer", exec.Command("coap-client-openssl", "-s", "60", "-w",
		"-u", d.papers.Identity, "-k", d.papers.Key, l.coaps()+"/u/"+d.papers.UUID))
	const nothing = "\xa0" // an empty map
	sees := func(last string) {
		t.Helper()
		until(t, "the observer to see the news", func() bool {
			lines := strings.Split(strings.TrimSuffix(observer.said(), "\n"), "\n")
			return strings.Contains(lines[len(lines)-1], last)
		})
	}
	sees(nothing)
	update := d.send(lamp)
	sees("/m/")
	d.run("update", "cancel", update)
	sees(nothing)
	if status, _ := d.server().status(update); status != ota.Canceled {
		t.Errorf("the update is %s", status)
	}
}

// libcoap's server stands for a device that is told of manifests, and keeps
// what it was told.
func TestLibcoapIsTriggered(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	at := l.libcoapDevice("suit/trigger", "url")
	l.riot(1700000001)
	l.run("publish", "--publish-id", "fw/suit_update/samr21-xpro", "--notifyv4", at)
	if got, want := string(coapGet(t, "coap-client-notls", "coap://"+at+"/suit/trigger")), l.coap()+"/fw_suit_update_samr21-xpro/riot.suit.latest.bin"; got != want {
		t.Errorf("it was told of %q, want %q", got, want)
	}
	l.lamp("lamp", 7, "lamp-1")
	l.run("publish", "--publish-id", "lamp", "--notify", at+"/url")
	if got, want := string(coapGet(t, "coap-client-notls", "coap://"+at+"/url")), l.coap()+"/lamp/manifest"; got != want {
		t.Errorf("it was told of %q, want %q", got, want)
	}
}

// libcoapDevice starts libcoap's server and returns where it listens. It has
// these paths, and keeps what is sent there.
func (l *lab) libcoapDevice(paths ...string) string {
	l.Helper()
	port, at := 0, ""
	for free := false; !free; { // for UDP and TCP: libcoap's server takes both
		port = freePort()
		at = "127.0.0.1:" + strconv.Itoa(port)
		if packets, err := net.ListenPacket("udp", at); err == nil {
			packets.Close()
			free = true
		}
	}
	device := launch(l.T, "device", exec.Command("coap-server-notls", "-A", "127.0.0.1", "-p", strconv.Itoa(port), "-d", "10"))
	for _, path := range paths {
		until(l.T, "libcoap's server to listen", func() bool {
			if !device.alive() {
				l.Fatal("coap-server-notls (Debian package libcoap3-bin) has ended")
			}
			return exec.Command("coap-client-notls", "-B", "3", "-m", "put", "-e", "nothing", "coap://"+at+"/"+path).Run() == nil &&
				string(coapGet(l.T, "coap-client-notls", "coap://"+at+"/"+path)) == "nothing"
		})
	}
	return at
}
