package fleet

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"

	"github.com/updraft-ota/updraft/ota"
)

// NewCredential gives a device a fresh client id and secret; the secret is
// told this once and an older credential ends. It fails with KindNotFound
// (missing_device).
func (f *Fleet) NewCredential(ctx context.Context, ns ota.Namespace, id ota.DeviceID) (clientID, secret string, err error) {
	clientID, secret = f.NewID(), rand.Text()+rand.Text() // 256 bits and more
	err = f.write(ctx, func(tx ota.Tx) error {
		d, err := device(tx, ns, id)
		if err != nil {
			return err
		}
		return tx.PutCredential(ota.Credential{
			ClientID: clientID, Device: d.ID, Namespace: d.Namespace, SecretHash: sha256.Sum256([]byte(secret)),
		})
	})
	if err != nil {
		return "", "", err
	}
	f.CredentialGone(id)
	return clientID, secret, nil
}

// Authenticate checks a client id and secret. It fails with
// KindUnauthenticated (invalid_client), the same for an unknown id and a
// wrong secret.
func (f *Fleet) Authenticate(ctx context.Context, clientID, secret string) (ota.Credential, error) {
	c, err := f.Credential(ctx, clientID)
	if err != nil && ota.KindOf(err) != ota.KindNotFound {
		return ota.Credential{}, err
	}
	hash := sha256.Sum256([]byte(secret))
	if subtle.ConstantTimeCompare(hash[:], c.SecretHash[:]) != 1 || err != nil {
		return ota.Credential{}, ota.Fail(ota.KindUnauthenticated, "invalid_client", "unknown client id or wrong secret")
	}
	return c, nil
}

// Credential reads a credential by client id, to see whether it still
// stands. It fails with KindNotFound.
func (f *Fleet) Credential(ctx context.Context, clientID string) (c ota.Credential, err error) {
	err = f.Store.Read(ctx, func(tx ota.ReadTx) error {
		c, err = tx.Credential(clientID)
		return err
	})
	return c, err
}
