package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/updraft-ota/updraft/httpapi"
	"github.com/updraft-ota/updraft/ota"
)

const (
	deviceID = ota.DeviceID("0b9c1f3e-58a4-4d15-9d0f-8a7d8e0f1a2b")
	updateID = ota.UpdateID("7fc9a0e2-2d0f-4c1e-9a4b-0c5a8f1a9c11")
)

// uplink is the server's side of a conversation as a test scripts it. It
// keeps what it was told.
type uplink struct {
	ota.Uplink // what no test calls

	mu        sync.Mutex
	offers    []ota.Offer
	image     []byte
	body      func() io.ReadCloser // instead of image
	digest    ota.Digest
	fail      error
	fetched   []ota.FetchRequest
	reports   []ota.Report
	inventory *ota.Inventory
	info      json.RawMessage
}

func (u *uplink) Pending(context.Context) ([]ota.Offer, error) { return u.offers, u.fail }

func (u *uplink) Fetch(_ context.Context, q ota.FetchRequest) (*ota.Content, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.fetched = append(u.fetched, q)
	if u.fail != nil {
		return nil, u.fail
	}
	if q.Update != updateID {
		return nil, ota.MissingUpdate(q.Update)
	}
	c := &ota.Content{Body: seekable{bytes.NewReader(u.image)}, Size: int64(len(u.image)), Digest: u.digest}
	if u.body != nil {
		c.Body = u.body()
	}
	return c, nil
}

func (u *uplink) Report(_ context.Context, r ota.Report) error {
	u.reports = append(u.reports, r)
	return u.fail
}

func (u *uplink) Installed(_ context.Context, inv ota.Inventory) error {
	u.inventory = &inv
	return u.fail
}

func (u *uplink) SystemInfo(_ context.Context, doc json.RawMessage) error {
	u.info = doc
	return u.fail
}

type seekable struct{ *bytes.Reader }

func (seekable) Close() error { return nil }

// serve puts the uplink of deviceID on the network.
func serve(t *testing.T, u *uplink) *httptest.Server {
	t.Helper()
	open := func(r *http.Request, id ota.DeviceID) (ota.Uplink, error) {
		if id != deviceID {
			return nil, ota.MissingDevice(string(id))
		}
		return u, nil
	}
	srv := httptest.NewServer(httpapi.DeviceAPI(open, slog.New(slog.DiscardHandler)))
	t.Cleanup(srv.Close)
	return srv
}

func offer() ota.Offer {
	at := time.Date(2026, 11, 21, 10, 0, 0, 123000, time.UTC)
	return ota.Offer{
		Update: updateID, Request: ota.RequestID(updateID),
		Package: ota.PackageID{Name: "movie&player", Version: "1:2.0~rc1"}, Status: ota.Pending,
		CreatedAt: at, UpdatedAt: at.Add(time.Second),
		Artifacts: []ota.Artifact{{Name: ota.DefaultArtifact, Signature: "sig",
			Sums: ota.Sums{Size: 5, SHA256: "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"}}},
	}
}
