package rvi

import (
	"cmp"
	"context"
	"math"
	"slices"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

// Links lists who is on the line, the oldest first: every peer of the node that has shown
// what it may do or, at a node in another process, every vehicle that was heard of.
func (b *Backend) Links() []ota.Link {
	var list []ota.Link
	if b.links == nil {
		for _, t := range b.list() {
			if l := (ota.Link{Protocol: contactProtocol, Peer: t.prefix}); t.show(&l) {
				list = append(list, l)
			}
		}
	} else {
		for _, p := range b.links() {
			if !p.Entitled {
				continue
			}
			l := ota.Link{Protocol: contactProtocol, Peer: p.Peer.Prefix, Addr: p.Peer.Addr, Secure: p.Peer.Fingerprint != "", Since: p.Since}
			b.mu.Lock()
			t := b.talks[p.Peer.Prefix]
			b.mu.Unlock()
			if t != nil {
				t.show(&l)
			} else if who, err := IdentityOf(l.Peer); err == nil {
				l.Device, _ = b.find(context.Background(), who) // "" if nobody knows
			}
			list = append(list, l)
		}
	}
	slices.SortFunc(list, func(x, y ota.Link) int { return cmp.Or(x.Since.Compare(y.Since), cmp.Compare(x.Peer, y.Peer)) })
	return list
}

// show fills in what the talk knows of a link, and reports whether the vehicle
// is there.
func (t *talk) show(l *ota.Link) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	l.Device = t.device
	if d := t.last(); d != Unknown {
		l.Dialect = d.String()
	}
	if l.Since.IsZero() {
		l.Since = t.greeted
	}
	if t.vehicle == nil {
		return t.here
	}
	now := t.b.opt.Now()
	for _, p := range t.vehicle.Progress() {
		f := t.files[p.Unit]
		if f == nil {
			continue
		}
		l.Transfers = append(l.Transfers, ota.Transfer{Update: f.update, Package: f.pkg, State: p.State.String(),
			Size: f.file.Size, Held: min(int64(p.Held)*ChunkSize, f.file.Size), Chunks: p.Chunks, Done: p.Held,
			Resends: p.Resends, Rate: f.pace.rate(now)})
	}
	return t.here
}

// pace is how fast a file's chunks are acknowledged: a count that fades.
type pace struct {
	last  time.Time
	bytes float64
}

const paceFades = 5 * time.Second

func (p pace) at(now time.Time) float64 {
	return p.bytes * math.Exp(-now.Sub(p.last).Seconds()/paceFades.Seconds())
}

func (p *pace) moved(chunks int, now time.Time) {
	p.bytes, p.last = p.at(now)+float64(chunks)*ChunkSize, now
}

// rate is in whole bytes per second.
func (p pace) rate(now time.Time) float64 { return math.Floor(p.at(now) / paceFades.Seconds()) }
