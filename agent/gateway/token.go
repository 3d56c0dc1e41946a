package gateway

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"syscall"

	"github.com/updraft-ota/updraft/ota"
)

// Token is what a door on the network asks for. The empty one asks for nothing.
type Token string

const (
	shortestToken = 16
	longestToken  = 512
	tokenLetters  = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+"
)

// ReadToken reads a token from a file, white space around it left out; an
// empty path is the empty token. It fails with KindInvalid if the file is not
// a regular one that belongs to us or root and to nobody else (0600), or if
// the token is not 16 to 512 of A-Z a-z 0-9 - . _ ~ +, which is what both a
// Bearer token (RFC 6750) and a sub-protocol (RFC 6455) can hold.
func ReadToken(path string) (Token, error) {
	if path == "" {
		return "", nil
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a FIFO must not hold us up
	if err != nil {
		return "", fmt.Errorf("gateway.token_file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("gateway.token_file: %w", err)
	}
	owner := info.Sys().(*syscall.Stat_t).Uid
	switch {
	case !info.Mode().IsRegular():
		return "", ota.Invalid("gateway.token_file: %s is not a regular file", path)
	case info.Mode().Perm()&0o077 != 0:
		return "", ota.Invalid("gateway.token_file: others can read or write %s: chmod 600 it", path)
	case owner != 0 && int(owner) != os.Geteuid():
		return "", ota.Invalid("gateway.token_file: %s belongs to user %d", path, owner)
	}
	text, err := io.ReadAll(io.LimitReader(f, 2*longestToken))
	if err != nil {
		return "", fmt.Errorf("gateway.token_file: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if len(token) < shortestToken || len(token) > longestToken || strings.Trim(token, tokenLetters) != "" {
		return "", ota.Invalid("gateway.token_file: %s must hold %d to %d letters, digits or -._~+, such as openssl rand -hex 32 prints", path, shortestToken, longestToken)
	}
	return Token(token), nil
}

// subprotocol is how a web page, which cannot set headers, shows a token when
// it opens a websocket.
const subprotocol = "bearer."

// shown reports whether r proves to know the token: "Authorization: Bearer
// TOKEN", or the sub-protocol "bearer.TOKEN" where a websocket is opened.
func (t Token) shown(r *http.Request) bool {
	if t == "" {
		return true
	}
	scheme, given, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "Bearer") && t.equals(strings.TrimSpace(given)) {
		return true
	}
	return t.protocol(r) != ""
}

// protocol is the offered sub-protocol that shows the token, "" if none does.
func (t Token) protocol(r *http.Request) string {
	for p := range strings.SplitSeq(strings.Join(r.Header.Values("Sec-WebSocket-Protocol"), ","), ",") {
		p = strings.TrimSpace(p)
		if given, ok := strings.CutPrefix(p, subprotocol); ok && t.equals(given) {
			return p
		}
	}
	return ""
}

// equals takes as long for a good guess as for a bad one.
func (t Token) equals(given string) bool {
	a, b := sha256.Sum256([]byte(t)), sha256.Sum256([]byte(given))
	return t != "" && subtle.ConstantTimeCompare(a[:], b[:]) == 1
}
