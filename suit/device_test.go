package suit

import (
	"context"
	"crypto/sha256"
	"fmt"
	"testing"

	"github.com/google/uuid"
)

// board is a device in memory: components with content, and a server that
// knows a few files.
type board struct {
	vendor, class uuid.UUID
	slot          uint64
	files         map[string][]byte
	flash         map[string][]byte
	log           []string
}

func newBoard(vendor, class string, files map[string][]byte) *board {
	v := VendorID(vendor)
	return &board{vendor: v, class: ClassID(v, class), files: files, flash: map[string][]byte{}}
}

func (b *board) Is(kind ParamKey, _ ComponentID, id uuid.UUID) bool {
	switch kind {
	case ParamVendor:
		return id == b.vendor
	case ParamClass:
		return id == b.class
	}
	return false
}

func (b *board) Slot(_ ComponentID, slot uint64) bool { return slot == b.slot }

func (b *board) Measure(c ComponentID, _ Params) (Digest, uint64, error) {
	content := b.flash[c.String()]
	sum := sha256.Sum256(content)
	return Digest{SHA256, sum[:]}, uint64(len(content)), nil
}

func (b *board) Fetch(_ context.Context, c ComponentID, uri string, ps Params) error {
	b.log = append(b.log, "fetch "+uri)
	content, ok := b.files[uri]
	if !ok {
		return fmt.Errorf("4.04 %s", uri)
	}
	return b.Write(c, content, ps)
}

func (b *board) Write(c ComponentID, content []byte, _ Params) error {
	b.log = append(b.log, fmt.Sprintf("write %d bytes to %s", len(content), c))
	b.flash[c.String()] = content
	return nil
}

func (b *board) Copy(c, from ComponentID, _ Params) error {
	b.log = append(b.log, fmt.Sprintf("copy %s to %s", from, c))
	b.flash[c.String()] = b.flash[from.String()]
	return nil
}

func (b *board) Swap(c, other ComponentID, _ Params) error {
	b.log = append(b.log, fmt.Sprintf("swap %s and %s", other, c))
	b.flash[c.String()], b.flash[other.String()] = b.flash[other.String()], b.flash[c.String()]
	return nil
}

func (b *board) Invoke(c ComponentID, args []byte) error {
	b.log = append(b.log, fmt.Sprintf("invoke %s %s", c, args))
	return nil
}

func keysFrom(t testing.TB, name string) []Key {
	t.Helper()
	keys, err := ParseKeys(vectorFile(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func signerFrom(t testing.TB, name string) Signer {
	t.Helper()
	s, err := ParseSigner(vectorFile(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// own is a processor for the vectors in own/, with a board for which they
// are.
func own(t testing.TB) (*Processor, *board) {
	b := newBoard("riot-os.org", "native", map[string][]byte{
		"coap://[::1]/fw/sha256/9e463dcb567f6733": vectorFile(t, "own/payloads/fw-v2.bin"),
	})
	return &Processor{Device: b, Trusted: keysFrom(t, "keys/own-ed25519-public.pem")}, b
}

// samr21 is a RIOT board that runs from one slot, and installs to the other.
func samr21(t testing.TB, slot uint64) (*Processor, *board) {
	b := newBoard("riot-os.org", "samr21-xpro", map[string][]byte{})
	for _, name := range []string{"slot0.1700000000.bin", "slot1.1700000000.bin"} {
		b.files["coap://[2001:db8::1]/fw/suit_update/samr21-xpro/"+name] = vectorFile(t, "riot-draft-09/payloads/"+name)
	}
	b.slot = slot
	return &Processor{Device: b, Dialect: RIOT, Trusted: keysFrom(t, "keys/riot-ed25519-public.pem")}, b
}
