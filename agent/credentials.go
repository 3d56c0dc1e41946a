package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/pelletier/go-toml/v2"
)

// Apply overrides the configuration by flags, given by name (Key.Flag) and
// text. Between the file and the flags come the credentials file's id and
// secret, if [auth] is there and the file is too (client.md 7.2). It fails for
// an unknown flag, a wrong value, and a credentials file that cannot be read.
func (c *Config) Apply(flags map[string]string) error {
	keys := map[string]Key{}
	for _, k := range Keys {
		keys[k.Flag()] = k
	}
	for name := range flags {
		if _, ok := keys[name]; !ok {
			return fmt.Errorf("--%s: unknown flag", name)
		}
	}
	const file = "auth-credentials-file"
	if path, ok := flags[file]; ok {
		if err := keys[file].Set(c, path); err != nil {
			return err
		}
	}
	if err := c.readCredentials(); err != nil {
		return err
	}
	for _, k := range Keys {
		if text, ok := flags[k.Flag()]; ok {
			if err := k.Set(c, text); err != nil {
				return err
			}
		}
	}
	return nil
}

type credentialsFile struct {
	Auth *credentialsTable `toml:"auth"`
}

type credentialsTable struct {
	ClientID     *string `toml:"client_id"`
	ClientSecret *string `toml:"client_secret"`
}

// readCredentials replaces id and secret by those of the credentials file, if
// there is one. The file may lie in /tmp, so it must be ours and no link.
func (c *Config) readCredentials() error {
	if c.Auth == nil || c.Auth.CredentialsFile == "" {
		return nil
	}
	dir, err := openFolder(filepath.Dir(c.Auth.CredentialsFile), false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("auth.credentials_file: %w", err)
	}
	defer dir.close()
	data, err := dir.read(filepath.Base(c.Auth.CredentialsFile), maxConfig)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("auth.credentials_file: %w", err)
	}
	var f credentialsFile
	if err := toml.Unmarshal(data, &f); err != nil {
		return fmt.Errorf("auth.credentials_file: %s: %s", c.Auth.CredentialsFile, oneLine(err.Error()))
	}
	if f.Auth == nil || f.Auth.ClientID == nil || f.Auth.ClientSecret == nil {
		return fmt.Errorf("auth.credentials_file: %s needs an [auth] table with client_id and client_secret", c.Auth.CredentialsFile)
	}
	c.Auth.ClientID, c.Auth.ClientSecret = *f.Auth.ClientID, *f.Auth.ClientSecret
	return nil
}

// KeepCredentials writes the main file's id and secret to the credentials
// file, unless that exists; its directory is made if needed. Flags are not
// written back. It fails if either is empty, or on any error of writing.
func (c Config) KeepCredentials() error {
	if c.Auth == nil || c.fromFile == nil || c.Auth.CredentialsFile == "" {
		return nil
	}
	dir, err := openFolder(filepath.Dir(c.Auth.CredentialsFile), true)
	if err != nil {
		return fmt.Errorf("auth.credentials_file: %w", err)
	}
	defer dir.close()
	name := filepath.Base(c.Auth.CredentialsFile)
	if ok, err := dir.has(name); ok || err != nil {
		return err
	}
	if c.fromFile.ClientID == "" || c.fromFile.ClientSecret == "" {
		return errors.New("auth: client_id and client_secret must both be set")
	}
	data, err := toml.Marshal(credentialsFile{&credentialsTable{&c.fromFile.ClientID, &c.fromFile.ClientSecret}})
	if err == nil {
		err = dir.write(name, data)
	}
	if err != nil {
		return fmt.Errorf("auth.credentials_file: %w", err)
	}
	return nil
}
