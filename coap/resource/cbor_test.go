package resource

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-ota/updraft/ota"
)

func TestMapsOfCBOR(t *testing.T) {
	all := []entry{{1, uint64(0)}, {2, uint64(23)}, {3, uint64(24)}, {23, uint64(255)}, {24, uint64(256)}, {255, uint64(65536)}, {1 << 40, uint64(1<<64 - 1)}, {4, "é"}, {5, []byte{}}}
	want := map[uint64]any{}
	for _, e := range all {
		want[e.key] = e.value
	}
	got, err := decode(encode(all...))
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v %s", err, diff)
	}
	if b := encode(); !bytes.Equal(b, []byte{0xa0}) {
		t.Errorf("nothing is %x", b)
	}
}

func FuzzMapOfCBOR(f *testing.F) {
	for _, seed := range []string{"\xa0", "\xa1\x01\x02", "\xa2\x01\x61a\x02\x41\xff", "\xbf\xff", "\xa1\x01\xa0", "\xb9\xff\xff", "\xa1\x01\x7b\xff\xff\xff\xff\xff\xff\xff\xff"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		entries, err := decode(b)
		if err != nil {
			if ota.KindOf(err) != ota.KindInvalid {
				t.Errorf("%v", err)
			}
			return
		}
		list := []entry{}
		for k, v := range entries {
			list = append(list, entry{k, v})
		}
		again, err := decode(encode(list...))
		if diff := cmp.Diff(entries, again); diff != "" || err != nil {
			t.Errorf("%v %s", err, diff)
		}
	})
}
