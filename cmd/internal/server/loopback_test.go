package server

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestOnlyLoopbackNamesAreAnswered(t *testing.T) {
	h := onlyLoopback(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	for host, want := range map[string]int{
		"localhost": 204, "localhost:8080": 204, "LocalHost.:1": 204, "127.0.0.1": 204, "127.9.9.9:80": 204, "[::1]:8080": 204,
		"[::1]": 204, "[::ffff:127.0.0.1]:80": 204,
		"": 421, "example.org": 421, "localhost.example.org": 421, "127.0.0.1.example.org": 421, "192.168.1.1:8080": 421,
		"[::2]:80": 421, "0.0.0.0": 421, "127.0.0.1@example.org": 421, "2130706433": 421, "127.1": 421,
	} {
		r := httptest.NewRequest("GET", "/healthz", nil)
		r.Host = host
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("Host %q: %d, want %d", host, w.Code, want)
		}
		if w.Code == 421 && w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("Host %q: no problem document but %s", host, w.Header().Get("Content-Type"))
		}
	}
}
