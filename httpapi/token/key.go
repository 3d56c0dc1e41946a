package token

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// loadKey reads the signing key, 32 random bytes in hex, and makes one at
// the first start. A key that others may read is refused, for whoever has it
// is every device.
func loadKey(file string) ([]byte, error) {
	info, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return makeKey(file)
	}
	if err != nil {
		return nil, fmt.Errorf("token key: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("token key: %s may be read by others; chmod 600 it, or delete it to get a fresh one", file)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("token key: %w", err)
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) != 32 {
		return nil, fmt.Errorf("token key: %s does not hold 64 hex digits; delete it to get a fresh one", file)
	}
	return key, nil
}

// makeKey puts a fresh key in place whole: a crash leaves none or all of it.
func makeKey(file string) ([]byte, error) {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	if err := writeKey(file, hex.EncodeToString(key)+"\n"); err != nil {
		return nil, fmt.Errorf("token key: %w", err)
	}
	return key, nil
}

func writeKey(file, text string) error {
	tmp, err := os.CreateTemp(filepath.Dir(file), ".token-*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // gone already once renamed
	_, err = tmp.WriteString(text)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), file); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(file))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
