package httpapi

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

const maxRedirects = 10

// call makes one request that is no download and reads the whole answer.
func (c *Client) call(ctx context.Context, method string, u *url.URL, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, callPatience)
	defer cancel()
	resp, err := c.do(ctx, method, u, nil, body)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := readAnswer(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 != 2 {
		return nil, errorFrom(resp.StatusCode, answer)
	}
	return answer, nil
}

// do sends a request with the device's token, follows redirects, and returns
// the answer whatever its status; its body never stands still for longer than
// Stall. It fails with KindUnauthenticated if a token is needed and there is
// none, with ctx's error, and otherwise with KindUnreachable.
func (c *Client) do(ctx context.Context, method string, u *url.URL, header http.Header, body []byte) (*http.Response, error) {
	token, err := c.bearer(ctx)
	if err != nil {
		return nil, err
	}
	h := header.Clone()
	if h == nil {
		h = make(http.Header)
	}
	h.Set("Content-Type", "application/json")
	if token != "" {
		h.Set("Authorization", "Bearer "+token)
	}
	for range maxRedirects + 1 {
		resp, err := c.roundTrip(ctx, method, u, h, body)
		if err != nil {
			return nil, err
		}
		next, ok := redirect(resp)
		if !ok {
			c.hearTime(resp)
			return resp, nil
		}
		resp.Body.Close()
		// A storage server elsewhere has no business with our token; once it
		// was dropped, no further redirect brings it back.
		if next.Scheme != u.Scheme || next.Host != u.Host {
			h.Del("Authorization")
		}
		u = next
	}
	return nil, unreachable(errors.New("more than 10 redirects"))
}

// hearTime passes on the Date of an answer that only the server itself can have
// given: over TLS, from where it lives, and content with us.
func (c *Client) hearTime(resp *http.Response) {
	if c.cfg.Told == nil || resp.TLS == nil || resp.StatusCode/100 != 2 || resp.Request.URL.Host != c.server.Host {
		return
	}
	if t, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		c.cfg.Told(t)
	}
}

// redirect returns where an answer sends us. A 3xx without a usable place is
// an answer like others.
func redirect(resp *http.Response) (*url.URL, bool) {
	if resp.StatusCode/100 != 3 || resp.StatusCode == http.StatusNotModified {
		return nil, false
	}
	next, err := resp.Location()
	if err != nil || next.Host == "" || next.Scheme != "http" && next.Scheme != "https" {
		return nil, false
	}
	return next, true
}

func (c *Client) roundTrip(ctx context.Context, method string, u *url.URL, h http.Header, body []byte) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	var content io.Reader
	if body != nil {
		content = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), content)
	if err != nil {
		cancel(nil)
		return nil, ota.Invalid("request to %s: %v", u.Redacted(), err)
	}
	req.Header = h
	resp, err := c.http.Do(req)
	if err != nil {
		err = failed(ctx, err)
		cancel(nil)
		return nil, err
	}
	resp.Body = newLiveBody(ctx, resp.Body, c.cfg.Stall, cancel)
	return resp, nil
}

// failed sorts an error of the transport: the caller's own end of patience
// stays what it is, everything else is the other side's silence.
func failed(ctx context.Context, err error) error {
	if ctx.Err() != nil && context.Cause(ctx) != errStalled {
		return ctx.Err()
	}
	return unreachable(err)
}

func unreachable(err error) error {
	return &ota.Error{Kind: ota.KindUnreachable, Code: "unreachable", Text: "the server does not answer", Err: err}
}

func readAnswer(r io.Reader) ([]byte, error) {
	answer, err := io.ReadAll(io.LimitReader(r, maxAnswer+1))
	if err != nil {
		return nil, err
	}
	if len(answer) > maxAnswer {
		return nil, ota.Invalid("the server's answer is larger than %d bytes", maxAnswer)
	}
	return answer, nil
}

// liveBody is an answer's body that ends with KindUnreachable when it is cut
// short or stands still for too long.
type liveBody struct {
	ctx    context.Context
	body   io.ReadCloser
	stall  time.Duration
	timer  *time.Timer
	cancel context.CancelCauseFunc
}

var errStalled = errors.New("the answer stands still")

func newLiveBody(ctx context.Context, body io.ReadCloser, stall time.Duration, cancel context.CancelCauseFunc) *liveBody {
	b := &liveBody{ctx: ctx, body: body, stall: stall, cancel: cancel}
	b.timer = time.AfterFunc(stall, func() { cancel(errStalled) })
	b.timer.Stop()
	return b
}

// Read lets the clock run only while it waits: a reader may take its time.
func (b *liveBody) Read(p []byte) (int, error) {
	b.timer.Reset(b.stall)
	n, err := b.body.Read(p)
	b.timer.Stop()
	if err != nil && err != io.EOF {
		err = failed(b.ctx, err)
	}
	return n, err
}

func (b *liveBody) Close() error {
	b.timer.Stop()
	b.cancel(nil)
	return b.body.Close()
}
