package httpapi

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"

	"github.com/updraft-ota/updraft/ota"
)

// Fetch implements ota.Uplink. A server that knows no ranges, or has another
// artifact than q.Digest, sends the whole from 0.
func (c *Client) Fetch(ctx context.Context, q ota.FetchRequest) (*ota.Content, error) {
	resp, err := c.get(ctx, q)
	if err != nil {
		return nil, err
	}
	content := &ota.Content{Body: resp.Body, Size: resp.ContentLength, Digest: digestOf(resp.Header)}
	span := resp.Header.Get("Content-Range")
	switch {
	case resp.StatusCode == http.StatusOK:
		return content, nil
	case resp.StatusCode == http.StatusPartialContent && q.From > 0:
		var last int64
		if n, err := fmt.Sscanf(span, "bytes %d-%d/%d", &content.From, &last, &content.Size); n == 3 && err == nil && content.From == q.From {
			return content, nil
		}
		resp.Body.Close()
		return nil, ota.Invalid("the server sent bytes %.80q where those from %d were wanted", span, q.From)
	case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable && q.From > 0:
		resp.Body.Close()
		if span == fmt.Sprintf("bytes */%d", q.From) { // nothing was missing
			return &ota.Content{Body: http.NoBody, From: q.From, Size: q.From, Digest: q.Digest}, nil
		}
		q.From, q.Digest = 0, ""
		return c.Fetch(ctx, q)
	}
	defer resp.Body.Close()
	answer, err := readAnswer(resp.Body)
	if err != nil {
		return nil, err
	}
	return nil, errorFrom(resp.StatusCode, answer)
}

func (c *Client) get(ctx context.Context, q ota.FetchRequest) (*http.Response, error) {
	if err := checkID(q.Update); err != nil {
		return nil, err
	}
	u := c.device("updates", string(q.Update), "download")
	if q.Artifact != "" {
		query := u.Query()
		query.Set("artifact", q.Artifact)
		u.RawQuery = query.Encode()
	}
	header := make(http.Header)
	if q.From > 0 {
		header.Set("Range", fmt.Sprintf("bytes=%d-", q.From))
		if q.Digest != "" {
			header.Set("If-Range", etag(q.Digest))
		}
	}
	method := http.MethodGet
	if q.Peek {
		method = http.MethodHead
	}
	return c.do(ctx, method, u, header, nil)
}

// digestOf reads what an answer says of the whole artifact: Repr-Digest if
// there is one, else an ETag that looks like a digest.
func digestOf(h http.Header) ota.Digest {
	for item := range strings.SplitSeq(h.Get("Repr-Digest"), ",") {
		if b64, ok := strings.CutPrefix(strings.TrimSpace(item), "sha-256=:"); ok {
			sum, err := base64.StdEncoding.DecodeString(strings.TrimSuffix(b64, ":"))
			if err == nil && len(sum) == 32 {
				return ota.Digest(hex.EncodeToString(sum))
			}
		}
	}
	d, err := ota.ParseDigest(strings.Trim(h.Get("ETag"), `"`))
	if err != nil {
		return ""
	}
	return d
}
