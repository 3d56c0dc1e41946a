package coap

import (
	"bytes"
	"crypto/sha256"
	"errors"
)

// response collects what a handler answers.
type response struct {
	limit      int // of the payload, bytes
	code       Code
	options    Options
	payload    []byte
	content    *Content
	observable bool
	challenge  bool
	err        error
}

var (
	errLongAnswer = errors.New("coap: the answer is longer than Limits.Body")
	errNoResponse = errors.New("coap: the handler's code is not one of responses")
)

func (w *response) SetCode(c Code)        { w.code = c }
func (w *response) Options() *Options     { return &w.options }
func (w *response) SendContent(c Content) { w.content = &c }
func (w *response) Observable()           { w.observable = true }
func (w *response) Challenge()            { w.challenge = true }

func (w *response) Write(p []byte) (int, error) {
	if len(w.payload)+len(p) > w.limit {
		w.err = errLongAnswer
		return 0, w.err
	}
	w.payload = append(w.payload, p...)
	return len(p), nil
}

// message is the response to r, of which blocks have at most 2^(max+4) bytes;
// type, ID and token are the sender's matter. After an error it is 5.00.
func (w *response) message(r *Request, max uint8) (Message, error) {
	if w.err != nil {
		return Message{Code: InternalServerError}, w.err
	}
	if w.code == Empty {
		w.code = defaultCode(r.Code)
	}
	if !w.code.IsResponse() {
		return Message{Code: InternalServerError}, errNoResponse
	}
	if w.content == nil && w.code == ContentCode {
		w.content = w.written()
	}
	if w.content == nil || w.code.Class() != 2 {
		if len(w.payload) > 1<<(max+4) {
			return Message{Code: InternalServerError}, errLongAnswer
		}
		return Message{Code: w.code, Options: w.options, Payload: w.payload}, nil
	}
	if r.block > 0 {
		max = min(max, szx(r.block))
	}
	p := w.content.part(r, max)
	b, err := p.appendTo(nil, w.content)
	if err != nil {
		return Message{Code: InternalServerError}, err
	}
	m := Message{Code: p.code}
	if m.Options, m.Payload, err = parseOptions(b, nil); err != nil {
		return Message{Code: InternalServerError}, err
	}
	if p.code == ContentCode || p.code == Valid {
		for _, o := range w.options {
			m.Options.Add(o.ID, o.Value)
		}
	}
	return m, nil
}

// written makes content of what was written, so that it is cut into blocks
// and validated like any other. It is named by its digest unless the handler
// named it.
func (w *response) written() *Content {
	c := &Content{Body: bytes.NewReader(w.payload), Size: int64(len(w.payload))}
	if f, ok := w.options.Uint(ContentFormat); ok {
		c.Format = Format(f)
	}
	if tag, ok := w.options.Get(ETag); ok {
		c.ETag = string(tag)
	} else if len(w.payload) > 0 {
		sum := sha256.Sum256(w.payload)
		c.ETag = string(sum[:8])
	}
	w.options.Del(ContentFormat)
	w.options.Del(ETag)
	return c
}
