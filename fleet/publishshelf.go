package fleet

import (
	"context"
	"encoding/hex"
	"net/url"
	"strings"

	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/suit"
)

// shelf is where the files lie that the URIs of a manifest name.
type shelf struct {
	*Fleet
	ctx    context.Context
	ns     ota.Namespace
	id     string        // publish id of the manifest
	newest []ota.Package // versions of that, as they will be
}

// stored answers suit.Rules.
func (s shelf) stored(uri string) (suit.File, error) {
	a, err := s.find(uri)
	if err != nil {
		return suit.File{}, err
	}
	return s.shelved(s.ctx, a)
}

// find fails with suit.ErrNotStored or suit.ErrElsewhere if there is no such
// file.
func (s shelf) find(uri string) (ota.Artifact, error) {
	folder, name, ours := s.resolve(uri, s.id)
	missing := suit.ErrElsewhere
	if ours {
		missing = suit.ErrNotStored
	}
	if prefix, ok := ota.DigestPrefix(name); ok && (folder == "b" || folder == "m") {
		return s.byDigest(prefix, missing)
	}
	id, err := ota.CleanPublishID(folder)
	if err != nil {
		return ota.Artifact{}, missing
	}
	newest := s.newest
	if id != s.id {
		if _, newest, err = s.Versions(s.ctx, s.ns, id); err != nil && ota.KindOf(err) != ota.KindNotFound {
			return ota.Artifact{}, err
		}
	}
	if _, a, ok := ota.LocateFile(newest, name); ok {
		return a, nil
	}
	if len(newest) > 0 { // whatever the host is called
		missing = suit.ErrNotStored
	}
	return ota.Artifact{}, missing
}

// byDigest looks at what is about to be published, too.
func (s shelf) byDigest(prefix string, missing error) (ota.Artifact, error) {
	for _, p := range s.newest {
		for _, a := range p.Artifacts {
			if strings.HasPrefix(string(a.SHA256), prefix) {
				return a, nil
			}
		}
	}
	a, err := s.LocateDigest(s.ctx, s.ns, prefix)
	if err != nil && ota.KindOf(err) == ota.KindNotFound {
		err = missing
	}
	return a, err
}

// shelved opens a file to be looked into.
func (f *Fleet) shelved(ctx context.Context, a ota.Artifact) (suit.File, error) {
	sum, err := hex.DecodeString(string(a.SHA256))
	if err != nil {
		return suit.File{}, err
	}
	b, err := f.open(ctx, a)
	if err != nil {
		return suit.File{}, err
	}
	return suit.File{Size: a.Size, SHA256: sum, Content: b}, nil
}

// beside reports whether a URI of a manifest is one of a file beside it.
func beside(uri string) bool {
	u, err := url.Parse(uri)
	return err == nil && u.Scheme == "" && u.Host == "" && u.Path != "" && u.Path[0] != '/'
}

// resolve reads a URI of a manifest that lies under a publish id. A server may
// have more names than it knows, so that the name of another host is only a
// hint: ours is true if the URI says that the file is here. Where a CoAP path
// leads, only its segments tell.
func (f *Fleet) resolve(uri, id string) (folder, name string, ours bool) {
	u, err := url.Parse(uri)
	if err != nil || u.Opaque != "" {
		return "", "", false
	}
	switch u.Scheme {
	case "":
		ours = u.Host == ""
	case "coap", "coaps", "coap+tcp", "coaps+tcp":
		root, err := url.Parse(f.CoAPRoot())
		ours = err == nil && root.Hostname() != "" && strings.EqualFold(root.Hostname(), u.Hostname())
	default:
		return "", "", false
	}
	if !strings.HasPrefix(u.Path, "/") && ours { // beside the manifest
		return id, u.Path, true
	}
	path := strings.TrimPrefix(u.Path, "/")
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		return path[:i], path[i+1:], ours
	}
	return "", path, ours
}
