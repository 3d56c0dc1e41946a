package rvikeys

import (
	"bytes"
	"context"
	"crypto/x509"
	"log/slog"
	"slices"
	"time"

	"github.com/updraft-ota/updraft/rvi/node"
)

// renewInterval is how often the files of a node that runs are looked at.
const renewInterval = time.Minute

// Renew gives a node what its files hold, whenever that is not what it shows,
// until ctx is done. Files that do not load or that the node refuses, such as
// ones renewed by half, leave the old in use; each such error is logged once.
func Renew(ctx context.Context, f Files, shown *node.Identity, renew func(*node.Identity) error, log *slog.Logger) {
	tick := time.NewTicker(renewInterval)
	defer tick.Stop()
	trouble := ""
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		id, err := Load(f)
		if err == nil && !same(id, shown) {
			if err = renew(id); err == nil {
				shown = id
				log.Info("the RVI keys were renewed", "not_after", id.Certificate.Leaf.NotAfter)
			}
		}
		now := ""
		if err != nil {
			now = err.Error()
		}
		if now != "" && now != trouble {
			log.Error("the renewed RVI keys are not usable, the old ones stay in use", "err", now)
		}
		trouble = now
	}
}

func same(a, b *node.Identity) bool {
	return slices.EqualFunc(a.Certificate.Certificate, b.Certificate.Certificate, bytes.Equal) &&
		slices.EqualFunc(a.Roots, b.Roots, (*x509.Certificate).Equal) && slices.Equal(a.Credentials, b.Credentials)
}
