package agent

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/updraft-ota/updraft/ota"
)

// server is the other end of the uplink: one device's updates.
type server struct {
	mu      sync.Mutex
	updates []*update
	notices chan ota.Notice
	poll    time.Duration
	quiet   bool          // the transport tells nothing of the content
	slow    time.Duration // each read takes that long
	cut     int64         // every connection breaks after so many bytes; 0: none

	errs   map[string][]error // see failNext
	always map[string]error   // see failAlways
	hook   func(method string)
	down   bool        // it does not answer
	holds  func() bool // whether the device's token does; nil: none is needed

	fetched   map[ota.UpdateID][]int // how often each byte was sent
	calls     []string
	reports   []ota.Report // as taken, repetitions of the same left out
	refuse    error        // what Report answers, for good
	installed []ota.Inventory
	info      []string
}

type update struct {
	offer   ota.Offer
	content []byte
	ended   bool
}

func newServer() *server {
	return &server{
		notices: make(chan ota.Notice), poll: 10 * time.Second,
		errs: map[string][]error{}, always: map[string]error{}, hook: func(string) {}, fetched: map[ota.UpdateID][]int{},
	}
}

// add queues an update and returns its offer, to be changed before it is asked for.
func (s *server) add(id string, content []byte) *ota.Offer {
	sum := sha256.Sum256(content)
	u := &update{content: content, offer: ota.Offer{
		Update: ota.UpdateID(id), Package: ota.PackageID{Name: "pkg-" + id, Version: "1.0"}, Status: ota.Pending, Pos: len(s.updates),
		Artifacts: []ota.Artifact{{Name: ota.DefaultArtifact, Signature: "sig", Sums: ota.Sums{
			Size: int64(len(content)), SHA256: ota.Digest(hex.EncodeToString(sum[:]))}}},
	}}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.updates = append(s.updates, u)
	s.fetched[u.offer.Update] = make([]int, len(content))
	return &u.offer
}

