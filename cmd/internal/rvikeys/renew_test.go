package rvikeys_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/updraft-ota/updraft/cmd/internal/rvikeys"
	"github.com/updraft-ota/updraft/rvi/node"
)

func copyFile(t *testing.T, to, from string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestRenewedKeysAreShown(t *testing.T) {
	files, again := issue(t, car), issue(t, car)
	shown, err := rvikeys.Load(files)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		var got []*node.Identity
		var refuse atomic.Bool
		renew := func(id *node.Identity) error {
			if refuse.Load() {
				return errors.New("another certificate's credential")
			}
			got = append(got, id)
			return nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		go rvikeys.Renew(ctx, files, shown, renew, slog.New(slog.NewTextHandler(&log, nil)))
		minutes := func(n time.Duration) {
			time.Sleep(n*time.Minute + time.Second)
			synctest.Wait()
		}
		minutes(3) // nothing has changed
		copyFile(t, files.Cert, again.Cert)
		minutes(3) // not yet the key
		same(t, len(got), 0)
		same(t, strings.Count(log.String(), "does not match"), 1)
		copyFile(t, files.Key, again.Key)
		refuse.Store(true)
		minutes(3)
		same(t, strings.Count(log.String(), "another certificate's credential"), 1)
		copyFile(t, files.Cred, again.Cred)
		refuse.Store(false)
		minutes(3)
		want, err := rvikeys.Load(again)
		if err != nil {
			t.Fatal(err)
		}
		same(t, len(got), 1)
		same(t, got[0].Credentials, want.Credentials)
		same(t, got[0].Certificate.Certificate, want.Certificate.Certificate)
		cancel()
		synctest.Wait()
	})
}
