package server

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certInterval is how often, at most, the certificate's files are looked at.
const certInterval = 2 * time.Second

// certificate is a certificate in two files that are renewed while the server
// runs. A pair that does not load, such as one renewed by half, leaves the
// old one in use.
type certificate struct {
	files [2]string // certificate chain and key
	now   func() time.Time
	log   *slog.Logger

	mu      sync.Mutex
	current *tls.Certificate
	looked  time.Time
	loaded  [2]os.FileInfo // the files as current was loaded from them
	trouble string         // the last failure, so that each is logged once
}

// loadCertificate fails if the files do not hold a certificate and its key.
func loadCertificate(certFile, keyFile string, now func() time.Time, log *slog.Logger) (*certificate, error) {
	c := &certificate{files: [2]string{certFile, keyFile}, now: now, log: log, looked: now()}
	if err := c.renew(); err != nil {
		return nil, fmt.Errorf("load the TLS certificate: %w", err)
	}
	return c, nil
}

// get is for tls.Config.GetCertificate.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.now(); now.Sub(c.looked) >= certInterval {
		c.looked = now
		trouble := ""
		if err := c.renew(); err != nil {
			trouble = err.Error()
		}
		if trouble != "" && trouble != c.trouble {
			c.log.Error("the renewed TLS certificate does not load, the old one stays in use", "err", trouble)
		}
		c.trouble = trouble
	}
	return c.current, nil
}

// renew loads the files if they changed since they last loaded.
func (c *certificate) renew() error {
	var now [2]os.FileInfo
	for i, name := range c.files {
		info, err := os.Stat(name)
		if err != nil {
			return err
		}
		now[i] = info
	}
	if c.current != nil && same(now[0], c.loaded[0]) && same(now[1], c.loaded[1]) {
		return nil
	}
	cert, err := tls.LoadX509KeyPair(c.files[0], c.files[1])
	if err != nil {
		return err
	}
	if c.current != nil {
		c.log.Info("the TLS certificate was renewed", "not_after", cert.Leaf.NotAfter)
	}
	c.current, c.loaded = &cert, now
	return nil
}

// same reports whether a file is as it was.
func same(a, b os.FileInfo) bool {
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

// config is what an HTTPS server needs: TLS 1.2 and up, and HTTP/2.
func (c *certificate) config() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: c.get,
		NextProtos:     []string{"h2", "http/1.1"},
	}
}
