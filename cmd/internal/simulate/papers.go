package simulate

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"unicode"

	"github.com/google/uuid"

	"github.com/updraft-ota/updraft/cmd/internal/usage"
	"github.com/updraft-ota/updraft/sim"
	"github.com/updraft-ota/updraft/suit"
)

// papers are what updraft device add -o json tells of a device.
type papers struct {
	UUID     string `json:"uuid"`
	Identity string `json:"psk_identity"`
	Key      string `json:"psk_key"`
	Token    string `json:"enrol_token"`
}

// maxFile is the longest file of papers or keys that is read, in bytes.
const maxFile = 1 << 20

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("%s is longer than %d bytes", path, maxFile)
	}
	return text, err
}

func readCredentials(paths []string) (all []papers, err error) {
	for _, path := range paths {
		text, err := readFile(path)
		if err != nil {
			return nil, err
		}
		var p papers
		if err := json.Unmarshal(text, &p); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if _, err := uuid.Parse(p.UUID); err != nil {
			return nil, fmt.Errorf("%s names no device: it should be what updraft device add -o json printed", path)
		}
		all = append(all, p)
	}
	return all, nil
}

// fill makes a configuration this device's.
func (p papers) fill(c *sim.Config) {
	c.Path, c.ID = p.UUID, uuid.MustParse(p.UUID)
	c.EnrolToken = p.Token
	if p.Key != "" {
		c.Network.Identity, c.Network.Key = p.Identity, []byte(p.Key)
	}
}

// readKeys reads whom devices trust, and what they sign with.
func (p *play) readKeys(c *sim.Config) error {
	for _, path := range p.keys {
		text, err := readFile(path)
		if err != nil {
			return err
		}
		keys, err := suit.ParseKeys(text)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		c.Trusted = append(c.Trusted, keys...)
	}
	if p.signKey == "" {
		return nil
	}
	text, err := readFile(p.signKey)
	if err != nil {
		return err
	}
	signer, err := suit.ParseSigner(text)
	if err != nil {
		return fmt.Errorf("%s: %w", p.signKey, err)
	}
	c.Signer = &signer
	return nil
}

// checkURLs refuses what no device can ask.
func checkURLs(server string, manifests []string) error {
	for _, raw := range append([]string{server}, manifests...) {
		if raw == "" {
			continue
		}
		u, err := url.Parse(raw)
		if err != nil || u.Host == "" || u.Scheme != "coap" && u.Scheme != "coaps" && u.Scheme != "coap+tcp" {
			return usage.Errorf("%q: expected a URL such as coap://[fd00::1]:5683/lamp/manifest", raw)
		}
	}
	return nil
}

// clean keeps what came from others to one line, without anything that controls
// a terminal or turns text around.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, s)
}
