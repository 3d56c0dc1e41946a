package suit

import (
	"crypto/ed25519"
	"errors"
	"slices"
	"strings"
	"testing"
)

// riotSample is a small manifest that RIOT takes, and the key it trusts.
func riotSample(t *testing.T) (*Envelope, Signer) {
	t.Helper()
	files := shelf{"f": []byte("x")}
	r := Recipe{Dialect: RIOT, Sequence: 1, Vendor: VendorID("riot-os.org"), Class: ClassID(VendorID("riot-os.org"), "native"),
		Images: []Target{targetOf(files, "coap://h/f", "ram", "0")}}
	e, err := r.Envelope()
	if err != nil {
		t.Fatal(err)
	}
	return e, signerFrom(t, "keys/riot-ed25519-private.pem")
}

// TestRIOTReadsOneFormOfSignature: others are good in themselves, and still
// refused on the device, and before one sees them.
func TestRIOTReadsOneFormOfSignature(t *testing.T) {
	other := signerFrom(t, "keys/own-p256-private.pem")
	for _, c := range []struct {
		name      string
		signer    func(Signer) Signer
		algorithm Algorithm
		good      bool
	}{
		{"EdDSA", func(s Signer) Signer { return s }, EdDSA, true},
		{"the new number of Ed25519", func(s Signer) Signer { return s }, Ed25519, false},
		{"P-256", func(Signer) Signer { return other }, ES256, false},
	} {
		e, signer := riotSample(t)
		signer = c.signer(signer)
		if err := e.digest(); err != nil {
			t.Fatal(err)
		}
		b, err := sign(signer, c.algorithm, e.signed, true)
		if err != nil {
			t.Fatal(err)
		}
		e.Blocks = []Block{b}
		file := e.Encode()
		board := newBoard("riot-os.org", "native", map[string][]byte{"coap://h/f": []byte("x")})
		_, _, err = (&Processor{Device: board, Dialect: RIOT, Trusted: []Key{signer.Key}}).Install(t.Context(), file)
		if c.good != (err == nil) {
			t.Errorf("%s on a device: %v", c.name, err)
		}
		v, err := Check(file, Rules{Trusted: []Key{signer.Key}})
		if err != nil || c.good != v.OK() {
			t.Errorf("%s on a server: %v, %v", c.name, v.Findings, err)
		}
	}
}

// TestRIOTsLimitsHoldOnTheDevice as on the server.
func TestRIOTsLimitsHoldOnTheDevice(t *testing.T) {
	for _, c := range []struct {
		name, want string
		spoil      func(*Envelope)
	}{
		{"a tag", "CBOR tag", func(e *Envelope) { e.Tagged = true }},
		{"a long signature", "RIOT takes 180", func(e *Envelope) {
			b, at := e.Blocks[0], signerFrom(t, "keys/riot-ed25519-private.pem")
			b.KeyID = make([]byte, 100)
			b.signature = ed25519.Sign(at.private.(ed25519.PrivateKey), b.message(b.Payload))
			e.Blocks[0] = b
		}},
		{"a file inside", "more than the manifest", func(e *Envelope) { e.Payloads = []Payload{{"#x", nil}} }},
		{"many signatures", "RIOT takes 640", func(e *Envelope) {
			e.Blocks = slices.Repeat(e.Blocks, 5)
		}},
	} {
		e, signer := riotSample(t)
		if err := e.Sign(signer); err != nil {
			t.Fatal(err)
		}
		c.spoil(e)
		file := e.Encode()
		board := newBoard("riot-os.org", "native", nil)
		_, _, err := (&Processor{Device: board, Dialect: RIOT, Trusted: []Key{signer.Key}}).Install(t.Context(), file)
		if err == nil || !strings.Contains(err.Error(), c.want) || len(board.log) > 0 {
			t.Errorf("%s on a device: %v, %q", c.name, err, board.log)
		}
		v, err := Check(file, Rules{})
		if err != nil || !slices.ContainsFunc(v.Reasons(), func(r string) bool { return strings.Contains(r, c.want) }) {
			t.Errorf("%s on a server: %v, %v", c.name, v.Findings, err)
		}
	}
}

// TestRIOTFetchesNothingForAnybody: vendor and class come first.
func TestRIOTFetchesNothingForAnybody(t *testing.T) {
	m := &Manifest{Dialect: RIOT, Version: 1, Sequence: 1, Components: []ComponentID{{"ram", "0"}}, Sections: []Section{
		{Key: Install, Sequence: Sequence{{Code: SetParameters, Params: Params{{ParamURI, "coap://h/f"}}}, {Code: Fetch}}},
	}}
	e, signer := &Envelope{Dialect: RIOT, manifest: m.encode()}, signerFrom(t, "keys/riot-ed25519-private.pem")
	if err := e.Sign(signer); err != nil {
		t.Fatal(err)
	}
	board := newBoard("riot-os.org", "native", map[string][]byte{"coap://h/f": nil})
	_, _, err := (&Processor{Device: board, Dialect: RIOT, Trusted: []Key{signer.Key}}).Install(t.Context(), e.Encode())
	if f, ok := errors.AsType[*Failure](err); !ok || f.At.Section != Install || len(board.log) > 0 {
		t.Errorf("%v, %q", err, board.log)
	}
	v, err := Check(e.Encode(), Rules{Trusted: []Key{signer.Key}})
	if err != nil || len(v.Reasons()) != 1 || !strings.Contains(v.Reasons()[0], "vendor and class") {
		t.Errorf("%v, %v", v.Findings, err)
	}
}
