package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/updraft-ota/updraft/rvi/node"
)

// programsFile tells in the folder of RVI at which addresses programs at the
// edge have registered services, as they do that once.
const programsFile = "rvi/services.json"

// rememberPrograms has the node know what an earlier run was told at its edge.
func (s *server) rememberPrograms(o *node.Options) error {
	path := s.folder.path(programsFile)
	if err := os.MkdirAll(s.folder.path("rvi"), 0o700); err != nil {
		return err
	}
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &o.Addresses)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read %s: %w", path, err)
	}
	o.Keep = func(addresses map[string]string) error {
		doc, err := json.MarshalIndent(addresses, "", "  ")
		if err != nil {
			return err
		}
		return writeFile(path, append(doc, '\n'), 0o600)
	}
	return nil
}
