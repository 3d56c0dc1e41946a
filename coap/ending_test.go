package coap

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"
)

// keyring is keys that change.
type keyring struct {
	mu   sync.Mutex
	keys map[string]string
	ask  func() // during a handshake
}

func (k *keyring) key(identity string) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	key, ok := k.keys[identity]
	if k.ask != nil {
		defer k.ask()
	}
	if !ok {
		return nil, errors.New("nobody")
	}
	return []byte(key), nil
}

// Whose key changes is out at once, and nobody else.
func TestSessionsEndWithTheirKey(t *testing.T) {
	ring := &keyring{keys: map[string]string{"device1": "secret", "device2": "other"}}
	w := newWorld()
	addr := w.serveDTLS(t, DTLSConfig{PSK: ring.key})
	dial := func(identity, key string) *Client {
		t.Helper()
		c, err := DialDTLS(t.Context(), addr, DTLSClientConfig{Identity: identity, Key: []byte(key)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	answered := func(c *Client, patience time.Duration) bool {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		_, err := c.Get(ctx, "/who")
		return err == nil
	}
	one, two := dial("device1", "secret"), dial("device2", "other")
	if !answered(one, time.Minute) || !answered(two, time.Minute) {
		t.Fatal("nobody is there")
	}
	first := func(p Peer) bool { return p.Identity == "device1" }
	ring.mu.Lock()
	ring.keys["device1"] = "new"
	ring.mu.Unlock()
	w.srv.End(first)
	if answered(one, 500*time.Millisecond) {
		t.Error("the old key is good still")
	}
	if !answered(two, time.Minute) || !answered(dial("device1", "new"), time.Minute) {
		t.Error("others are out, too")
	}

	// Between the question for the key and the end of the handshake.
	ring.mu.Lock()
	ring.ask = func() {
		ring.ask, ring.keys["device1"] = nil, "newest"
		w.srv.End(first)
	}
	ring.mu.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if c, err := DialDTLS(ctx, addr, DTLSClientConfig{Identity: "device1", Key: []byte("new")}); err == nil {
		t.Cleanup(func() { c.Close() })
		if answered(c, 500*time.Millisecond) {
			t.Error("a key that changed meanwhile")
		}
	}
}
