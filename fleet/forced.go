package fleet

import (
	"context"
	"strings"

	"github.com/updraft-ota/updraft/ota"
)

// What an operator insists on is noted where it is seen: with the package or
// the update, as an event, and in the log.

// forced is what to note.
func forced(ctx context.Context, tx ota.ReadTx, doing string, reasons []string) ota.Forced {
	return ota.Forced{At: tx.Now(), By: ota.Actor(ctx), Doing: doing, Reasons: reasons}
}

// tellForced appends the event, with all reasons, to one that says what it
// concerns.
func tellForced(tx ota.Tx, e ota.Event, id ota.PackageID, f ota.Forced, reasons []string) error {
	e.Type = ota.PackageForced
	return tellPackage(tx, e, id, map[string]any{"doing": f.Doing, "by": f.By, "reasons": reasons})
}

// warnForced tells the log, once it is written.
func (f *Fleet) warnForced(ctx context.Context, doing string, id ota.PackageID, reasons []string, more ...any) {
	if len(reasons) > 0 {
		f.Log.Warn("an operator insisted on what is refused", append([]any{"doing", doing, "package", id.String(), "by", ota.Actor(ctx), "reasons", strings.Join(reasons, "; ")}, more...)...)
	}
}

// noteForced notes with a package that is there already.
func (f *Fleet) noteForced(ctx context.Context, ns ota.Namespace, id ota.PackageID, doing string, reasons []string) error {
	err := f.write(ctx, func(tx ota.Tx) error {
		p, err := tx.Package(ns, id)
		if err != nil {
			return err
		}
		note := forced(ctx, tx, doing, reasons)
		p.NoteForced(note)
		if err := tx.PutPackage(p); err != nil {
			return err
		}
		return tellForced(tx, ota.Event{Namespace: ns}, id, note, reasons)
	})
	if err == nil {
		f.warnForced(ctx, doing, id, reasons)
	}
	return err
}
