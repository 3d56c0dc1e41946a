package suit_test

import (
	"crypto/sha256"
	"fmt"
	"os"

	"github.com/updraft-ota/updraft/suit"
)

// An author makes and signs a manifest, a server checks it before devices
// hear of it, and shows it to people.
func Example() {
	image := []byte("a lamp's firmware")
	sum := sha256.Sum256(image)
	vendor := suit.VendorID("example.com")
	recipe := suit.Recipe{
		Sequence: 7, Vendor: vendor, Class: suit.ClassID(vendor, "lamp-1"),
		Images: []suit.Target{{Component: suit.ComponentID{"app"}, URI: "coap://host/lamp.bin", Sum: sum[:], Size: uint64(len(image))}},
	}
	private, public, _ := suit.Generate(suit.KindEd25519)
	author, _ := suit.ParseSigner(private)
	envelope, err := recipe.Envelope()
	if err == nil {
		err = envelope.Sign(author)
	}
	if err != nil {
		fmt.Println(err)
		return
	}

	trusted, _ := suit.ParseKeys(public)
	verdict, _ := suit.Check(envelope.Encode(), suit.Rules{
		Trusted: trusted,
		Stored:  func(string) (suit.File, error) { return suit.File{}, suit.ErrNotStored },
	})
	fmt.Println(verdict.OK(), verdict.Findings)

	listing := suit.List(envelope, nil)
	listing.Digest, listing.Sections = "", listing.Sections[2:]
	_ = listing.WriteText(os.Stdout)
	// Output:
	// true [warning: coap://host/lamp.bin is not stored here yet]
	// dialect          standard
	// signature        COSE_Sign1 Ed25519, not checked: there is no key
	// sequence number  7
	// component        0: app
	//
	// install
	//     1    directive-override-parameters
	//              uri = coap://host/lamp.bin
	//    25    directive-fetch  report failure
	//    27    condition-image-match  report always
}
