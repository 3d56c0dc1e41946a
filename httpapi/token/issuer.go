// Package token gives devices short-lived signed tokens in exchange for their
// client id and secret (client.md 8.4, RFC 6749 4.4), and tells from a token
// whose it is.
//
// A token names the credential it was issued for and carries a mark of it, so
// that it ends with the credential: also when the server restarts, and when a
// device is removed and added again under its old uuid. What was verified
// once is remembered, so that the next poll costs one look into a map; Revoke
// forgets it.
package token

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/updraft-ota/updraft/httpapi"
	"github.com/updraft-ota/updraft/ota"
)

// Accounts knows the devices' credentials.
type Accounts interface {
	// Authenticate checks a client id and secret. It fails with
	// KindUnauthenticated.
	Authenticate(ctx context.Context, clientID, secret string) (ota.Credential, error)
	// Credential reads a credential. It fails with KindNotFound.
	Credential(ctx context.Context, clientID string) (ota.Credential, error)
}

// DefaultTTL is how long a token holds unless configured.
const DefaultTTL = time.Hour

const (
	issuerName = "updraft"
	maxToken   = 4 << 10 // bytes of a token that is looked at
)

// algorithms is the only way tokens are signed; a token cannot choose another.
var algorithms = []jose.SignatureAlgorithm{jose.HS256}

// Issuer makes and verifies tokens.
type Issuer struct {
	Accounts Accounts
	TTL      time.Duration    // default DefaultTTL
	Now      func() time.Time // default time.Now

	key      []byte
	signer   jose.Signer
	verified memory
}

// NewIssuer makes an issuer with the key in a file, which is created at need.
func NewIssuer(keyFile string, accounts Accounts) (*Issuer, error) {
	key, err := loadKey(keyFile)
	if err != nil {
		return nil, err
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithms[0], Key: key}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return nil, fmt.Errorf("token key: %w", err)
	}
	return &Issuer{Accounts: accounts, TTL: DefaultTTL, Now: time.Now, key: key, signer: signer}, nil
}

type claims struct {
	jwt.Claims
	Scope     string        `json:"scope"`
	Namespace ota.Namespace `json:"ns"`
	ClientID  string        `json:"client_id"`
	Mark      string        `json:"mark"`
}

// mark tells one credential from its successors without telling its hash.
func mark(c ota.Credential) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "updraft-token-mark\n%s\n%s\n%x", c.ClientID, c.Device, c.SecretHash))
	return hex.EncodeToString(sum[:12])
}

// scopes are what Core asks of a device's token (client.md 8.4).
func scopes(device ota.DeviceID) string {
	return fmt.Sprintf("ota-core.%s.read ota-core.%[1]s.write", device)
}

// Issue makes a token for the device of a credential.
func (i *Issuer) Issue(c ota.Credential) (string, error) {
	now := i.Now()
	return jwt.Signed(i.signer).Claims(claims{
		Claims: jwt.Claims{
			Issuer:   issuerName,
			Subject:  string(c.Device),
			IssuedAt: jwt.NewNumericDate(now),
			Expiry:   jwt.NewNumericDate(now.Add(i.TTL)),
			ID:       rand.Text(),
		},
		Scope:     scopes(c.Device),
		Namespace: c.Namespace,
		ClientID:  c.ClientID,
		Mark:      mark(c),
	}).Serialize()
}

// Verify tells whose a token is. It fails with KindUnauthenticated
// (invalid_token) for one that is forged, expired or ended, and otherwise
// with an error of Accounts.
func (i *Issuer) Verify(ctx context.Context, token string) (httpapi.Identity, error) {
	return i.verifyHashed(ctx, token, sha256.Sum256([]byte(token)))
}

func (i *Issuer) verifyHashed(ctx context.Context, token string, sum [sha256.Size]byte) (httpapi.Identity, error) {
	id, epoch, ok := i.verified.find(sum, i.Now())
	for !ok {
		expires, err := time.Time{}, error(nil)
		if id, expires, err = i.verify(ctx, token); err != nil {
			return httpapi.Identity{}, err
		}
		// A credential that ended while it was looked up ends this token too.
		epoch, ok = i.verified.keep(sum, id, expires, epoch)
	}
	return id, nil
}

func (i *Issuer) verify(ctx context.Context, token string) (httpapi.Identity, time.Time, error) {
	if len(token) > maxToken {
		return refuse("too long")
	}
	parsed, err := jwt.ParseSigned(token, algorithms)
	if err != nil {
		return refuse("malformed")
	}
	var c claims
	if err := parsed.Claims(i.key, &c); err != nil {
		return refuse("not signed by this server")
	}
	if c.Issuer != issuerName || c.Expiry == nil || !i.Now().Before(c.Expiry.Time()) {
		return refuse("expired")
	}
	current, err := i.Accounts.Credential(ctx, c.ClientID)
	if ota.KindOf(err) == ota.KindNotFound || err == nil && mark(current) != c.Mark {
		return refuse("ended, as its credentials have")
	}
	if err != nil {
		return httpapi.Identity{}, time.Time{}, err
	}
	return httpapi.Identity{Role: httpapi.Device, Device: current.Device, Namespace: current.Namespace}, c.Expiry.Time(), nil
}

func refuse(why string) (httpapi.Identity, time.Time, error) {
	return httpapi.Identity{}, time.Time{}, ota.Fail(ota.KindUnauthenticated, "invalid_token", "the token is %s; get a new one", why)
}

// Revoke ends what is remembered of a device's tokens. Call it once the
// device or its credential is gone from Accounts: the tokens are looked up
// again then, and refused.
func (i *Issuer) Revoke(device ota.DeviceID) { i.verified.forget(device) }

// Who tells operators, who have the one token of that SHA-256, from devices.
func (i *Issuer) Who(operator [sha256.Size]byte) httpapi.Who {
	return func(r *http.Request) (httpapi.Identity, error) {
		token, err := httpapi.Bearer(r)
		if err != nil {
			return httpapi.Identity{}, err
		}
		// Comparing hashes gives away nothing of what they were made from.
		sum := sha256.Sum256([]byte(token))
		if sum == operator {
			return httpapi.Identity{Role: httpapi.Operator}, nil
		}
		return i.verifyHashed(r.Context(), token, sum)
	}
}
