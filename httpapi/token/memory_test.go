package token

import "testing"

func TestRecentForgetsWhatWasNotUsed(t *testing.T) {
	m := recent[int, string]{size: 2}
	for k := range 5 {
		m.put(k, "v")
	}
	for k, want := range []bool{false, false, true, true, true} {
		_, young := m.young[k]
		_, old := m.old[k]
		if (young || old) != want {
			t.Errorf("%d is remembered: %v", k, young || old)
		}
	}
	if len(m.young)+len(m.old) > 4 {
		t.Error("grew beyond its bounds")
	}
}
