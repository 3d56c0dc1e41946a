package ota

import (
	"strings"
	"testing"
)

func TestFilesNamedByTheirDigest(t *testing.T) {
	const d Digest = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
	name := DigestName(d)
	if name != "dpLDrTVAu4A8Ags6" || ManifestURL("coap://h:1", d) != "coap://h:1/m/"+name {
		t.Errorf("%s", name)
	}
	for s, want := range map[string]string{
		name: string(d[:24]), string(d): string(d), "dpLDrTVAu4A8Ags67mbNiIcSMjTqDG5xQ8Ct1z_0Me0": string(d),
		"": "", "dpLDrTVAu4A8Ags": "", "dpLDrTVAu4A8Ags6AA": "", strings.ToUpper(string(d)): "", string(d[:24]): "", "dpLDrTVAu4A8Ags/": "", "../../../../../..": "",
	} {
		if got, ok := DigestPrefix(s); got != want || ok != (want != "") {
			t.Errorf("%s: %s, %v", s, got, ok)
		}
	}
}
