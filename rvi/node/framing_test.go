package node

import (
	"crypto/x509"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func FuzzJSON(f *testing.F) {
	for _, s := range []string{`{"cmd":"ping"}`, `{"a":[1,-0.5e+3,"\u00e9\n",null,true,false,{}]}`, `{"a":01}`, `{"a":"\x"}`, `{`, `{"a" : 1 , "a" : 2 }`, `[1.]`, `{"":[]}`,
		"{\"a\":\"0123456789\x01012345678901\"}", `{"a":"0123456789\"abcdefgh"}`, "{\"a\":\"0123456789\x80\"}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		valid := checkJSON(b) == nil
		if deep := strings.Count(string(b), "[")+strings.Count(string(b), "{") > maxDepth; !deep && valid != (json.Valid(b) && utf8.Valid(b)) {
			t.Fatalf("%q: %v", b, valid)
		}
		s, step := bounds{}, bounds{}
		end, err := s.find(b)
		for i := range b {
			if n, e := step.find(b[:i+1]); n != 0 || e != nil {
				if n != end || e != err {
					t.Fatalf("%q: byte by byte it ends at %d (%v), at once at %d (%v)", b, n, e, end, err)
				}
				break
			}
		}
		if !valid || len(b) == 0 || b[0] != '{' {
			return
		}
		if whole := len(strings.TrimRight(string(b), " \t\r\n")); end != whole {
			t.Fatalf("%q ends at %d", b, end)
		}
		members(b, func(_ string, v []byte) {
			if !json.Valid(v) {
				t.Fatalf("%q: member %q", b, v)
			}
		})
		if packed := toMsgpack(nil, b); !strings.ContainsAny(string(b), "eE") {
			if back, rest, err := fromMsgpack(nil, packed, maxDepth); err != nil || len(rest) > 0 || checkJSON(back) != nil {
				t.Fatalf("%q became %x and then %q, %v", b, packed, back, err)
			}
		}
	})
}

func FuzzMsgpack(f *testing.F) {
	for _, s := range []string{"\x81\xa3cmd\xa4ping", "\xdf\xff\xff\xff\xff", "\x81\xa1a\xdb\x7f\xff\xff\xff", "\x92\xc0\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00", "\x81\xd9\x03cmd\xd0\x80"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, step := bounds{msgpack: true}, bounds{msgpack: true}
		end, err := s.find(b)
		for i := range b {
			if n, e := step.find(b[:i+1]); n != 0 || e != nil {
				if n != end || e != err {
					t.Fatalf("%x: byte by byte it ends at %d (%v), at once at %d (%v)", b, n, e, end, err)
				}
				break
			}
		}
		text, rest, err := fromMsgpack(nil, b, maxDepth)
		if err != nil {
			return
		}
		if err := checkJSON(text); err != nil {
			t.Fatalf("%x became %q: %v", b, text, err)
		}
		if len(b)-len(rest) != end {
			t.Fatalf("%x ends at %d, read up to %d", b, end, len(b)-len(rest))
		}
	})
}

func FuzzCredential(f *testing.F) {
	v := readJSON[credentialVectors](f, "credentials.json")
	for _, c := range v.Cases {
		f.Add(c.JWT)
	}
	root, leaf := certificate(f, v.RootCert), certificate(f, v.Certs["device"])
	good := map[string]bool{}
	for _, c := range v.Cases {
		good[strings.TrimSpace(c.JWT)] = true
	}
	f.Fuzz(func(t *testing.T, jwt string) {
		g, err := VerifyCredential(jwt, []*x509.Certificate{root}, leaf.Raw, time.Unix(1445520300, 0))
		if err == nil && !good[strings.TrimSpace(jwt)] {
			t.Fatalf("%q was accepted: %v", jwt, g)
		}
	})
}
