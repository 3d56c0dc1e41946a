package suit

import (
	"slices"

	"github.com/fxamacker/cbor/v2"

	"github.com/updraft-ota/updraft/ota"
)

// Dialect is the form a manifest is written in; the two share little more
// than their shape (section 1, point 6).
type Dialect uint8

const (
	Standard Dialect = iota // draft-37
	RIOT                    // draft-09, as RIOT reads it
)

func (d Dialect) String() string {
	if d == RIOT {
		return "riot"
	}
	return "standard"
}

// The keys of an envelope (7.2). The severable members have the same keys in
// the manifest.
const (
	keyAuthentication = 2
	keyManifest       = 3

	tagEnvelope = 107
)

const maxBlocks = 16 // that vouch for one manifest

// severable members may lie in the envelope, with their digest in the manifest.
var severable = []int64{14, 15, 16, 18, 20, 23}

// Envelope is a manifest with what vouches for it, and what travels with it.
type Envelope struct {
	Dialect  Dialect
	Tagged   bool    // with CBOR tag 107
	Digest   Digest  // of the manifest, as the blocks sign it; none if RIOT's is not signed
	Blocks   []Block // each signs the digest
	Members  []Member
	Payloads []Payload

	signed   []byte // the digest as it was written
	manifest []byte // content of the byte string
}

// Member is a part of the manifest that was put beside it, and may be taken
// away without breaking a signature.
type Member struct {
	Key     int64
	Content []byte
}

// Payload is a file inside the envelope; Name is the URI that fetches it.
type Payload struct {
	Name    string
	Content []byte
}

// IsSUIT reports whether a file counts as a manifest: all of it is a CBOR map,
// with tag 107 or without, that has the keys 2 and 3. It asks for no more, so
// that a manifest no device should see is checked, and not stored as if it
// were none. A file longer than MaxEnvelope counts as none.
func IsSUIT(file []byte) bool {
	if len(file) == 0 || len(file) > MaxEnvelope || lenient.Wellformed(file) != nil {
		return false
	}
	var tag cbor.RawTag
	if item(file).major() == majorTag && lenient.Unmarshal(file, &tag) == nil && tag.Number == tagEnvelope {
		file = tag.Content
	}
	if item(file).major() != majorMap {
		return false
	}
	found := map[uint64]bool{}
	eachKey(file, func(key uint64) { found[key] = true })
	return found[keyAuthentication] && found[keyManifest]
}

// eachKey visits the keys of a well-formed map that are numbers, in whatever
// form they and the map are written.
func eachKey(m []byte, visit func(uint64)) {
	const end = 0xff // of a map of indefinite length
	size := 1
	if info := m[0] & 0x1f; info >= 24 && info < 28 {
		size += 1 << (info - 24)
	}
	for rest := m[size:]; len(rest) > 0 && rest[0] != end; {
		key := rest
		if item(key).major() == majorUint {
			var n uint64
			if _, err := lenient.UnmarshalFirst(key, &n); err == nil {
				visit(n)
			}
		}
		for range 2 { // the key and its value
			var err error
			if rest, err = lenient.UnmarshalFirst(rest, new(skipped)); err != nil {
				return
			}
		}
	}
}

// Open reads an envelope, but not yet the manifest in it. It fails with
// KindInvalid, or KindTooLarge beyond MaxEnvelope.
func Open(file []byte) (*Envelope, error) {
	if len(file) > MaxEnvelope {
		return nil, ota.Fail(ota.KindTooLarge, "too_large", "the manifest is %d bytes long, at most %d are read", len(file), MaxEnvelope)
	}
	it, err := whole(file)
	if err != nil {
		return nil, within("envelope", err)
	}
	e := &Envelope{}
	if it.major() == majorTag {
		var number uint64
		if number, it, err = it.tag(); err == nil && number != tagEnvelope {
			err = ota.Invalid("it has CBOR tag %d, not %d", number, tagEnvelope)
		}
		e.Tagged = true
	}
	if err == nil {
		err = e.read(it)
	}
	if err != nil {
		return nil, within("envelope", err)
	}
	return e, nil
}

func (e *Envelope) read(it item) error {
	pairs, err := it.pairs()
	if err != nil {
		return err
	}
	for _, p := range pairs {
		if err := e.readPair(p); err != nil {
			return err
		}
	}
	if e.manifest == nil {
		return ota.Invalid("it holds no manifest (key %d)", keyManifest)
	}
	return nil
}

