package web_test

import (
	"strings"
	"testing"
)

// A server that is not this machine, over plain HTTP, is one a browser tells
// less of where its forms come from: no Sec-Fetch-Site.
func TestLoggingInOverPlainHTTPFromElsewhere(t *testing.T) {
	w := guarded(t)
	w.put("app", "f", "x")
	_, port, _ := strings.Cut(strings.TrimPrefix(w.srv.URL, "http://"), ":")
	one := browse(t, "http://updraft.test:"+port, "")
	one.types(`#token`, "secret\r")
	one.sees("1 version")
	one.live()
	one.click(`.state form button`)
	one.sees("Operators’ token")
}
