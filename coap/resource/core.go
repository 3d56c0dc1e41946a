package resource

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync"

	"github.com/updraft-ota/updraft/coap"
	"github.com/updraft-ota/updraft/ota"
)

// link is a resource as /.well-known/core tells of it (RFC 6690).
type link struct {
	path, kind string // kind is the resource type
	size       int64  // -1: not told
	formats    string
	more       string
}

func (l link) String() string {
	s := "<" + l.path + ">"
	if l.kind != "" {
		s += `;rt="` + l.kind + `"`
	}
	if l.formats != "" {
		s += ";ct=" + l.formats
	}
	if l.size >= 0 {
		s += fmt.Sprintf(";sz=%d", l.size)
	}
	return s + l.more
}

// The types of resources here.
const (
	kindPayload  = "suit.payload"
	kindManifest = "suit.manifest"
)

// standing are the resources that are always there.
var standing = []link{
	{path: "/b", kind: kindPayload, size: -1, formats: "42"},
	{path: "/m", kind: kindManifest, size: -1, formats: "42"},
	{path: "/u", kind: "updraft.desired", size: -1, formats: "60", more: ";obs"},
	{path: "/r", kind: "updraft.report", size: -1, formats: "60"},
	{path: "/e", kind: "updraft.enrol", size: -1, formats: "60"},
	{path: "/rd", kind: "core.rd", size: -1},
}

// maxCore bounds the answer, in bytes: this is what is asked for most often in
// somebody else's name (coap-suit.md 2.9).
const maxCore = 16 << 10

// core tells what there is: what always is, and then files, those of the newest
// version of each name, as far as there is room.
func (d *Door) core(w coap.ResponseWriter, r *coap.Request) {
	if err := d.admit(r); err != nil {
		d.refuse(w, r, err)
		return
	}
	if !only(w, r, coap.GET) {
		return
	}
	links, err := d.published(r)
	if err != nil {
		d.refuse(w, r, err)
		return
	}
	var list []string
	room := maxCore
	for _, l := range append(standing[:len(standing):len(standing)], links...) {
		s := l.String()
		if !l.matches(r) || len(s)+1 > room {
			continue
		}
		room -= len(s) + 1
		list = append(list, s)
	}
	coap.Write(w, coap.ContentCode, coap.LinkFormat, []byte(strings.Join(list, ",")))
}

// listing are the links of one edition of the packages: anybody may ask, for
// every block anew, and must not have the store list all each time.
type listing struct {
	mu      sync.Mutex
	of      ota.Namespace
	edition uint64
	links   []link // nil: nobody has asked yet
}

// published lists the files that paths mean.
func (d *Door) published(r *coap.Request) ([]link, error) {
	l, ns := &d.listing, d.namespaceOf(r.Peer)
	l.mu.Lock()
	defer l.mu.Unlock()
	edition := d.Fleet.Edition() // before the look
	if l.links != nil && l.of == ns && l.edition == edition {
		return l.links, nil
	}
	links, err := d.list(r.Context(), ns)
	if err == nil {
		l.of, l.edition, l.links = ns, edition, links
	}
	return links, err
}

func (d *Door) list(ctx context.Context, ns ota.Namespace) ([]link, error) {
	packages, err := d.Fleet.Packages(ctx, ota.PackageFilter{Namespace: ns, Newest: true, Limit: maxCore / 32})
	if err != nil {
		return nil, err
	}
	links, seen := []link{}, map[string]bool{}
	for _, p := range packages {
		for _, a := range p.Artifacts {
			l := link{path: "/" + url.PathEscape(p.ID.Name) + "/" + url.PathEscape(a.Name), kind: kindPayload, size: a.Size, formats: "42"}
			if _, ok := ota.SchemeOf(a.Name); ok {
				l.kind = kindManifest
			}
			if !seen[l.path] {
				seen[l.path] = true
				links = append(links, l)
			}
		}
	}
	return links, nil
}

// matches reports whether a link is asked for (RFC 6690 4.1): by one query
// that may end in *, or by none.
func (l link) matches(r *coap.Request) bool {
	for q := range r.Queries() {
		name, want, _ := strings.Cut(q, "=")
		has := ""
		switch name {
		case "href":
			has = l.path
		case "rt":
			has = l.kind
		case "ct":
			has = l.formats
		case "sz":
			has = fmt.Sprint(l.size)
		case "obs":
			if !strings.Contains(l.more, ";obs") {
				return false
			}
			continue
		default:
			return false
		}
		if prefix, any := strings.CutSuffix(want, "*"); has != want && !(any && strings.HasPrefix(has, prefix)) {
			return false
		}
	}
	return true
}
