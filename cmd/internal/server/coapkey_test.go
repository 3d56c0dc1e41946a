package server

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/updraft-ota/updraft/coap"
)

// asked posts JSON as an operator, and reads the answer's members.
func (l *life) asked(path, body string) map[string]string {
	l.t.Helper()
	answer, err := http.Post("http://"+l.HTTP+path, "application/json", strings.NewReader(body))
	if err != nil {
		l.t.Fatal(err)
	}
	defer answer.Body.Close()
	var members map[string]string
	if err := json.NewDecoder(answer.Body).Decode(&members); err != nil || answer.StatusCode != http.StatusCreated {
		l.t.Fatalf("%s: %s, %v", path, answer.Status, err)
	}
	return members
}

// A session lasts as long as the key it began with, and no other secret of its
// device matters to it.
func TestASessionOfCoapsEndsWithItsKey(t *testing.T) {
	c := testConfig(t.TempDir())
	c.Auth, c.CoAPS, c.CoAPPublic = AuthNone, 0, false
	l := start(t, c)
	l.upload("app", map[string]string{"manifest": "m"})
	node := l.asked("/api/v1/devices/constrained", `{"deviceName":"node","vendor":"example.com","class":"lamp","psk":true}`)
	dial := func(key string) *coap.Client {
		t.Helper()
		client, err := coap.DialDTLS(t.Context(), l.CoAPS, coap.DTLSClientConfig{Identity: node["uuid"], Key: []byte(key)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { client.Close() })
		return client
	}
	gets := func(client *coap.Client, patience time.Duration) bool {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		for _, path := range []string{"/app/manifest", "/u/node?slot=0"} {
			if m, err := client.Get(ctx, path); err != nil || m.Code == coap.Unauthorized || m.Code == coap.Forbidden {
				return false
			}
		}
		return true
	}
	before := dial(node["psk_key"])
	if !gets(before, time.Minute) {
		t.Fatal("it cannot get in")
	}
	l.asked("/api/v1/devices/"+node["uuid"]+"/credentials", "")
	if !gets(before, time.Minute) {
		t.Error("new credentials for HTTP ended it")
	}
	renewed := l.asked("/api/v1/devices/"+node["uuid"]+"/psk", "")
	if gets(before, time.Second) {
		t.Error("it outlived its key")
	}
	if !gets(dial(renewed["psk_key"]), time.Minute) {
		t.Error("the new key is not good")
	}
}
