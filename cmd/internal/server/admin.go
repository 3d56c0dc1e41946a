package server

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
)

// adminToken is the SHA-256 of what an operator shows.
type adminToken = [sha256.Size]byte

// readAdminToken reads the operator's token, which the file alone decides:
// where there is none, a new one is made and said so. A file that others may
// read is refused, as the secret is out.
func readAdminToken(path string, log *slog.Logger) (adminToken, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return makeAdminToken(path, log)
	}
	if err != nil {
		return adminToken{}, fmt.Errorf("operator token: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return adminToken{}, fmt.Errorf("operator token: others may read %s (mode %04o): delete it to get a new one, or chmod 600 it if nobody did", path, info.Mode().Perm())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return adminToken{}, fmt.Errorf("operator token: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if token == "" {
		return adminToken{}, fmt.Errorf("operator token: %s is empty: delete it to get a new one", path)
	}
	return sha256.Sum256([]byte(token)), nil
}

func makeAdminToken(path string, log *slog.Logger) (adminToken, error) {
	token := rand.Text() + rand.Text() // 256 bits and more
	if err := writeFile(path, []byte(token+"\n"), 0o600); err != nil {
		return adminToken{}, fmt.Errorf("operator token: %w", err)
	}
	log.Info("made a token for operators; updraft takes it as UPDRAFT_TOKEN or --token", "file", path)
	return sha256.Sum256([]byte(token)), nil
}
