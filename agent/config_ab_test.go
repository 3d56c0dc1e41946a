package agent

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSlotsAreCheckedWhereTheyAreUsed(t *testing.T) {
	const whole = "[device]\npackage_manager='AB'\n[ab]\nslot_a='/a'\nslot_b='/b'\nbootloader='grub'\n"
	for text, want := range map[string]string{
		whole:                             "",
		"[ab]\nslot_a='x'":                "", // not used
		"[device]\npackage_manager='ab'":  "device.package_manager: ab needs an [ab] section",
		"[device]\npackage_manager='ab:'": "device.package_manager: expected off",
		strings.Replace(whole, "slot_a='/a'\n", "", 1):     "ab.slot_a: expected the absolute path",
		strings.Replace(whole, "'/b'", "'b'", 1):           "ab.slot_b: expected the absolute path",
		strings.Replace(whole, "'/b'", "'//a/'", 1):        "ab.slot_b: it is the same as ab.slot_a",
		strings.Replace(whole, "bootloader='grub'", "", 1): "ab.bootloader: expected uboot or grub",
		whole + "health_timeout=0":                         "ab.health_timeout: expected at least",
		whole + "health_tries=0":                           "ab.health_tries: expected at least",
	} {
		c, warnings, err := ParseConfig("f", []byte(text))
		if err != nil || len(warnings) > 0 {
			t.Fatal(text, warnings, err)
		}
		err = c.Validate()
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	if _, _, err := ParseConfig("f", []byte("[ab]\nbootloader='lilo'")); err == nil || err.Error() != `f:2: ab.bootloader: expected uboot or grub, not "lilo"` {
		t.Error(err)
	}
	c, _, err := ParseConfig("f", []byte("[ab]"))
	if diff := cmp.Diff(newAB(), c.AB); err != nil || diff != "" {
		t.Error(err, diff)
	}
}