func (e *Envelope) readPair(p pair) error {
	content, err := p.value.bytes()
	if err != nil {
		return within("key "+diagnose(p.key), err)
	}
	if p.key.major() == majorText {
		name, err := p.key.text()
		e.Payloads = append(e.Payloads, Payload{name, content})
		return err
	}
	key, err := p.key.int()
	switch {
	case err != nil:
		return err
	case len(content) > MaxManifest:
		return ota.Invalid("the part with key %d is %d bytes long, at most %d are read", key, len(content), MaxManifest)
	case key == keyAuthentication:
		e.signed = []byte{}
		return within("authentication", e.readAuthentication(content))
	case key == keyManifest && e.signed == nil:
		return ota.Invalid("the authentication (key %d) does not come before the manifest (key %d)", keyAuthentication, keyManifest)
	case key == keyManifest:
		e.manifest = content
	case slices.Contains(severable, key) || key < -255:
		e.Members = append(e.Members, Member{key, content})
	default:
		return ota.Invalid("key %d is not known", key)
	}
	return nil
}

// readAuthentication tells the dialects apart: the standard one begins with a
// digest, RIOT's with a signature.
func (e *Envelope) readAuthentication(wrapped []byte) error {
	it, err := whole(wrapped)
	if err != nil {
		return err
	}
	elements, err := it.array()
	if err != nil {
		return err
	}
	if len(elements) > maxBlocks+1 {
		return ota.Invalid("it holds more than %d signatures", maxBlocks)
	}
	contents := make([]item, len(elements))
	for i, el := range elements {
		content, err := el.bytes()
		if err == nil {
			contents[i], err = whole(content)
		}
		if err != nil {
			return err
		}
	}
	if len(contents) == 0 || contents[0].major() == majorTag {
		e.Dialect = RIOT
		return e.readRIOTBlocks(contents)
	}
	e.signed = contents[0]
	if e.Digest, err = readDigest(contents[0]); err != nil {
		return within("digest", err)
	}
	return e.readBlocks(contents[1:])
}

func (e *Envelope) readBlocks(contents []item) error {
	for _, content := range contents {
		b, err := readBlock(content)
		if err != nil {
			return within("signature", err)
		}
		e.Blocks = append(e.Blocks, b)
	}
	return nil
}

// readRIOTBlocks takes the digest from the first signature's payload.
func (e *Envelope) readRIOTBlocks(contents []item) error {
	if err := e.readBlocks(contents); err != nil || len(e.Blocks) == 0 {
		return err
	}
	if e.Blocks[0].Payload == nil {
		return ota.Invalid("the signature carries no digest")
	}
	e.signed = e.Blocks[0].Payload
	it, err := whole(e.signed)
	if err == nil {
		e.Digest, err = readDigest(it)
	}
	return within("digest", err)
}

// within says where in a manifest something was wrong.
func within(where string, err error) error {
	if err == nil {
		return nil
	}
	return &ota.Error{Kind: ota.KindOf(err), Code: ota.CodeOf(err), Text: where, Err: err}
}

// Covered reports whether the digest is that of the manifest.
func (e *Envelope) Covered() bool {
	sum, err := sumWrapped(e.Digest.Algorithm, e.manifest)
	return err == nil && sum.Equal(e.Digest)
}

// Member returns a severable member that is present.
func (e *Envelope) Member(key int64) (Member, bool) {
	i := slices.IndexFunc(e.Members, func(m Member) bool { return m.Key == key })
	if i < 0 {
		return Member{}, false
	}
	return e.Members[i], true
}

// Payload returns an integrated payload by the URI that fetches it.
func (e *Envelope) Payload(uri string) ([]byte, bool) {
	i := slices.IndexFunc(e.Payloads, func(p Payload) bool { return p.Name == uri })
	if i < 0 {
		return nil, false
	}
	return e.Payloads[i].Content, true
}

// Sever takes severable members away, such as text before delivery to a
// small device. What was signed stays as it is.
func (e *Envelope) Sever(keys ...int64) {
	e.Members = slices.DeleteFunc(e.Members, func(m Member) bool { return slices.Contains(keys, m.Key) })
}

// Encode writes the envelope. An envelope that was read comes out as it went
// in, if its members were in order.
func (e *Envelope) Encode() []byte {
	var b []byte
	if e.Tagged {
		b = appendHead(b, majorTag, tagEnvelope)
	}
	b = appendHead(b, majorMap, uint64(2+len(e.Members)+len(e.Payloads)))
	b = appendBytes(appendInt(b, keyAuthentication), e.authentication())
	b = appendBytes(appendInt(b, keyManifest), e.manifest)
	for _, m := range e.Members {
		b = appendBytes(appendInt(b, m.Key), m.Content)
	}
	for _, p := range e.Payloads {
		b = appendBytes(appendText(b, p.Name), p.Content)
	}
	return b
}

func (e *Envelope) authentication() []byte {
	n := len(e.Blocks)
	var b []byte
	if e.Dialect == Standard {
		b = appendBytes(appendHead(b, majorArray, uint64(n+1)), e.signed)
	} else {
		b = appendHead(b, majorArray, uint64(n))
	}
	for _, block := range e.Blocks {
		b = appendBytes(b, block.encode())
	}
	return b
}
