package fleet

import (
	"context"
	"encoding/hex"
	"net/url"
	"strings"

	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/suit"
)

// shelf finds the files that the URIs of a manifest name, for a manifest that
// lies under a publish id with these versions.
func (f *Fleet) shelf(ctx context.Context, ns ota.Namespace, id string, newest []ota.Package) func(uri string) (suit.File, error) {
	return func(uri string) (suit.File, error) {
		folder, name, ours := f.resolve(uri, id)
		a, found := ota.Artifact{}, false
		switch own, err := ota.CleanPublishID(folder); {
		case err != nil && ours:
			return suit.File{}, suit.ErrNotStored
		case err != nil:
			return suit.File{}, suit.ErrElsewhere
		case own == id:
			ours = true
			_, a, found = ota.LocateFile(newest, name)
		default:
			_, theirs, err := f.Versions(ctx, ns, own)
			if err != nil && ota.KindOf(err) != ota.KindNotFound {
				return suit.File{}, err
			}
			ours = ours || len(theirs) > 0
			_, a, found = ota.LocateFile(theirs, name)
		}
		switch {
		case !ours:
			return suit.File{}, suit.ErrElsewhere
		case !found:
			return suit.File{}, suit.ErrNotStored
		}
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
