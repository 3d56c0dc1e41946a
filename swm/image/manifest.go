package image

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/updraft-ota/updraft/ota"
)

// ManifestName is the manifest's name, at the top of the archive.
const ManifestName = "update_manifest.json"

// Limits of a manifest.
const (
	maxManifest   = 1 << 20 // bytes
	maxOperations = 1000    // a report holds as many results
	maxLine       = 200     // bytes of ids and names
	maxText       = 4096    // bytes of the description, of a path, of a parameter
)

// Manifest is the content of update_manifest.json.
type Manifest struct {
	Update      ota.UpdateID // "" if it does not say
	Name        string
	Description string
	Operations  []Operation // at least one; their ids differ
}

// Load reads the manifest of the image unpacked in dir, and makes sure that
// every file it names is there. It fails with KindInvalid.
func Load(dir string) (Manifest, error) {
	f, err := os.Open(filepath.Join(dir, ManifestName))
	if errors.Is(err, os.ErrNotExist) {
		return Manifest{}, ota.Invalid("the image has no %s at its top", ManifestName)
	}
	if err != nil {
		return Manifest{}, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxManifest+1))
	if err != nil {
		return Manifest{}, err
	}
	m, err := Parse(text)
	if err != nil {
		return m, err
	}
	for _, o := range m.Operations {
		if st, err := os.Lstat(o.File(dir)); o.Image != "" && (err != nil || !st.Mode().IsRegular()) {
			return m, ota.Invalid("operation %s: the image has no file %q", o.ID, o.Image)
		}
	}
	return m, nil
}

// Parse reads a manifest (docs/swm.md). Members must have exactly their
// names, once, and none may be there that is not known. It fails with
// KindInvalid.
func Parse(text []byte) (Manifest, error) {
	var m Manifest
	if len(text) > maxManifest {
		return m, ota.Invalid("%s is longer than %d bytes", ManifestName, maxManifest)
	}
	if !utf8.Valid(text) {
		return m, ota.Invalid("%s is not UTF-8", ManifestName)
	}
	ms, err := readMembers(text)
	if err != nil {
		return m, ota.Invalid("%s: %v", ManifestName, err)
	}
	var list []json.RawMessage
	var id string
	ms.line("updateId", &id, optional)
	ms.line("name", &m.Name, required)
	ms.text("description", &m.Description)
	ms.list("operations", &list)
	if err := ms.end(); err != nil {
		return m, ota.Invalid("%s: %v", ManifestName, err)
	}
	if id != "" {
		if m.Update, err = UpdateID(id); err != nil {
			return m, ota.Invalid("%s: updateId: %v", ManifestName, err)
		}
	}
	if m.Operations, err = readOperations(list); err != nil {
		return m, ota.Invalid("%s: %v", ManifestName, err)
	}
	return m, nil
}

func readOperations(list []json.RawMessage) ([]Operation, error) {
	if len(list) == 0 || len(list) > maxOperations {
		return nil, fmt.Errorf("operations: expected 1 to %d, not %d", maxOperations, len(list))
	}
	seen := map[string]bool{}
	ops := make([]Operation, len(list))
	for i, raw := range list {
		var err error
		if ops[i], err = readOperation(raw); err != nil {
			return nil, fmt.Errorf("operations[%d]: %w", i, err)
		}
		if seen[ops[i].ID] {
			return nil, fmt.Errorf("operations[%d]: there are two with the id %q", i, ops[i].ID)
		}
		seen[ops[i].ID] = true
	}
	return ops, nil
}

// UpdateID makes sure that an id can be the name of a file, as the client
// does: 1 to 200 bytes of UTF-8, without "/" and control characters, and
// neither "." nor "..". It fails with KindInvalid.
func UpdateID(s string) (ota.UpdateID, error) {
	switch {
	case s == "" || len(s) > maxLine:
		return "", ota.Invalid("an update id has 1 to %d bytes, not %d", maxLine, len(s))
	case s == "." || s == ".." || strings.Contains(s, "/") || !printable(s):
		return "", ota.Invalid("%q cannot be an update id", s)
	}
	return ota.UpdateID(s), nil
}

// printable reports whether s is text on one line.
func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}
