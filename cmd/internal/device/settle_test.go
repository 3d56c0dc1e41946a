package device

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

func TestWhatTheStartNeededIsGivenBack(t *testing.T) {
	mapped := func() (kB int) {
		text, err := os.ReadFile("/proc/self/status")
		if err != nil {
			t.Fatal(err)
		}
		_, after, _ := strings.Cut(string(text), "RssFile:")
		if _, err := fmt.Sscan(after, &kB); err != nil {
			t.Fatal(err)
		}
		return kB
	}
	before := mapped()
	settle()
	if after := mapped(); after >= before {
		t.Errorf("%d kB of files before, %d after", before, after)
	}
}
