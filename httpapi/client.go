package httpapi

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

// Config says whom a Client speaks to, and as whom.
type Config struct {
	Server string // base URL; a path in it is kept as a prefix
	// Auth is the base URL of the token endpoint, POST {Auth}/token. Empty:
	// the server asks for no token, and none is sent.
	Auth   string
	Device ota.DeviceID
	// CAFile holds the only certificates trusted, in PEM. It is read if
	// Server or Auth is an https URL.
	CAFile string
	// Poll is the interval at which Next speaks of offers; 0: never, the
	// device asks by hand.
	Poll time.Duration
	// Stall is how long an answer's body may stand still; 0: one minute.
	Stall time.Duration

	Now  func() time.Time // nil: time.Now
	Rand func() float64   // in [0,1); nil: math/rand
	// CertTime is the time at which certificates are judged; nil: Now.
	CertTime func() time.Time
	// Told hears the time of the server's clock whenever the server has
	// proved by TLS who it is, and taken the device's token if one is needed;
	// nil: nobody does. It may be called from several goroutines at once.
	Told func(time.Time)
}

// Client is a device's side of the conversation over HTTP.
type Client struct {
	cfg    Config
	server *url.URL
	http   *http.Client
	tokens tokens
	inbox  inbox
}

var _ ota.Uplink = (*Client)(nil)

const (
	answerPatience = 20 * time.Second // until the header of an answer (client.md 8.1)
	callPatience   = 5 * time.Minute  // for a whole call that is no download
	maxAnswer      = 8 << 20          // bytes of an answer that is no artifact
)

// NewClient fails with KindInvalid for an unusable URL and with an error
// naming the file if certificates are needed and not there.
func NewClient(cfg Config) (*Client, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.CertTime == nil {
		cfg.CertTime = cfg.Now
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Float64
	}
	if cfg.Stall == 0 {
		cfg.Stall = time.Minute
	}
	server, err := baseURL("server", cfg.Server)
	if err != nil {
		return nil, err
	}
	c := &Client{cfg: cfg, server: server}
	secure := server.Scheme == "https"
	if cfg.Auth != "" {
		if c.tokens.endpoint, err = baseURL("auth server", cfg.Auth); err != nil {
			return nil, err
		}
		secure = secure || c.tokens.endpoint.Scheme == "https"
		c.tokens.endpoint = c.tokens.endpoint.JoinPath("token")
	}
	var roots *x509.CertPool
	if secure {
		if roots, err = readRoots(cfg.CAFile); err != nil {
			return nil, err
		}
	}
	c.http = &http.Client{
		Transport: transport(roots, cfg.CertTime),
		// Redirects keep method and body, so that they are followed by hand.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	c.inbox.wake = make(chan struct{}, 1)
	return c, nil
}

func transport(roots *x509.CertPool, now func() time.Time) *http.Transport {
	dialer := &net.Dialer{Timeout: answerPatience, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           dialer.DialContext,
		TLSClientConfig:       &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12, Time: now},
		TLSHandshakeTimeout:   answerPatience,
		ResponseHeaderTimeout: answerPatience,
		IdleConnTimeout:       90 * time.Second,
		MaxIdleConnsPerHost:   2,
		ForceAttemptHTTP2:     true,
		// An artifact's bytes are what its digest was made of.
		DisableCompression: true,
	}
}

func baseURL(what, s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, ota.Invalid("%s %q: expected a URL such as https://updates.example.com", what, s)
	}
	return u, nil
}

func readRoots(file string) (*x509.CertPool, error) {
	bundle, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("certificates for https: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(bundle) {
		return nil, fmt.Errorf("certificates for https: %s holds none in PEM form", file)
	}
	return roots, nil
}

// device returns the URL of something of this device.
func (c *Client) device(elem ...string) *url.URL {
	for i := range elem {
		elem[i] = url.PathEscape(elem[i])
	}
	return c.server.JoinPath(append([]string{"api/v1/mydevice", string(c.cfg.Device)}, elem...)...)
}

// checkID refuses ids that would be another path. Ids are the server's words,
// and a server may be hostile.
func checkID(id ota.UpdateID) error {
	if id == "" || id == "." || id == ".." {
		return ota.Invalid("update id %q cannot be part of a URL path", id)
	}
	return nil
}

// Pending implements ota.Uplink. Updates that are neither pending nor in
// flight are left out (client.md 2.8), and so are those after the first 1000.
func (c *Client) Pending(ctx context.Context) ([]ota.Offer, error) {
	offers, err := c.pending(ctx)
	c.inbox.observe(offers, err)
	return offers, err
}

func (c *Client) pending(ctx context.Context) ([]ota.Offer, error) {
	body, err := c.call(ctx, http.MethodGet, c.device("updates"), nil)
	if err != nil {
		return nil, err
	}
	var list offers
	if err := decode(body, &list); err != nil {
		return nil, fmt.Errorf("pending updates: %w", err)
	}
	slices.SortStableFunc(list, func(a, b ota.Offer) int { return cmp.Compare(a.Pos, b.Pos) })
	return list, nil
}

// Report implements ota.Uplink.
func (c *Client) Report(ctx context.Context, r ota.Report) error {
	if err := checkID(r.Update); err != nil {
		return err
	}
	if err := c.send(ctx, http.MethodPost, c.device("updates", string(r.Update)), FromReport(r)); err != nil {
		return err
	}
	c.inbox.concluded(r.Update)
	return nil
}

// Installed implements ota.Uplink.
func (c *Client) Installed(ctx context.Context, inv ota.Inventory) error {
	return c.send(ctx, http.MethodPut, c.device("installed"), FromInventory(inv))
}

// SystemInfo implements ota.Uplink. The document travels as it is.
func (c *Client) SystemInfo(ctx context.Context, doc json.RawMessage) error {
	_, err := c.call(ctx, http.MethodPut, c.device("system_info"), doc)
	return err
}

func (c *Client) send(ctx context.Context, method string, u *url.URL, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	_, err = c.call(ctx, method, u, body)
	return err
}
