package suit

import (
	"fmt"

	"github.com/google/uuid"
)

// VendorID is the identifier of a vendor named by a domain: UUID version 5
// in the DNS namespace (7.6).
func VendorID(domain string) uuid.UUID { return uuid.NewSHA1(uuid.NameSpaceDNS, []byte(domain)) }

// ClassID is the identifier of a vendor's class of devices. Info is what the
// vendor tells them apart by: RIOT takes the name of the board.
func ClassID(vendor uuid.UUID, info string) uuid.UUID { return uuid.NewSHA1(vendor, []byte(info)) }

// namespacePEN is the UUID version 5 of the enterprise arc 1.3.6.1.4.1,
// tagged as an object identifier, in the namespace of such identifiers (7.6).
var namespacePEN = uuid.NewSHA1(uuid.NameSpaceOID, []byte{0xd8, 0x6f, 0x45, 0x2b, 0x06, 0x01, 0x04, 0x01})

// ID is the identifier of a vendor named by an enterprise number.
func (p PEN) ID() uuid.UUID { return uuid.NewSHA1(namespacePEN, appendValue(nil, p)) }

// String writes the number, such as "PEN 69211", or the bytes of what is
// none.
func (p PEN) String() string {
	var n uint64
	for i, b := range p {
		n = n<<7 | uint64(b&0x7f)
		if last := i == len(p)-1; i > 4 || last == (b&0x80 != 0) {
			return fmt.Sprintf("PEN h'%x'", []byte(p))
		}
	}
	return fmt.Sprintf("PEN %d", n)
}
