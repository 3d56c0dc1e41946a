package publish_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/updraft-ota/updraft/httpapi"
	"github.com/updraft-ota/updraft/httpapi/publish"
	"github.com/updraft-ota/updraft/ota"
)

// FuzzPublish: whatever a form is, the answer is one of those there are, and
// only what was answered with 201 is there. Run it with -fuzzminimizetime 10x:
// the database is looked into as well, and is never twice the same.
func FuzzPublish(f *testing.F) {
	const b = "b"
	contentType := "multipart/form-data; boundary=" + b
	for _, parts := range [][]part{
		{id("a"), file("f", "x")}, {file("manifest", "\xa2\x02\x40\x03\x40"), id("raw/id")}, {id("../x"), file("..", "x")},
		{field("version", "1"), field("force", "on"), {"files", "riot.suit.1.bin", ""}, id("a")},
	} {
		_, body := formBody(parts)
		var head string
		if i := bytes.IndexByte([]byte(body), '\r'); i > 2 {
			head = body[2:i]
		}
		f.Add(bytes.ReplaceAll([]byte(body), []byte(head), []byte(b)))
	}
	w := start(f)
	door := publish.New(publish.Options{Fleet: w.fleet, Who: httpapi.NoAuth, Log: slog.New(slog.DiscardHandler)})
	f.Fuzz(func(t *testing.T, body []byte) {
		r := httptest.NewRequest(http.MethodPost, "/publish", bytes.NewReader(body))
		r.Header.Set("Content-Type", contentType)
		rec := httptest.NewRecorder()
		door.ServeHTTP(rec, r)
		switch rec.Code {
		case 201:
			got := into[publish.Published](t, rec.Body.String())
			for _, file := range got.Files {
				_, a, err := w.fleet.Locate(context.Background(), ota.DefaultNamespace, got.ID, file.Name)
				if err != nil || got.Version[0] == 'r' && string(a.SHA256) != file.SHA256 {
					t.Errorf("%+v of %s is not there: %v", file, got.ID, err)
				}
			}
		case 400, 409, 413, 422:
		default:
			t.Errorf("%d: %s", rec.Code, rec.Body)
		}
	})
}
