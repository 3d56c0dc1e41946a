package server

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/updraft-ota/updraft/rvi/node"
)

// audit logs what an RVI node discards and refuses. Each peer is held back by
// the node; together they may say so much and no more, lest they fill the disk.
type audit struct {
	log     *slog.Logger
	now     func() time.Time
	mu      sync.Mutex
	allowed *rate.Limiter
	untold  int
}

const (
	auditBurst  = 500
	auditSecond = 1 // lines, once the burst is used up
)

func newAudit(log *slog.Logger, now func() time.Time) *audit {
	return &audit{log: log, now: now, allowed: rate.NewLimiter(auditSecond, auditBurst)}
}

func (a *audit) tell(e node.Event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.allowed.AllowN(a.now(), 1) {
		a.untold++
		return
	}
	level := slog.LevelWarn
	if e.Reason == "link_broken" || e.Reason == "replaced" {
		level = slog.LevelInfo
	}
	more := []any{"reason", e.Reason, "peer", e.Peer, "service", e.Service, "detail", e.Detail}
	if a.untold > 0 {
		more = append(more, "untold_before", a.untold)
		a.untold = 0
	}
	a.log.Log(context.Background(), level, "rvi", more...)
}
