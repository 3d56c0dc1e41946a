package httpapi

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

// tokens is what a client has to prove itself with.
type tokens struct {
	endpoint *url.URL // nil: no token is needed

	mu       sync.Mutex
	token    string
	renew    time.Time // from when on a new token is wanted; zero: never
	expires  time.Time // zero: not told
	id, pass string    // what obtained the token, and renews it
}

// Authenticate obtains a token (client.md 8.4) and keeps it, and the
// credentials to renew it, until Forget. Without a token endpoint there is
// nothing to do. It fails with KindUnauthenticated or KindForbidden if the
// credentials are refused.
func (c *Client) Authenticate(ctx context.Context, clientID, secret string) error {
	if c.tokens.endpoint == nil {
		return nil
	}
	c.tokens.mu.Lock()
	defer c.tokens.mu.Unlock()
	return c.authenticate(ctx, clientID, secret)
}

// Forget drops the token and the credentials it came from.
func (c *Client) Forget() {
	c.tokens.mu.Lock()
	defer c.tokens.mu.Unlock()
	c.tokens.token, c.tokens.id, c.tokens.pass = "", "", ""
}

// bearer returns the token to send, "" if none is needed, and renews one that
// is about to expire. A renewal that fails is not fatal while the token holds.
func (c *Client) bearer(ctx context.Context) (string, error) {
	t := &c.tokens
	if t.endpoint == nil {
		return "", nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.token == "" {
		return "", ota.Fail(ota.KindUnauthenticated, "not_authenticated", "there is no token; authenticate first")
	}
	if now := c.cfg.Now(); !t.renew.IsZero() && !now.Before(t.renew) {
		if err := c.authenticate(ctx, t.id, t.pass); err != nil && !now.Before(t.expires) {
			return "", err
		}
	}
	return t.token, nil
}

// authenticate needs tokens.mu.
func (c *Client) authenticate(ctx context.Context, clientID, secret string) error {
	ctx, cancel := context.WithTimeout(ctx, callPatience)
	defer cancel()
	h := make(http.Header)
	h.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	h.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(clientID+":"+secret)))
	resp, err := c.roundTrip(ctx, http.MethodPost, c.tokens.endpoint, h, []byte("grant_type=client_credentials"))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := readAnswer(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return errorFrom(resp.StatusCode, answer)
	}
	return c.tokens.keep(answer, clientID, secret, c.cfg.Now())
}

// keep remembers a token answer. Only access_token is needed of it.
func (t *tokens) keep(answer []byte, clientID, secret string, now time.Time) error {
	var told struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int64  `json:"expires_in"` // seconds
	}
	if err := json.Unmarshal(answer, &told); err != nil || told.AccessToken == "" {
		return ota.Fail(ota.KindUnavailable, "bad_token_answer", "the token endpoint's answer holds no access_token")
	}
	t.token, t.id, t.pass = told.AccessToken, clientID, secret
	t.renew, t.expires = time.Time{}, time.Time{}
	if told.ExpiresIn > 0 {
		life := time.Duration(min(told.ExpiresIn, 1<<30)) * time.Second
		t.expires = now.Add(life)
		t.renew = t.expires.Add(-min(life/10, time.Minute))
	}
	return nil
}
