package updraft_test

import (
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// TestAWrongHouseIsFound holds the test of the house itself: a tree with one
// fault of every sort, each of which must be told.
func TestAWrongHouseIsFound(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	all := sources(t, fstest.MapFS{
		"ota/ota.go":            file("// Package ota has words.\npackage ota\nimport \"os\""),
		"ota/store/x.go":        file("package store\nimport \"" + module + "/store\""),
		"fleet/fleet.go":        file("// Package fleet decides.\npackage fleet\nimport \"" + module + "/sign\""),
		"fleet/fleet_test.go":   file("package fleet_test\nimport (\n\"" + module + "/store\"\n\"" + module + "/cmd/updraft\"\n)"),
		"store/internal/q/q.go": file("package q\nimport \"" + module + "/ota\""),
		"httpapi/door.go":       file("// Package httpapi is a door.\npackage httpapi\nimport _ \"" + module + "/httpapi/operator\""),
		"util/util.go":          file("// Package util is the end.\npackage util"),
		"tools/go.mod":          file("module tools"),
		"tools/x.go":            file("package tools"),
		"ota/testdata/x.go":     file("not Go at all"),
	})
	if diff := cmp.Diff([]string{
		"fleet/fleet_test.go: fleet must not know cmd/updraft",
		"httpapi/door.go: httpapi must not know httpapi/operator",
		"ota/ota.go: ota must not import os",
		"ota/store/x.go: ota must not know store",
		"util/util.go: this folder is not in the table of rooms",
	}, wrongArrows(all)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"ota/store", "store/internal/q"}, silent(all)); diff != "" {
		t.Error(diff)
	}
}
