package ota

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Forced tells that an operator insisted on what was refused: who, when, and
// what there was against it.
type Forced struct {
	At      time.Time
	By      string // see Actor; "" if that is not known
	Doing   string // "publish", "notify" or "send"
	Reasons []string
}

// What a package keeps of what was forced; the event log has all of it.
const (
	maxForced        = 20
	maxForcedReasons = 50
)

// NoteForced keeps what was forced with a package, the newest last.
func (p *Package) NoteForced(f Forced) {
	if more := len(f.Reasons) - maxForcedReasons; more > 0 {
		f.Reasons = append(slices.Clone(f.Reasons[:maxForcedReasons]), fmt.Sprintf("and %d more", more))
	}
	p.Forced = append(slices.Clone(p.Forced), f)
	p.Forced = p.Forced[max(0, len(p.Forced)-maxForced):]
}

type actorKey struct{}

// WithActor says in whose name something is asked, for who looks into it
// later. Doors do so once they know.
func WithActor(ctx context.Context, who string) context.Context {
	return context.WithValue(ctx, actorKey{}, who)
}

// Actor is in whose name something is asked, such as "operator at
// 192.0.2.7"; "" if nobody said.
func Actor(ctx context.Context) string {
	who, _ := ctx.Value(actorKey{}).(string)
	return who
}
