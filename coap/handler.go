package coap

import (
	"fmt"
	"io"
	"time"
)

// Handler answers requests, much as in net/http. It is called in a goroutine
// of its own and may take its time: a client that waits for more than a second
// gets an acknowledgement first. A GET whose answer is longer than a block is
// asked for again for every block, unless it is a ContentHandler.
type Handler interface {
	ServeCOAP(w ResponseWriter, r *Request)
}

// HandlerFunc is a function that is a Handler.
type HandlerFunc func(w ResponseWriter, r *Request)

// ServeCOAP calls f.
func (f HandlerFunc) ServeCOAP(w ResponseWriter, r *Request) { f(w, r) }

// ContentHandler is a Handler that may know at once what a GET is for. Content
// is called where datagrams are read and all peers wait for it: it must not
// block. The request is good until it returns. A file served that way costs
// no memory per block if PathBytes is looked up instead of Path.
type ContentHandler interface {
	Handler
	// Content returns what to answer; ok is false to have ServeCOAP called.
	Content(r *Request) (c Content, ok bool)
}

// Content is something of known size to be served in blocks of any size, from
// any block on, without anything remembered between them.
type Content struct {
	Body io.ReaderAt // may be read in many goroutines at once
	Size int64       // bytes
	// ETag names this very content, in 1 to 8 bytes; empty if nothing does,
	// and then a client cannot tell when the content changes between blocks.
	ETag   string
	Format Format
	// MaxAge is for how long the content may be kept by a cache, in whole
	// seconds; 0 leaves it at CoAP's 60.
	MaxAge time.Duration
}

// ResponseWriter takes the answer to a request. If nothing is called, it is
// 2.05 for GET and FETCH, 2.02 for DELETE, 2.04 for the others, and empty. A
// 2.05 is cut into blocks if it is long; any other must fit one, or 5.00 is
// answered. To a peer that is not proven, an answer of more than
// Limits.Unproven bytes becomes a challenge, and the request comes again: what
// changes something is to be answered in few words.
type ResponseWriter interface {
	// SetCode sets the response code.
	SetCode(Code)
	// Options are those of the response, to be added to. Block and Observe
	// options are the server's matter.
	Options() *Options
	// Write appends to the payload. It fails if that exceeds Limits.Body.
	Write(p []byte) (int, error)
	// SendContent makes c the answer, in place of what was written. Its Body
	// is read before the next request is, but after the handler.
	SendContent(c Content)
	// Challenge has a client that has not proven its address do so, in place
	// of any other answer: the request comes again then. It is for what makes
	// the server send something there later.
	Challenge()
	// Observable lets the client observe the resource, if it asks to: it is
	// notified when Server.Changed is called for the path, with what the
	// handler then answers to the same request.
	Observable()
}

// Fail answers with a code of class 4 or 5 and a text for humans.
func Fail(w ResponseWriter, code Code, format string, args ...any) {
	w.SetCode(code)
	fmt.Fprintf(w, format, args...)
}

// Write answers with a code, a Content-Format and a payload.
func Write(w ResponseWriter, code Code, format Format, payload []byte) {
	w.SetCode(code)
	w.Options().SetUint(ContentFormat, uint32(format))
	_, _ = w.Write(payload) // too long is answered with 5.00
}

// defaultCode is the answer of a handler that does not say.
func defaultCode(method Code) Code {
	switch method {
	case GET, FETCH:
		return ContentCode
	case DELETE:
		return Deleted
	}
	return Changed
}
