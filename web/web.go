package web

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/a-h/templ"

	"github.com/updraft-ota/updraft/fleet"
	"github.com/updraft-ota/updraft/httpapi"
	"github.com/updraft-ota/updraft/httpapi/token"
	"github.com/updraft-ota/updraft/ota"
)

//go:generate go tool -modfile=../tools/go.mod templ generate

// Options are what the pages are made of. Fleet, Who, Publish and Log are
// needed.
type Options struct {
	Fleet *fleet.Fleet
	// Publish serves POST /publish.
	Publish http.Handler
	// Links lists the devices on the line; nil if nothing tells.
	Links func() []ota.Link
	// Who must know the sessions.
	Who httpapi.Who
	// Sessions is nil if nobody needs to log in.
	Sessions *token.Sessions
	Log      *slog.Logger
}

// Pages serves the pages. Close it before the server waits for its last
// requests: those who watch do not leave by themselves.
type Pages struct {
	Options
	feed feed
	apps applications
	door http.Handler
}

// New makes the pages.
func New(o Options) *Pages {
	p := &Pages{Options: o, feed: newFeed(o.Fleet, o.Log)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", p.operators(p.overview))
	mux.HandleFunc("GET /app", p.operators(p.app))
	mux.HandleFunc("POST /app/publish", p.operators(p.publish))
	mux.HandleFunc("POST /app/notify", p.operators(p.notify))
	mux.HandleFunc("POST /app/remove", p.operators(p.remove))
	for _, path := range []string{"/app/publish", "/app/notify", "/app/remove"} { // where a form without scripts leads to
		mux.Handle("GET "+path, http.RedirectHandler("/", http.StatusSeeOther))
	}
	mux.HandleFunc("GET /manifest", p.operators(p.manifest))
	mux.HandleFunc("GET /updates", p.operators(p.updatesPage))
	mux.HandleFunc("GET /device", p.operators(p.device))
	mux.HandleFunc("GET /devices", p.operators(p.findDevice))
	mux.HandleFunc("GET /live", p.live)
	mux.HandleFunc("GET /assets/{name}", serveAsset)
	if o.Sessions != nil {
		mux.HandleFunc("GET /login", p.login)
		mux.HandleFunc("POST /login", p.logIn)
		mux.HandleFunc("POST /logout", p.logOut)
	}
	p.door = httpapi.Door(mux, o.Log)
	return p
}

// Close ends what is watched.
func (p *Pages) Close() { p.feed.close() }

// Serves reports whether pages are at that path.
func Serves(path string) bool {
	switch path {
	case "/", "/app", "/app/publish", "/app/notify", "/app/remove", "/manifest", "/updates", "/device", "/devices",
		"/live", "/login", "/logout":
		return true
	}
	return strings.HasPrefix(path, "/assets/")
}

// policy is what a page may do: load what this server has, from files; talk to
// this server; be in nobody's frame. Images may be in the style sheet itself.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

func (p *Pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	// With no-referrer, forms sent over plain HTTP would not tell their origin,
	// and be refused as another site's.
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	if token.OverTLS(r) { // browsers complain of it elsewhere
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
	}
	p.door.ServeHTTP(w, r)
}

// operators lets only them in, to what makes an answer. Others are shown the
// way to the login.
func (p *Pages) operators(serve func(w http.ResponseWriter, r *http.Request, ns ota.Namespace) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r, ns, err := p.Who.Operator(r)
		if err == nil {
			err = serve(w, r, ns)
		}
		switch {
		case err == nil:
		case ota.KindOf(err) == ota.KindUnauthenticated && p.Sessions != nil:
			p.toLogin(w, r)
		default:
			p.refuse(w, r, err)
		}
	}
}

func (p *Pages) admit(r *http.Request) (ota.Namespace, error) {
	_, ns, err := p.Who.Operator(r)
	return ns, err
}

// byScript reports whether a script of ours asks, which wants a piece of a
// page rather than a redirect.
func byScript(r *http.Request) bool { return r.Header.Get("HX-Request") == "true" }

// frame is what every page has around it.
func (p *Pages) frame(r *http.Request, title string) frame {
	origin := "http://" + r.Host
	if token.OverTLS(r) {
		origin = "https://" + r.Host
	}
	return frame{Title: title, Here: r.URL.RequestURI(), Logout: p.Sessions != nil, Origin: origin}
}

// watched is a frame that is fetched anew when something changes that the
// query tells, which is that of /live.
func (p *Pages) watched(r *http.Request, title string, about url.Values) (frame, error) {
	since, err := p.Fleet.LastEvent(r.Context())
	f := p.frame(r, title)
	f.Live = liveURL(about, since)
	return f, err
}

// show answers with a page, once all of it is made: an error in the middle
// must not look like a whole page.
func (p *Pages) show(w http.ResponseWriter, r *http.Request, status int, page templ.Component) error {
	var text bytes.Buffer
	if err := page.Render(context.WithoutCancel(r.Context()), &text); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(text.Bytes()) // a browser that left does not want it
	return nil
}

// refuse shows a page that says what was wrong. Faults of ours are logged here.
func (p *Pages) refuse(w http.ResponseWriter, r *http.Request, err error) {
	problem := httpapi.ProblemOf(err)
	if problem.Status >= 500 && r.Context().Err() == nil {
		p.Log.Error("page failed", "method", r.Method, "path", r.URL.Path, "err", err)
	}
	_ = p.show(w, r, problem.Status, refusal(p.frame(r, problem.Title), problem.Detail)) // nothing of it can fail
}
