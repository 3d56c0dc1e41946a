package resource

import (
	"encoding/hex"
	"strings"
	"sync"
	"time"

	"github.com/updraft-ota/updraft/coap"
	"github.com/updraft-ota/updraft/fleet"
	"github.com/updraft-ota/updraft/ota"
)

// files knows which file a path means, and what of it devices are fetching.
type files struct {
	fleet     *fleet.Fleet
	shelf     *shelf
	transfers *transfers

	mu     sync.RWMutex
	routes map[string]route // by path, of the default namespace
}

// route is what a path meant in some edition of the fleet's packages.
type route struct {
	book    *book
	edition uint64
}

// maxRoutes bounds the paths that are remembered.
const maxRoutes = 4096

func newFiles(f *fleet.Fleet) *files {
	return &files{fleet: f, shelf: &shelf{fleet: f, books: map[ota.Digest]*book{}}, transfers: newTransfers(), routes: map[string]route{}}
}

func (f *files) close() { f.shelf.close() }

// fileHandler serves files.
type fileHandler struct{ *Door }

// largest is the size of blocks to whoever does not ask for smaller ones: 1024.
const largest = 6

// immutable is for how long caches may keep what never changes.
const immutable = 365 * 24 * time.Hour

// Content answers with a file that is open, and a path that means the same as
// when it was looked up last.
func (h fileHandler) Content(r *coap.Request) (coap.Content, bool) {
	ns := h.namespaceOf(r.Peer)
	if !h.mayRead(r.Peer) || ns != ota.DefaultNamespace {
		return coap.Content{}, false
	}
	b := h.files.begun(r, ns)
	if b == nil {
		b = h.files.known(r.PathBytes())
	}
	if b == nil || !b.isOpen() {
		return coap.Content{}, false
	}
	return h.content(r, ns, b), true
}

// ServeCOAP looks a path up, and opens the file.
func (h fileHandler) ServeCOAP(w coap.ResponseWriter, r *coap.Request) {
	if err := h.admit(r); err != nil {
		h.refuse(w, r, err)
		return
	}
	if !only(w, r, coap.GET) {
		return
	}
	ns := h.namespaceOf(r.Peer)
	b := h.files.begun(r, ns)
	var err error
	if b == nil {
		b, err = h.lookUp(r, ns)
	}
	if err == nil {
		err = b.open()
	}
	if err != nil {
		h.refuse(w, r, err)
		return
	}
	w.SendContent(h.content(r, ns, b))
}

var (
	errClosedDoor = ota.Fail(ota.KindUnauthenticated, "closed_door", "files are for devices that prove who they are: use coaps")
	errNoDevice   = ota.Fail(ota.KindUnauthenticated, "closed_door", "files are for devices: this key or certificate is of none")
)

// content is a file as it goes out to a peer.
func (h fileHandler) content(r *coap.Request, ns ota.Namespace, b *book) coap.Content {
	block, asked := r.Block2()
	if !asked || block.SZX > largest {
		block.SZX = largest
	}
	h.follow(r, h.files.transfers.note(r, ns, b, block), block.Num == 0)
	c := coap.Content{Body: b, Size: b.size, ETag: b.etag, Format: coap.OctetStream}
	path := r.PathBytes()
	if digested(path) {
		c.MaxAge = immutable
	}
	if f, ok := r.Accept(); ok && f == coap.CBOR && isManifest(path) {
		c.Format = coap.CBOR // as no number means a manifest (coap-suit.md 2.1)
	}
	return c
}

// follow notes how far a device is.
func (h fileHandler) follow(r *coap.Request, at *transfer, first bool) {
	by := at.by.Load()
	if first {
		by = h.talks.follow(r, at)
		at.by.Store(by)
	}
	if by != nil {
		h.talks.sent(by, first)
	}
}

// begun is the file of which a peer has blocks already: it gets the others of
// the same one, even if the path means another by now. Nil if it begins.
func (f *files) begun(r *coap.Request, ns ota.Namespace) *book {
	if b, ok := r.Block2(); !ok || b.Num == 0 {
		return nil
	}
	if t := f.transfers.find(r, ns); t != nil {
		return t.book
	}
	return nil
}

// known is the file a path is known to mean now, nil if it must be looked up.
func (f *files) known(path []byte) *book {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if at, ok := f.routes[string(path)]; ok && at.edition == f.fleet.Edition() {
		return at.book
	}
	return nil
}

// lookUp finds the file a path means, and remembers it.
func (h fileHandler) lookUp(r *coap.Request, ns ota.Namespace) (*book, error) {
	f := h.files
	edition := f.fleet.Edition() // before the look
	a, err := f.locate(r, ns)
	if err != nil {
		return nil, err
	}
	b := f.shelf.book(a)
	if ns != ota.DefaultNamespace {
		return b, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.routes) >= maxRoutes {
		clear(f.routes)
	}
	f.routes[r.Path()] = route{b, edition}
	return b, nil
}

// locate asks the fleet what a path means.
func (f *files) locate(r *coap.Request, ns ota.Namespace) (ota.Artifact, error) {
	s := r.Segments()
	if len(s) < 2 {
		return ota.Artifact{}, errNothingThere
	}
	if digested(r.PathBytes()) {
		prefix, ok := ota.DigestPrefix(s[1])
		if !ok || len(s) != 2 {
			return ota.Artifact{}, errNothingThere
		}
		return f.fleet.LocateDigest(r.Context(), ns, prefix)
	}
	last := len(s) - 1
	_, a, err := f.fleet.Locate(r.Context(), ns, strings.Join(s[:last], "/"), s[last])
	return a, err
}

var errNothingThere = ota.Fail(ota.KindNotFound, "missing_entity", "there is nothing of that name")

// digested reports whether a path names a file by its digest.
func digested(path []byte) bool {
	return len(path) > 3 && path[0] == '/' && (path[1] == 'b' || path[1] == 'm') && path[2] == '/'
}

// isManifest reports whether a path names a manifest.
func isManifest(path []byte) bool {
	s := string(path)
	if strings.HasPrefix(s, "/m/") {
		return true
	}
	_, ok := ota.SchemeOf(s[strings.LastIndexByte(s, '/')+1:])
	return ok
}

// etagOf is the ETag of a file.
func etagOf(d ota.Digest) string {
	sum, _ := hex.DecodeString(string(d))
	return string(sum[:min(etagBytes, len(sum))])
}
