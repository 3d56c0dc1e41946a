package e2e_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/store"
)

// A server that is killed before or after any of its commits, and started
// again, ends with the same as one that lived on. The first story, which
// nobody dies in, tells how many commits there are.
func TestServerDiesAtEveryCommit(t *testing.T) {
	t.Parallel()
	deb := buildDeb(t, "tool", "1.0", nil)
	calm := serverStory(t, deb)
	commits := strings.Count(calm.said(), passed+store.BeforeCommit)
	if commits < 7 { // device, credentials, package, update, begun, reported, installed
		t.Fatalf("the story has %d commits only", commits)
	}
	var deaths atomic.Int32
	t.Run("death", func(t *testing.T) {
		for n := 1; n <= commits+1; n++ {
			for _, point := range []string{store.BeforeCommit, store.AfterCommit} {
				t.Run(fmt.Sprintf("%s %d", point, n), func(t *testing.T) {
					t.Parallel()
					deaths.Add(serverStory(t, deb, killAt(point, n)).deaths)
				})
			}
		}
	})
	// Times of last sight are gathered, so that a story may have less commits.
	if got, want := int(deaths.Load()), 2*(commits-2); got < want {
		t.Errorf("only %d servers were killed, want at least %d", got, want)
	}
}

// serverStory carries a package to a device through a server that is started
// again whenever it dies.
func serverStory(t *testing.T, deb string, doom ...string) *site {
	s := mortalSite(t, doom...)
	c := &car{T: t, site: s, name: "car", dir: t.TempDir()}
	c.root, c.config = filepath.Join(c.dir, "root"), filepath.Join(c.dir, "sota.toml")
	makeRoot(t, c.root)
	var added struct{ UUID string }
	add := s.insist([]string{"device", "add", "--name", c.name, "--agent-config", c.config}, "device", "rm", c.name)
	if err := json.Unmarshal([]byte(add), &added); err != nil {
		t.Fatal(err)
	}
	c.uuid = added.UUID
	c.start()
	s.insist([]string{"package", "add", deb, "--name", "tool", "--version", "1.0", "--sign", s.key})
	id := uuid.NewString()
	until(t, "the update to be queued", func() bool {
		s.revive()
		s.updraft("update", "send", "--id", id, "--device", c.uuid, "--package", "tool=1.0")
		status, _ := c.status(id)
		return status != ""
	})
	c.hasTool(id)
	c.counts("postinst began", 1)
	s.shutDown()
	checkEvents(t, s.dir, id)
	return s
}

// mortalSite is a server that dies of its doom.
func mortalSite(t *testing.T, doom ...string) *site {
	s := &site{T: t, dir: filepath.Join(t.TempDir(), "data"), port: freePort(), key: filepath.Join(t.TempDir(), "release.key"), mortal: true}
	s.must("key", "new", "--out", s.key)
	s.start(doom...)
	return s
}

// insist repeats a command until it succeeds, and takes back in between what
// it may have left half done.
func (s *site) insist(command []string, undo ...string) (out string) {
	s.Helper()
	until(s.T, "updraft "+strings.Join(command, " "), func() bool {
		s.revive()
		var status int
		if out, _, status = s.updraft(command...); status != 0 && len(undo) > 0 {
			s.revive()
			s.updraft(undo...)
		}
		return status == 0
	})
	return out
}

// shutDown ends the server in order, which may be when its doom comes.
func (s *site) shutDown() {
	s.Helper()
	s.cmd.Process.Signal(syscall.SIGTERM)
	if s.ended(); s.cmd.ProcessState.ExitCode() != 0 {
		s.revive()
		s.terminate()
	}
}

// checkEvents checks that the log tells of each thing once, and that the
// numbers have no gaps.
func checkEvents(t *testing.T, dir, id string) {
	t.Helper()
	db, err := store.Open(t.Context(), store.Options{Path: filepath.Join(dir, "updraft.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var events []ota.Event
	err = db.Read(t.Context(), func(tx ota.ReadTx) (err error) {
		events, err = tx.Events(ota.EventFilter{Namespace: ota.DefaultNamespace}, 0, 1000)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for i, e := range events {
		if e.Seq != int64(i+1) {
			t.Errorf("event %d has number %d", i+1, e.Seq)
		}
		var data struct{ Status string }
		if e.Type == ota.UpdateChanged {
			if err := json.Unmarshal(e.Data, &data); err != nil || string(e.Update) != id {
				t.Errorf("event %+v: %v", e, err)
			}
			told = append(told, data.Status)
		}
	}
	if diff := cmp.Diff([]string{"Pending", "InFlight", "Finished"}, told); diff != "" {
		t.Errorf("events of the update: %s", diff)
	}
}
