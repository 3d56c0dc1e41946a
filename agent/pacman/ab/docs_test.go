package ab

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/updraft-ota/updraft/agent"
)

// documented is the block of docs/ab.md in that language.
func documented(t *testing.T, language string) string {
	t.Helper()
	text, err := os.ReadFile("../../../docs/ab.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "\n```"+language+"\n")
	block, _, closed := strings.Cut(rest, "\n```\n")
	if !found || !closed {
		t.Fatalf("docs/ab.md has no block of %s", language)
	}
	return block + "\n"
}

func TestDocumentedConfiguration(t *testing.T) {
	text := documented(t, "toml")
	// What is commented out is right too.
	for _, text := range []string{text, strings.ReplaceAll(text, "\n#", "\n")} {
		c, warnings, err := agent.ParseConfig("ab.md", []byte(text))
		if err != nil || len(warnings) > 0 {
			t.Fatal(err, warnings)
		}
		if err := c.Validate(); err != nil {
			t.Error(err)
		}
		if _, err := New(*c.AB, Options{}); err != nil {
			t.Error(err)
		}
	}
}

// GRUB itself reads the documented grub.cfg.
func TestDocumentedGrubConfiguration(t *testing.T) {
	text := documented(t, "grub")
	path := filepath.Join(t.TempDir(), "grub.cfg")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("grub-script-check", path).CombinedOutput(); err != nil {
		t.Errorf("grub-script-check (Debian package grub-common): %v: %s", err, out)
	}
	for _, s := range []Slot{A, B} {
		if !strings.Contains(text, "--id "+string(s)+" {") || !strings.Contains(text, cmdlineKey+string(s)+"\n") {
			t.Errorf("slot %s is not in the menu", s)
		}
	}
}
