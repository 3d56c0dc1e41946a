package suit

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"strings"

	"github.com/google/uuid"

	"github.com/updraft-ota/updraft/ota"
)

// checkFile compares a file that devices will fetch with what the manifest
// says of it.
func (v *Verdict) checkFile(f wanted, r Rules) error {
	file, err := v.find(f, r)
	switch {
	case errors.Is(err, ErrElsewhere):
		v.warn(FoundElsewhere, "%s is on another server: it was not checked", f.uri)
		return nil
	case strings.HasPrefix(f.uri, "#") && file == nil:
		v.fault(FoundMissing, "the envelope does not hold %s", f.uri)
		return nil
	case errors.Is(err, ErrNotStored) && r.Delivery:
		v.fault(FoundMissing, "%s is not stored here", f.uri)
		return nil
	case errors.Is(err, ErrNotStored):
		v.warn(FoundMissing, "%s is not stored here yet", f.uri)
		return nil
	case err != nil || file == nil:
		return err
	}
	switch {
	case f.dependency:
		return v.checkDependency(f, *file)
	case f.encrypted:
		v.warn(FoundNoDigest, "%s is encrypted: what is in it was not checked", f.uri)
		return nil
	}
	if f.size != nil && file.Size >= 0 && *f.size != uint64(file.Size) {
		v.fault(FoundPayloadSize, "%s is %d bytes long, the manifest says %d", f.uri, file.Size, *f.size)
	}
	if err := v.checkDigest(f, *file); err != nil || file.Content == nil {
		return err
	}
	return v.checkImage(f, *file)
}

// find looks in the envelope first, as devices do. A nil File is not to be
// checked.
func (v *Verdict) find(f wanted, r Rules) (*File, error) {
	if content, ok := v.Envelope.Payload(f.uri); ok {
		sum := sha256.Sum256(content)
		return &File{Size: int64(len(content)), SHA256: sum[:], Content: bytes.NewReader(content)}, nil
	}
	if r.Stored == nil || strings.HasPrefix(f.uri, "#") {
		return nil, nil
	}
	file, err := r.Stored(f.uri)
	return &file, err
}

func (v *Verdict) checkDigest(f wanted, file File) error {
	switch {
	case f.digest == nil:
		v.warn(FoundNoDigest, "%s may be anything: the manifest has no digest of it", f.uri)
		return nil
	case f.digest.Algorithm.plain() == SHA256 && !bytes.Equal(f.digest.Sum, file.SHA256):
		v.fault(FoundPayloadDigest, "%s has digest %x, the manifest says %x", f.uri, file.SHA256, f.digest.Sum)
		return nil
	case f.digest.Algorithm.plain() == SHA256:
		return nil
	case f.digest.Algorithm.hasher() == nil || file.Content == nil:
		v.warn(FoundNoDigest, "%s was not checked: its digest is of %s", f.uri, f.digest.Algorithm)
		return nil
	}
	same, err := MatchImage(io.NewSectionReader(file.Content, 0, file.Size), *f.digest, -1)
	if err == nil && !same {
		v.fault(FoundPayloadDigest, "%s does not have the digest %x that the manifest says", f.uri, f.digest.Sum)
	}
	return err
}

// checkDependency compares a manifest that this one needs; its digest is of
// the manifest, not of the file (7.8).
func (v *Verdict) checkDependency(f wanted, file File) error {
	if file.Content == nil || f.digest == nil || file.Size > MaxEnvelope {
		v.warn(FoundNoDigest, "%s, a manifest that this one needs, was not checked", f.uri)
		return nil
	}
	content := make([]byte, file.Size)
	if _, err := file.Content.ReadAt(content, 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	e, err := Open(content)
	switch {
	case err != nil:
		v.fault(FoundPayloadDigest, "%s, which this manifest needs, is no manifest: %v", f.uri, err)
	case !e.Covered() || !e.Digest.Equal(*f.digest):
		v.fault(FoundPayloadDigest, "%s is not the manifest that this one needs", f.uri)
	}
	return nil
}

// riotFlash is the component that stands for the slots of riotboot (6.4).
var riotFlash = ComponentID{"\x00"}

// checkImage looks into firmware whose format is known.
func (v *Verdict) checkImage(f wanted, file File) error {
	img, err := ReadImage(file.Content, file.Size)
	inFlash := v.Manifest.Dialect == RIOT && f.component.Equal(riotFlash)
	switch {
	case ota.KindOf(err) == ota.KindNotFound:
		if inFlash {
			v.fault(FoundImage, "%s is no riotboot image, but goes to a slot of flash", f.uri)
		}
		return nil
	case err != nil:
		return err
	}
	for _, p := range img.Problems {
		v.fault(FoundImage, "%s is a broken %s image: %s", f.uri, img.Format, p)
	}
	if b := img.RIOTBoot; b != nil && inFlash {
		if uint64(b.Version) != v.Manifest.Sequence {
			v.fault(FoundImage, "%s has version %d in its header: RIOT wants the sequence number, %d", f.uri, b.Version, v.Manifest.Sequence)
		}
		if f.slot != nil && !b.InSlot(*f.slot) {
			v.fault(FoundImage, "%s is linked for address %#x, not for the slot at %#x", f.uri, b.Start, *f.slot)
		}
	}
	if m := img.MCUboot; m != nil {
		v.checkMCUboot(f, *m)
	}
	return nil
}

func (v *Verdict) checkMCUboot(f wanted, m MCUboot) {
	for _, id := range []struct {
		what             string
		image, manifests uuid.UUID
	}{{"vendor", m.Vendor, f.vendor}, {"class", m.Class, f.class}} {
		if id.image != uuid.Nil && id.manifests != uuid.Nil && id.image != id.manifests {
			v.fault(FoundImage, "%s is for %s %s, the manifest for %s", f.uri, id.what, id.image, id.manifests)
		}
	}
}
