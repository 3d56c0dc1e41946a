package coap

import "bytes"

// Mux is a ContentHandler that passes requests on by their path. It is to be
// complete before it serves.
type Mux struct {
	all     map[string]Handler
	longest int // of these paths, bytes
}

// Handle has h answer requests for path and everything below it: "/u" is for
// "/u" and "/u/device1", not for "/up". The longest path wins; "/" is for all
// that no other is for.
func (m *Mux) Handle(path string, h Handler) {
	if m.all == nil {
		m.all = make(map[string]Handler)
	}
	m.all[path] = h
	m.longest = max(m.longest, len(path))
}

func (m *Mux) find(path []byte) Handler {
	path = m.prefix(path)
	for len(path) > 1 {
		if h, ok := m.all[string(path)]; ok {
			return h
		}
		path = path[:bytes.LastIndexByte(path, '/')]
	}
	return m.all["/"]
}

// prefix is the part of a path that may be in the table: who sends a thousand
// segments need not be looked up a thousand times.
func (m *Mux) prefix(path []byte) []byte {
	if len(path) <= m.longest {
		return path
	}
	return path[:max(bytes.LastIndexByte(path[:m.longest+1], '/'), 0)]
}

// ServeCOAP passes a request on, and answers 4.04 if it is for nobody.
func (m *Mux) ServeCOAP(w ResponseWriter, r *Request) {
	if h := m.find(r.path); h != nil {
		h.ServeCOAP(w, r)
		return
	}
	w.SetCode(NotFound)
}

// Content asks the handler the request is for, if that can tell.
func (m *Mux) Content(r *Request) (Content, bool) {
	if h, ok := m.find(r.path).(ContentHandler); ok {
		return h.Content(r)
	}
	return Content{}, false
}
