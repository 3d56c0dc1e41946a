package node

import (
	"bytes"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"slices"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

// Identity is what a node shows at TLS links, and whom it trusts there.
type Identity struct {
	Certificate tls.Certificate
	Roots       []*x509.Certificate
	Credentials []string // JWTs by one of the roots, for Certificate
}

// rightsOf are those of the credentials. One that our peers would refuse is an
// error (KindInvalid), as we could then not be heard; without the time only they
// can tell when it holds.
func (n *Node) rightsOf(id *Identity) (rights Rights, err error) {
	if len(id.Certificate.Certificate) == 0 || len(id.Roots) == 0 {
		return nil, ota.Invalid("an RVI identity needs a certificate and a root")
	}
	for _, root := range id.Roots {
		if key, ok := root.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() < 2048 {
			return nil, ota.Invalid("an RVI root needs a key of at least 2048 bits")
		}
	}
	for i, jwt := range id.Credentials {
		g, err := readCredential(jwt, id.Roots, id.Certificate.Certificate[0])
		if n.opt.ClockUnsure {
			g.Start, g.Stop = time.Time{}, time.Time{}
		}
		if err == nil {
			err = g.check(n.now())
		}
		if err != nil {
			return nil, ota.Invalid("our own RVI credential %d is not usable: %v", i+1, err)
		}
		rights = append(rights, g)
	}
	return rights, nil
}

func (id *Identity) equal(other *Identity) bool {
	return slices.EqualFunc(id.Certificate.Certificate, other.Certificate.Certificate, bytes.Equal) &&
		slices.EqualFunc(id.Roots, other.Roots, (*x509.Certificate).Equal)
}

// Renew replaces the node's identity, before its certificate or credentials
// end. Peers are shown the new credentials; with another certificate, or other
// roots, TLS links end and are made anew. The error (KindInvalid) is that of
// New, and changes nothing.
func (n *Node) Renew(id *Identity) error {
	rights, err := n.rightsOf(id)
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.unlock()
	old := n.identity.Load()
	if old == nil {
		return ota.Invalid("an RVI node without an identity has none to renew")
	}
	n.identity.Store(id)
	n.rights = slices.Concat(n.opt.Rights, rights)
	for l := range n.links {
		switch {
		case l.secure && !id.equal(old):
			n.audit("renewed", l.peer.String(), "", "this node has another certificate, or trusts other roots")
			l.kill()
		case l.greeted, l.opener && (l.leaf != nil || !l.secure): // has been shown the old ones
			l.pushControl(n.au())
		}
	}
	return nil
}
