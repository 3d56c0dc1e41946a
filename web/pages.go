package web

import (
	"net/http"
	"net/url"
	"strconv"
)

// pages are the ways through a long list, of which one page is shown.
type pages struct {
	Of          string // what is listed
	From, Until int    // from 0; Until is that of the next page
	Total       int
	Back, More  string // where they are; "" if there are none
}

// fromOf is where the page begins that a request asks for. What is no number
// is the first page.
func fromOf(r *http.Request) int {
	from, _ := strconv.Atoi(r.URL.Query().Get("from"))
	return max(0, from)
}

// paged finds the ways from a page with that many shown, each page holding
// max. The address of a page is made of the path, a query and a fragment.
func paged(of string, from, shown, max, total int, path string, query url.Values, fragment string) pages {
	at := func(from int) string {
		q := url.Values{}
		for key, v := range query {
			q[key] = v
		}
		if q.Del("from"); from > 0 {
			q.Set("from", strconv.Itoa(from))
		}
		u := url.URL{Path: path, RawQuery: q.Encode(), Fragment: fragment}
		return u.String()
	}
	p := pages{Of: of, From: from, Until: from + shown, Total: total}
	if from > 0 {
		p.Back = at(from - min(from, max))
	}
	if p.Until < total {
		p.More = at(p.Until)
	}
	return p
}
