package suit

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/updraft-ota/updraft/ota"
)

// image is what the index tells about firmware images.
type image struct {
	Version         string
	HeaderSize      uint16 `json:"header_size"`
	ImageSize       uint32 `json:"image_size"`
	ProtectedSize   uint16 `json:"protected_tlv_size"`
	SecurityCounter uint32 `json:"security_counter"`
	Vendor          string `json:"vendor_uuid"`
	Class           string `json:"class_uuid"`
	ImageOK         int    `json:"image_ok"`
	Trailer         string `json:"trailer_magic"`
	Chip            string
	ChipID          uint16 `json:"chip_id"`
	ChecksumOK      bool   `json:"checksum_ok"`
	SumOK           bool   `json:"sha256_ok"`
	HashAppended    int    `json:"hash_appended"`
	IDF             string `json:"idf_ver"`
	MinRevision     uint16 `json:"min_chip_rev_full"`
	Project         string `json:"project_name"`
	SecureVersion   uint32 `json:"secure_version"`
	Segments        uint8
	Start           string `json:"start_addr"`
}

func TestImagesTellWhatTheyAre(t *testing.T) {
	seen := 0
	for _, v := range vectorIndex(t).Vectors {
		if v.Group != "images" {
			continue
		}
		seen++
		t.Run(v.File, func(t *testing.T) {
			b := v.bytes(t)
			img, err := ReadImage(bytes.NewReader(b), int64(len(b)))
			if err != nil {
				t.Fatal(err)
			}
			if img.Format+"-image" != v.Format || img.Version != v.Expect.Version {
				t.Errorf("%s %s", img.Format, img.Version)
			}
			got, want := image{Version: img.Version}, v.Expect.image
			switch {
			case img.MCUboot != nil:
				got.ofMCUboot(*img.MCUboot)
				want.Trailer = ""
			case img.ESP != nil:
				got.ofESP(*img.ESP, img.Problems)
				want.IDF, want.MinRevision, want.SecureVersion, want.HashAppended = "", 0, 0, 0
				if v.Expect.IDF != "" && (img.ESP.IDFVersion != v.Expect.IDF || img.ESP.MinRevision != v.Expect.MinRevision ||
					img.ESP.SecureVersion != v.Expect.SecureVersion || img.ESP.Project != v.Expect.Project) {
					t.Errorf("%+v", img.ESP)
				}
				want.Project = ""
			case img.RIOTBoot != nil:
				got.Start, got.ChecksumOK = fmt.Sprintf("%#x", img.RIOTBoot.Start), len(img.Problems) == 0
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if bad := strings.Contains(v.File, "bad"); bad != (len(img.Problems) > 0) {
				t.Errorf("problems: %q", img.Problems)
			}
		})
	}
	if seen != 8 {
		t.Errorf("saw %d images", seen)
	}
}

func (i *image) ofMCUboot(m MCUboot) {
	i.HeaderSize, i.ImageSize, i.ProtectedSize = m.HeaderSize, m.ImageSize, m.ProtectedSize
	if m.SecurityCounter != nil {
		i.SecurityCounter = *m.SecurityCounter
	}
	if m.Vendor != uuid.Nil {
		i.Vendor, i.Class = m.Vendor.String(), m.Class.String()
	}
	if m.Confirmed {
		i.ImageOK = 1
	}
}

func (i *image) ofESP(e ESPImage, problems []string) {
	i.Chip, i.ChipID, i.Segments = e.Chip, e.ChipID, e.Segments
	all := strings.Join(problems, "; ")
	i.ChecksumOK, i.SumOK = !strings.Contains(all, "checksum"), !strings.Contains(all, "digest")
}

func TestAnImageDependsOnAnother(t *testing.T) {
	b := vectorFile(t, "images/mcuboot.ed25519.v1.2.3+45.bin")
	img, err := ReadImage(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	m := img.MCUboot
	if diff := cmp.Diff([]string{"image 1 >= 2.0.1+0"}, m.Dependencies); diff != "" || len(m.KeyHash) != 32 || !m.Bootable || m.Padded {
		t.Errorf("%s, %+v", diff, m)
	}
	if diff := cmp.Diff([]string{"Ed25519"}, m.Signatures); diff != "" {
		t.Error(diff)
	}
}

// TestATrailerForOtherFlash: what is written at a time may be longer, and the
// byte that says whether the image is for good lies that much earlier.
func TestATrailerForOtherFlash(t *testing.T) {
	b := bytes.Clone(vectorFile(t, "images/mcuboot.sha256-only.padded-confirmed.bin"))
	n := len(b)
	copy(b[n-16:], append([]byte{32, 0}, mcubootTrailerN...))
	b[n-16-8] = 0xff
	for _, confirmed := range []bool{false, true} {
		if confirmed {
			b[n-16-32] = 1
		}
		img, err := ReadImage(bytes.NewReader(b), int64(n))
		if err != nil || len(img.Problems) > 0 || !img.MCUboot.Padded || img.MCUboot.Confirmed != confirmed {
			t.Errorf("%+v, %q, %v", img.MCUboot, img.Problems, err)
		}
	}
}

// TestImagesThatAreNotRight are told by what is wrong, never by a panic.
func TestImagesThatAreNotRight(t *testing.T) {
	for _, c := range []struct {
		file    string
		spoil   func([]byte) []byte
		problem string
	}{
		{"images/mcuboot.ed25519.v1.2.3+45.bin", func(b []byte) []byte { b[1000] ^= 1; return b }, "digest"},
		{"images/mcuboot.ed25519.v1.2.3+45.bin", func(b []byte) []byte { return b[:4000] }, "cut"},
		{"images/mcuboot.ed25519.v1.2.3+45.bin", func(b []byte) []byte { b[8], b[9] = 1, 0; return b }, "header"},
		{"images/mcuboot.ed25519.v1.2.3+45.bin", func(b []byte) []byte { b[12] ^= 1; return b }, "no list"},
		{"images/mcuboot.ed25519.v1.2.3+45.bin", func(b []byte) []byte { return append(b[:12], 0xff, 0xff, 0xff, 0xff) }, "cut"},
		{"images/esp32c3.app.v1.4.0.bin", func(b []byte) []byte { b[100] ^= 1; return b }, "checksum"},
		{"images/esp32c3.app.v1.4.0.bin", func(b []byte) []byte { b[1] = 17; return b }, "17 segments"},
		{"images/esp32c3.app.v1.4.0.bin", func(b []byte) []byte { b[31] = 0xff; return b }, "cut"},
		{"images/esp32c3.app.v1.4.0.bin", func(b []byte) []byte { b[len(b)-1] ^= 1; return b }, "digest"},
		{"riot-draft-09/payloads/slot0.1700000000.bin", func(b []byte) []byte { b[5] ^= 1; return b }, "checksum"},
		{"riot-draft-09/payloads/slot0.1700000000.bin", func(b []byte) []byte { return b[:15] }, "cut"},
	} {
		b := c.spoil(bytes.Clone(vectorFile(t, c.file)))
		img, err := ReadImage(bytes.NewReader(b), int64(len(b)))
		if err != nil || !strings.Contains(strings.Join(img.Problems, "; "), c.problem) {
			t.Errorf("%s: %q, %v; want %q", c.file, img.Problems, err, c.problem)
		}
	}
}

func TestOtherFilesAreNoImages(t *testing.T) {
	for _, file := range []string{"", "R", "RIO", "\xe9", "\xe9" + strings.Repeat("\x00", 400), "plain text"} {
		if _, err := ReadImage(strings.NewReader(file), int64(len(file))); ota.KindOf(err) != ota.KindNotFound {
			t.Errorf("%q: %v", file, err)
		}
	}
}

func TestAnImageIsForItsSlot(t *testing.T) {
	b := vectorFile(t, "riot-draft-09/payloads/slot1.1700000000.bin")
	img, err := ReadImage(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	if !img.RIOTBoot.InSlot(133120) || img.RIOTBoot.InSlot(4096) {
		t.Errorf("it starts at %#x", img.RIOTBoot.Start)
	}
	low := RIOTBoot{Start: 0x100}
	if !low.InSlot(0) || low.InSlot(0xff) || low.InSlot(1<<64-0x100) {
		t.Error("slots beyond the end of memory begin at 0")
	}
}

func TestIdentifiers(t *testing.T) {
	var facts struct {
		PEN    struct{ Value string } `json:"namespace_cbor_pen"`
		Vendor []struct{ Domain, UUID string }
		Class  []struct{ Vendor, Info, UUID string }
	}
	unmarshal(t, "uuid.json", &facts)
	if namespacePEN.String() != facts.PEN.Value {
		t.Errorf("namespace %s", namespacePEN)
	}
	for _, v := range facts.Vendor {
		if got := VendorID(v.Domain).String(); got != v.UUID {
			t.Errorf("%s: %s", v.Domain, got)
		}
	}
	for _, c := range facts.Class {
		if got := ClassID(uuid.MustParse(c.Vendor), c.Info).String(); got != c.UUID {
			t.Errorf("%s: %s", c.Info, got)
		}
	}
	if len(facts.Vendor)+len(facts.Class) != 6 {
		t.Error("there should be six")
	}
	pen, _ := hex.DecodeString("849c5b")
	for want, b := range map[string][]byte{"PEN 69211": pen, "PEN h'84'": {0x84}, "PEN h'0101'": {1, 1}, "PEN 0": {}} {
		if got := PEN(b).String(); got != want {
			t.Errorf("%x is %s", b, got)
		}
	}
}
