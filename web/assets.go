package web

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"mime"
	"net/http"
	"path"
	"strings"
)

//go:embed assets/*.css assets/*.js assets/*.svg assets/vendor/*.js assets/vendor/*.css assets/vendor/*.txt
var files embed.FS

// asset is a file under a name that changes with its content, so that browsers
// may keep it for ever.
type asset struct {
	url       string
	mediaType string
	text      []byte
}

var (
	picoCSS    = load("vendor/pico.min.css")
	updraftCSS = load("updraft.css")
	// Scripts are one file: htmx looks at the page as soon as it can, which must
	// not be before the others listen.
	scripts  = load("updraft.js", "vendor/htmx.min.js", "vendor/hx-sse.min.js")
	markSVG  = load("updraft.svg")
	licences = load("vendor/licences.txt")

	assets = byURL(picoCSS, updraftCSS, scripts, markSVG, licences)
)

// load reads a file, or several into one that goes by the name of the first.
func load(names ...string) asset {
	var text []byte
	for _, name := range names {
		part, err := files.ReadFile("assets/" + name)
		if err != nil {
			panic(err) // it was there when we were built
		}
		text = append(append(text, part...), '\n')
	}
	sum := sha256.Sum256(text)
	base, ext := path.Base(names[0]), path.Ext(names[0])
	return asset{
		url:       "/assets/" + strings.TrimSuffix(base, ext) + "." + hex.EncodeToString(sum[:8]) + ext,
		mediaType: mime.TypeByExtension(ext),
		text:      text,
	}
}

func byURL(list ...asset) map[string]asset {
	m := map[string]asset{}
	for _, a := range list {
		m[a.url] = a
	}
	return m
}

// serveAsset serves a file under its name; another version of it is not here.
func serveAsset(w http.ResponseWriter, r *http.Request) {
	a, ok := assets[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", a.mediaType)
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	_, _ = w.Write(a.text)
}