// set changes the server while devices may talk to it.
func (s *server) set(change func(*server)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

// failNext prepares what the next calls of a method answer, one each; nil lets
// a call pass.
func (s *server) failNext(method string, errs ...error) {
	s.set(func(s *server) { s.errs[method] = errs })
}

// failAlways makes all further calls of a method fail, or none if err is nil.
// "fetch u1" is a method for one update.
func (s *server) failAlways(method string, err error) {
	s.set(func(s *server) { s.always[method] = err })
}

// onCall has hook called with a method's name when its work is done.
func (s *server) onCall(hook func(method string)) {
	s.set(func(s *server) { s.hook = hook })
}

// remove takes an update back.
func (s *server) remove(id ota.UpdateID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.updates = slices.DeleteFunc(s.updates, func(u *update) bool { return u.offer.Update == id })
}

func (s *server) find(id ota.UpdateID) *update {
	for _, u := range s.updates {
		if u.offer.Update == id {
			return u
		}
	}
	return nil
}

// called notes a call and returns the error prepared for it.
func (s *server) called(method, detail string) error {
	s.calls = append(s.calls, strings.TrimSpace(method+" "+detail))
	if s.down {
		return errAway
	}
	if s.holds != nil && method != "read" && !s.holds() {
		return errToken
	}
	if list := s.errs[method]; len(list) > 0 {
		s.errs[method] = list[1:]
		return list[0]
	}
	return cmp.Or(s.always[method], s.always[method+" "+detail])
}

// count tells how often a method was called.
func (s *server) count(method string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, c := range s.calls {
		if c == method || strings.HasPrefix(c, method+" ") {
			n++
		}
	}
	return n
}

// lock holds the server's lock; unlocking calls the hook. A goroutine may end
// in the hook, as in a crash.
func (s *server) lock(method string) (unlock func()) {
	s.mu.Lock()
	return func() {
		hook := s.hook
		s.mu.Unlock()
		hook(method)
	}
}

func (s *server) Pending(context.Context) ([]ota.Offer, error) {
	defer s.lock("pending")()
	if err := s.called("pending", ""); err != nil {
		return nil, err
	}
	var list []ota.Offer
	for _, u := range s.updates {
		if !u.ended {
			list = append(list, u.offer)
		}
	}
	return list, nil
}

func (s *server) Fetch(ctx context.Context, q ota.FetchRequest) (*ota.Content, error) {
	defer s.lock("fetch")()
	if err := s.called("fetch", string(q.Update)); err != nil {
		return nil, err
	}
	u := s.find(q.Update)
	if u == nil {
		return nil, ota.MissingUpdate(q.Update)
	}
	u.offer.Status = ota.InFlight
	sum := sha256.Sum256(u.content)
	c := &ota.Content{Body: &body{ctx: ctx, s: s, u: u, at: q.From, left: s.cut}, From: q.From,
		Size: int64(len(u.content)), Digest: ota.Digest(hex.EncodeToString(sum[:]))}
	if s.quiet {
		c.Size, c.Digest = -1, ""
	}
	return c, nil
}

// body is a connection's bytes, counted.
type body struct {
	ctx      context.Context
	s        *server
	u        *update
	at, left int64
}

var errCut = errors.New("connection reset by peer")

func (b *body) Read(p []byte) (int, error) {
	b.s.mu.Lock()
	slow := b.s.slow
	b.s.mu.Unlock()
	time.Sleep(slow)
	b.s.mu.Lock()
	defer b.s.mu.Unlock()
	if b.ctx.Err() != nil {
		return 0, b.ctx.Err()
	}
	if b.at >= int64(len(b.u.content)) {
		return 0, io.EOF
	}
	if err := b.s.called("read", ""); err != nil {
		return 0, err
	}
	if b.s.cut > 0 {
		if b.left == 0 {
			return 0, errCut
		}
		p = p[:min(int64(len(p)), b.left)]
	}
	n := copy(p, b.u.content[b.at:])
	for i := range n {
		b.s.fetched[b.u.offer.Update][b.at+int64(i)]++
	}
	b.at += int64(n)
	b.left -= int64(n)
	return n, nil
}

func (b *body) Close() error { return nil }

func (s *server) Report(_ context.Context, r ota.Report) error {
	defer s.lock("report")()
	if err := s.called("report", string(r.Update)); err != nil {
		return err
	}
	if err := r.Validate(); err != nil {
		return err
	}
	if s.refuse != nil {
		return s.refuse
	}
	if u := s.find(r.Update); u != nil {
		u.ended = true
	}
	if !slices.ContainsFunc(s.reports, func(old ota.Report) bool { return gocmp.Equal(old, r) }) {
		s.reports = append(s.reports, r)
	}
	return nil
}

func (s *server) Installed(_ context.Context, inv ota.Inventory) error {
	defer s.lock("installed")()
	if err := s.called("installed", ""); err != nil {
		return err
	}
	s.installed = append(s.installed, inv)
	return nil
}

func (s *server) SystemInfo(_ context.Context, doc json.RawMessage) error {
	defer s.lock("info")()
	if err := s.called("info", ""); err != nil {
		return err
	}
	s.info = append(s.info, string(doc))
	return nil
}

func (s *server) Next(ctx context.Context) (ota.Notice, error) {
	var due <-chan time.Time
	if s.poll > 0 {
		due = time.After(s.poll)
	}
	select {
	case n := <-s.notices:
		return n, nil
	case <-due:
		return ota.Offered{}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// codes returns the stored reports as "update code".
func (s *server) codes() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []string
	for _, r := range s.reports {
		list = append(list, fmt.Sprintf("%s %s", r.Update, r.Results[0].Code))
	}
	return list
}

// once fails unless every byte of an update was sent exactly once.
func (s *server) once(t *testing.T, id ota.UpdateID) {
	t.Helper()
	for i, n := range s.fetched[id] {
		if n != 1 {
			t.Fatalf("byte %d of %s was sent %d times", i, id, n)
		}
	}
}
