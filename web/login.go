package web

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/updraft-ota/updraft/httpapi"
)

func (p *Pages) login(w http.ResponseWriter, r *http.Request) {
	to := local(r.URL.Query().Get("to"))
	if _, err := p.admit(r); err == nil {
		http.Redirect(w, r, to, http.StatusSeeOther)
		return
	}
	p.showLogin(w, r, http.StatusOK, to, "")
}

func (p *Pages) logIn(w http.ResponseWriter, r *http.Request) {
	form, err := readForm(w, r)
	if err != nil {
		p.refuse(w, r, err)
		return
	}
	to := local(form.Get("to"))
	if err := p.Sessions.Login(w, r, form.Get("token")); err != nil {
		problem := httpapi.ProblemOf(err)
		if problem.Status == http.StatusTooManyRequests {
			w.Header().Set("Retry-After", "1")
		}
		p.showLogin(w, r, problem.Status, to, problem.Detail)
		return
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

func (p *Pages) logOut(w http.ResponseWriter, r *http.Request) {
	p.Sessions.Logout(w, r)
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

func (p *Pages) showLogin(w http.ResponseWriter, r *http.Request, status int, to, problem string) {
	f := p.frame(r, "Log in")
	f.Logout, f.Bare = false, true
	_ = p.show(w, r, status, loginPage(f, to, problem)) // nothing of it can fail
}

// toLogin shows a browser the way to the login, and from there back. A script
// is told instead, as its page may hold what somebody typed.
func (p *Pages) toLogin(w http.ResponseWriter, r *http.Request) {
	httpapi.Abandon(w, r)
	if byScript(r) {
		_ = p.show(w, r, http.StatusUnauthorized, sessionEnded()) // nothing of it can fail
		return
	}
	to := "/login"
	if r.Method == http.MethodGet && r.URL.RequestURI() != "/" {
		to += "?" + url.Values{"to": {r.URL.RequestURI()}}.Encode()
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// local is where to go after the login, if that is a page of ours.
func local(to string) string {
	u, err := url.Parse(to)
	if err != nil || u.IsAbs() || u.Host != "" || strings.HasPrefix(to, "//") || !Serves(u.Path) {
		return "/"
	}
	return u.RequestURI()
}
