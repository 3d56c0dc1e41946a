package node

import (
	"bytes"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// readJSON reads one of the vectors, which are those of rvi.md 7.
func readJSON[T any](t testing.TB, name string) (v T) {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(name, err)
	}
	return v
}

func TestPatternsCoverNames(t *testing.T) {
	v := readJSON[struct {
		Cases []struct {
			Pattern, Name string
			Match         bool
		}
	}](t, "service-match.json")
	for _, c := range v.Cases {
		if got := Match(c.Pattern, c.Name); got != c.Match {
			t.Errorf("%q covers %q: %v", c.Pattern, c.Name, got)
		}
	}
}

func TestTimeouts(t *testing.T) {
	v := readJSON[struct {
		Now   int64 `json:"now_s"`
		Cases []struct {
			Timeout int64
			At      *int64 `json:"expires_at_ms"`
			Expired bool
			Note    string
		}
	}](t, "timeouts.json")
	now := time.Unix(v.Now, 0)
	for _, c := range v.Cases {
		got, err := Expiry(c.Timeout, now)
		if c.At == nil {
			if err == nil {
				t.Errorf("%s: read as %v", c.Note, got)
			}
			continue
		}
		if err != nil || got.UnixMilli() != *c.At || !got.After(now) != c.Expired {
			t.Errorf("%s: %v, %v", c.Note, got, err)
		}
	}
}

func TestMsgpackThereAndBack(t *testing.T) {
	v := readJSON[struct {
		Cases []struct {
			Name, Hex string
			JSON      json.RawMessage
			Send      bool
		}
	}](t, "msgpack.json")
	for _, c := range v.Cases {
		wire, err := hex.DecodeString(c.Hex)
		if err != nil {
			t.Fatal(err)
		}
		if end, err := (&bounds{msgpack: true}).find(wire); end != len(wire) || err != nil {
			t.Errorf("%s: ends at %d of %d, %v", c.Name, end, len(wire), err)
		}
		text, rest, err := fromMsgpack(nil, wire, maxDepth)
		if err != nil || len(rest) > 0 || checkJSON(text) != nil {
			t.Errorf("%s: %s, %x left, %v", c.Name, text, rest, err)
		}
		var got, want any
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatal(c.Name, err)
		}
		if err := json.Unmarshal(c.JSON, &want); err != nil {
			t.Fatal(c.Name, err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", c.Name, d)
		}
		if back := toMsgpack(nil, c.JSON); c.Send && !bytes.Equal(back, wire) {
			t.Errorf("%s: written as\n%x instead of\n%x", c.Name, back, wire)
		}
	}
}

type credentialVectors struct {
	RootCert string            `json:"root_cert"`
	Certs    map[string]string `json:"certs"`
	Cases    []struct {
		Name, JWT, Expect, Reason string
		PeerCert                  string `json:"peer_cert"`
		Now                       int64
		Rights                    struct{ Receive, Invoke []string }
	}
}

func certificate(t testing.TB, text string) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		t.Fatal("no PEM")
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCredentials(t *testing.T) {
	v := readJSON[credentialVectors](t, "credentials.json")
	roots := []*x509.Certificate{certificate(t, v.RootCert)}
	for _, c := range v.Cases {
		leaf := certificate(t, v.Certs[c.PeerCert]).Raw
		g, err := VerifyCredential(c.JWT, roots, leaf, time.Unix(c.Now, 0))
		if c.Expect == "reject" {
			if err == nil || err.Error() != c.Reason {
				t.Errorf("%s: %v instead of %s", c.Name, err, c.Reason)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.Name, err)
		}
		if d := cmp.Diff(c.Rights.Receive, g.Receive) + cmp.Diff(c.Rights.Invoke, g.Invoke); d != "" {
			t.Errorf("%s: %s", c.Name, d)
		}
	}
}
