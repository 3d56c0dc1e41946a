package fleet_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-ota/updraft/fleet"
	"github.com/updraft-ota/updraft/ota"
)

// What an operator insists on is seen by who looks later: with the package, in
// the event log, and in the server's log.
func TestWhatAnOperatorInsistsOnIsSeen(t *testing.T) {
	b, stranger, d := newBoard(t), newBoard(t), &devices{}
	var log bytes.Buffer
	w := newWorld(t, withSUIT(b), withDevices(d), func(o *fleet.Options) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	n := fleet.Publication{ID: "app"}
	text := stranger.manifest(1, "file1", "image")
	_, err := w.publishFile(n, "manifest", text)
	wantRefusal(t, err, "trusted key")
	if log.Len() > 0 {
		t.Errorf("what was refused is no news: %s", &log)
	}
	w.ctx, n.Force = ota.WithActor(w.ctx, "operator at 192.0.2.7"), true
	out, err := w.publishFile(n, "manifest", text)
	if err != nil {
		t.Fatal(err)
	}
	const untrusted = "manifest: no signature is by a trusted key"
	want := []ota.Forced{{At: w.now, By: "operator at 192.0.2.7", Doing: "publish", Reasons: []string{untrusted}}}
	if diff := cmp.Diff(want, out.Package.Forced); diff != "" {
		t.Error(diff)
	}
	if again, err := w.publishFile(n, "manifest", text); err != nil || again.Changed {
		t.Errorf("the same again: %+v, %v", again, err)
	}
	// Other files join the version, and what was forced stays.
	w.puts(fleet.Publication{ID: "app"}, "readme:r", "app=r1 manifest readme")
	w.now = w.now.Add(time.Hour)
	synctest.Test(t, func(t *testing.T) {
		if _, err := w.Notify(w.ctx, ns, fleet.Notification{ID: "app", Scheme: ota.SchemeAuto, Targets: []string{"host/url"}, Force: true}); err != nil {
			t.Error(err)
		}
	})
	want = append(want, ota.Forced{At: w.now, By: "operator at 192.0.2.7", Doing: "notify", Reasons: []string{untrusted, "manifest: file1 is not stored here"}})
	p, err := w.Package(w.ctx, ns, out.Package.ID)
	if diff := cmp.Diff(want, p.Forced); err != nil || diff != "" {
		t.Errorf("%v, %s", err, diff)
	}
	for _, told := range w.eventsSince(0, ota.PackageForced) {
		if !strings.Contains(told, `"by":"operator at 192.0.2.7"`) {
			t.Errorf("told %s", told)
		}
	}
	for _, line := range []string{
		`level=WARN msg="an operator insisted on what is refused" doing=publish package="app=r1" by="operator at 192.0.2.7" reasons="` + untrusted,
		`doing=notify package="app=r1"`,
	} {
		if strings.Count(log.String(), line) != 1 {
			t.Errorf("the log lacks %s:\n%s", line, &log)
		}
	}
}
