package ota

import (
	"fmt"
	"slices"
	"testing"
)

func TestWhatWasForcedIsKeptWithinBounds(t *testing.T) {
	var p Package
	reasons := slices.Repeat([]string{"broken"}, 60)
	for i := range 30 {
		p.NoteForced(Forced{By: fmt.Sprint(i), Reasons: reasons})
	}
	first, last := p.Forced[0], p.Forced[len(p.Forced)-1]
	if len(p.Forced) != 20 || first.By != "10" || last.By != "29" || len(last.Reasons) != 51 || last.Reasons[50] != "and 10 more" || len(reasons) != 60 {
		t.Errorf("%d, from %s to %s, %q", len(p.Forced), first.By, last.By, last.Reasons)
	}
}

func TestWhoAsks(t *testing.T) {
	if Actor(t.Context()) != "" || Actor(WithActor(t.Context(), "operator")) != "operator" {
		t.Error("somebody else")
	}
}
