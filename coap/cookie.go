package coap

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"net/netip"
	"reflect"
	"time"

	"github.com/pion/dtls/v3"
)

// cookies makes the cookies of DTLS handshakes out of address, client and
// time under a key, so that nothing is remembered about who has only sent a
// ClientHello, from wherever it says.
type cookies struct{ key [32]byte }

const (
	cookieSize = 20 // that of pion/dtls, whose cookie ours takes the place of
	cookieLife = time.Minute
)

func newCookies() *cookies {
	c := &cookies{}
	_, _ = rand.Read(c.key[:]) // never fails
	return c
}

func (c *cookies) make(addr netip.AddrPort, random []byte, unix uint32) []byte {
	mac := hmac.New(sha256.New, c.key[:])
	a := addr.Addr().As16()
	var rest [6]byte
	binary.BigEndian.PutUint16(rest[:], addr.Port())
	binary.BigEndian.PutUint32(rest[2:], unix)
	mac.Write(a[:])
	mac.Write(rest[:])
	mac.Write(random)
	v := binary.BigEndian.AppendUint32(make([]byte, 0, 4+sha256.Size), unix)
	return mac.Sum(v)[:cookieSize]
}

// check reports whether a ClientHello brings a fresh cookie of ours.
func (c *cookies) check(addr netip.AddrPort, h *hello, now time.Time) bool {
	if len(h.cookie) != cookieSize || h.msgSeq != 1 {
		return false
	}
	unix := binary.BigEndian.Uint32(h.cookie)
	age := uint32(now.Unix()) - unix
	return age <= uint32(cookieLife/time.Second) && hmac.Equal(h.cookie, c.make(addr, h.random, unix))
}

var errNoCookie = errors.New("coap: pion/dtls keeps its cookie elsewhere than in v3.1.15; adapt adoptCookie")

// adoptCookie makes a pion connection that has asked for a cookie take ours
// for its own. A client counts its messages, so the exchange of cookies must
// have happened for pion as well, but pion draws its cookie at random when
// memory is spent already, and offers no way to tell it one. It is overwritten
// where it lies, in the goroutine that reads it next.
func adoptCookie(c *dtls.Conn, cookie []byte) error {
	state := reflect.ValueOf(c).Elem().FieldByName("state")
	if state.Kind() != reflect.Struct {
		return errNoCookie
	}
	field := state.FieldByName("cookie")
	if field.Kind() != reflect.Slice || field.Type().Elem().Kind() != reflect.Uint8 || field.Len() != len(cookie) {
		return errNoCookie
	}
	copy(field.Bytes(), cookie)
	return nil
}
