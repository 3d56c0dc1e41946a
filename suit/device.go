package suit

import (
	"context"
	"errors"

	"github.com/google/uuid"
)

// Device is what a Processor acts on. Its methods do what they are told and
// decide nothing; images are checked by what Measure finds.
type Device interface {
	// Is reports whether the device, or the component c of it, has an
	// identifier: kind is ParamVendor, ParamClass or ParamDevice.
	Is(kind ParamKey, c ComponentID, id uuid.UUID) bool
	// Slot reports whether an image for c goes to this slot: its number, or
	// for RIOT its offset in flash.
	Slot(c ComponentID, slot uint64) bool
	// Measure finds digest and size of what is in c now. It is by the
	// algorithm of the image-digest among the parameters; nothing else of
	// them tells what is there.
	Measure(c ComponentID, expected Params) (Digest, uint64, error)
	// Fetch gets what uri names and puts it into c.
	Fetch(ctx context.Context, c ComponentID, uri string, params Params) error
	// Write puts content into c.
	Write(c ComponentID, content []byte, params Params) error
	// Copy puts into c what is in another component.
	Copy(c, from ComponentID, params Params) error
	// Swap exchanges what is in two components.
	Swap(c, other ComponentID, params Params) error
	// Invoke runs what is in c.
	Invoke(c ComponentID, args []byte) error
}

// Extension is a Device that can do more: conditions and directives of other
// drafts, and private ones. A condition answers with false if it does not
// hold, a directive with true. An error that is ErrUnsupported means that the
// device does not know the command after all.
type Extension interface {
	Extended(ctx context.Context, code Code, c ComponentID, params Params) (bool, error)
}

// Decrypter is a Device that can decrypt images while it fetches, writes or
// copies them.
type Decrypter interface {
	// Decrypts reports whether it has the key for what info describes.
	Decrypts(info []byte) bool
}

// ErrUnsupported is what a Device answers to what it cannot do at all.
var ErrUnsupported = errors.New("the device does not support this")
