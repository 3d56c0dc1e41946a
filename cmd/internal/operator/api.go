package operator

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/updraft-ota/updraft/cmd/internal/usage"
	"github.com/updraft-ota/updraft/httpapi"
	"github.com/updraft-ota/updraft/httpapi/operator/client"
)

// refusalPatience is how long an upload waits for the server to say whether
// it wants the bytes at all.
const refusalPatience = 10 * time.Second

// answerPatience is how long a server may take to answer what it got. Storing
// a large package takes its time.
const answerPatience = 5 * time.Minute

// maxAnswer bounds an answer that is read whole, in bytes.
const maxAnswer = 256 << 20

// connect makes the client of the server that was named. It fails on a URL
// that is none.
func (o *options) connect() (*client.Client, error) {
	u, err := url.Parse(o.server)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, usage.Errorf("--server %q: expected a URL such as %s", o.server, defaultServer)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ExpectContinueTimeout = refusalPatience
	transport.ResponseHeaderTimeout = answerPatience
	return client.NewClient(strings.TrimSuffix(o.server, "/"),
		client.WithHTTPClient(&http.Client{Transport: transport}),
		client.WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
			token := o.token
			if token == "" {
				token = os.Getenv("UPDRAFT_TOKEN")
			}
			if token = strings.TrimSpace(token); token != "" {
				r.Header.Set("Authorization", "Bearer "+token)
			}
			return nil
		}))
}

// read takes an answer's JSON body, or says in one line why there is none.
func read[T any](resp *http.Response, err error) (v T, _ error) {
	if err = check(resp, err); err != nil {
		return v, err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&v); err != nil {
		return v, fmt.Errorf("the answer of %s is not what an updraft server says: %w", resp.Request.URL, err)
	}
	return v, nil
}

// done takes an answer that has nothing more to say.
func done(resp *http.Response, err error) error {
	if err = check(resp, err); err != nil {
		return err
	}
	return resp.Body.Close()
}

// check tells success from failure. After a failure the body is closed.
func check(resp *http.Response, err error) error {
	if err != nil {
		return unreachable(err)
	}
	if resp.StatusCode/100 == 2 {
		return nil
	}
	defer resp.Body.Close()
	var p httpapi.Problem
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if json.Unmarshal(body, &p) != nil || p.Detail == "" {
		return fmt.Errorf("%s answers %s: is that an updraft server?", resp.Request.URL, resp.Status)
	}
	return &refusal{Problem: p}
}

// unreachable says what became of a request that got no answer.
func unreachable(err error) error {
	if errors.Is(err, context.Canceled) {
		return errors.New("interrupted")
	}
	if bad, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return fmt.Errorf("%w: SSL_CERT_FILE names a file with the certificates to trust", bad)
	}
	if failed, ok := errors.AsType[*url.Error](err); ok {
		u, _ := url.Parse(failed.URL)
		return fmt.Errorf("no answer from %s: %w: does the server run there? --server or UPDRAFT_SERVER names another", u.Host, failed.Err)
	}
	return err
}

// refusal is a server's no, with a hint at what to do.
type refusal struct{ httpapi.Problem }

var hints = map[string]string{
	"not_authenticated": "give the token in the server's admin.token as UPDRAFT_TOKEN or --token",
	"invalid_token":     "that is not the token in the server's admin.token",
	"missing_device":    "updraft device ls lists those there are",
	"missing_package":   "updraft package ls lists those there are",
	"refused_manifest":  "mend that and publish again; --force insists on it",
}

func (r *refusal) Error() string {
	if hint, ok := hints[r.Code]; ok {
		return r.Detail + ": " + hint
	}
	return r.Detail
}

// refused reports whether err is a server's no with that code.
func refused(err error, code string) bool {
	r, ok := errors.AsType[*refusal](err)
	return ok && r.Code == code
}

// asksForProof finds out whether devices need a token of the server.
func asksForProof(ctx context.Context, api *client.Client) (bool, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(api.Server, "/")+"/health", nil)
	if err != nil {
		return false, err
	}
	health, err := read[struct{ Auth string }](api.Client.Do(req))
	return health.Auth != "none", err
}
