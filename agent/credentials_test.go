package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"
)

// credentials writes a credentials file and a configuration that names it.
func credentials(t *testing.T, text string) (Config, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "deep", "credentials.toml")
	if text != "" {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, _, err := ParseConfig("f", fmt.Appendf(nil, "[auth]\nclient_id='main'\nclient_secret='x'\ncredentials_file=%q", path))
	if err != nil {
		t.Fatal(err)
	}
	return c, path
}

func TestCredentialsFileWinsOverTheMainFileAndFlagsOverBoth(t *testing.T) {
	c, _ := credentials(t, "[auth]\nclient_id='kept'\nclient_secret='k'")
	if err := c.Apply(map[string]string{"auth-client-secret": "flag"}); err != nil {
		t.Fatal(err)
	}
	if c.Auth.ClientID != "kept" || c.Auth.ClientSecret != "flag" {
		t.Errorf("%+v", c.Auth)
	}
}

func TestCredentialsAreKept(t *testing.T) {
	c, path := credentials(t, "")
	if err := c.Apply(map[string]string{"auth-client-secret": "flag"}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Dir(path)); err == nil {
		t.Error("reading made a directory")
	}
	if err := c.KeepCredentials(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	var kept credentialsFile
	data, _ := os.ReadFile(path)
	if err := toml.Unmarshal(data, &kept); err != nil || *kept.Auth.ClientID != "main" || *kept.Auth.ClientSecret != "x" {
		t.Errorf("%s, %v", data, err)
	}
}

func TestWithoutACredentialsFileTheConfigurationIsAll(t *testing.T) {
	c, _, err := ParseConfig("sota.toml", []byte("[auth]\nclient_id = 'a'\nclient_secret = 'b'\ncredentials_file = ''\n"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.Apply(nil), c.KeepCredentials()); err != nil || c.Auth.ClientID != "a" {
		t.Fatalf("%+v, %v", c.Auth, err)
	}
}

func TestCredentialsFilesThatAreNone(t *testing.T) {
	for _, text := range []string{"[auth", "[core]", "[auth]\nclient_id='a'", "[auth]\nclient_id=1\nclient_secret='x'"} {
		c, path := credentials(t, text)
		if err := c.Apply(nil); err == nil || !strings.Contains(err.Error(), "auth.credentials_file: "+path) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v", text, err)
		}
	}
	c, _ := credentials(t, "")
	c.fromFile.ClientSecret = ""
	if err := c.KeepCredentials(); err == nil {
		t.Error("half a pair was kept")
	}
}

// The original declares the option and forgets it.
func TestAnOptionNamesTheCredentialsFile(t *testing.T) {
	_, path := credentials(t, "[auth]\nclient_id='kept'\nclient_secret='k'")
	c, _ := credentials(t, "[auth]\nclient_id='of another file'\nclient_secret='x'")
	if err := c.Apply(map[string]string{"auth-credentials-file": path}); err != nil {
		t.Fatal(err)
	}
	if c.Auth.ClientID != "kept" || c.Auth.ClientSecret != "k" {
		t.Errorf("%+v", c.Auth)
	}
}
