package node

import (
	"cmp"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

// Codes of JSON-RPC errors (rvi.md 2.7).
const (
	codeParse        = -32700
	codeRequest      = -32600
	codeMethod       = -32601
	codeParams       = -32602
	codeInternal     = -32603
	codeUnprocessed  = -32100
	codeUnauthorized = -32001
)

// request is a JSON-RPC call at the edge. Without an id it wants no answer.
type request struct {
	id     []byte
	method string
	params []byte
}

// rpcError is a call that was refused; reason is a slug of rvi.md 7.
type rpcError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Data    struct {
		Reason string `json:"reason"`
	} `json:"data"`
}

func (e *rpcError) Error() string { return e.Message }

func refuse(code int, reason, message string) *rpcError {
	e := &rpcError{Code: code, Message: message}
	e.Data.Reason = reason
	return e
}

// readRequest reads a call. strict demands the jsonrpc member, which programs at
// websockets spell otherwise (rvi.md 2.8).
func readRequest(body []byte, strict bool) (r request, e *rpcError) {
	if checkJSON(body) != nil {
		return request{}, refuse(codeParse, "parse_error", "the body is not JSON")
	}
	var version, method []byte
	if !members(body, func(name string, v []byte) {
		switch name {
		case "jsonrpc":
			version = v
		case "id":
			r.id = v
		case "method":
			method = v
		case "params":
			r.params = v
		}
	}) {
		return request{}, refuse(codeRequest, "invalid_request", "a call is a JSON object; batches are not supported")
	}
	if r.id != nil && (r.id[0] == '{' || r.id[0] == '[' || r.id[0] == 't' || r.id[0] == 'f') {
		return request{}, refuse(codeRequest, "invalid_request", "an id is a number, a string or null")
	}
	if v, _ := text(version); strict && v != "2.0" {
		return r, refuse(codeRequest, "invalid_request", `jsonrpc must be "2.0"`)
	}
	var ok bool
	if r.method, ok = text(method); !ok {
		return r, refuse(codeRequest, "invalid_request", "method is missing")
	}
	return r, nil
}

// result is what a call returns, with the status 0 of all that succeed.
type result struct {
	Status      int       `json:"status"`
	Service     string    `json:"service,omitempty"`
	Services    *[]string `json:"services,omitempty"`
	Prefix      string    `json:"node_service_prefix,omitempty"`
	Transaction *int64    `json:"transaction_id,omitempty"`
}

// place finds or makes the courier for a registration's params.
type place func(name string, params fields) (*courier, *rpcError)

// call does what a local program asks for (rvi.md 2.3).
func (n *Node) call(r request, where place) (result, *rpcError) {
	if r.params == nil {
		return result{}, refuse(codeParams, "invalid_params", "params is missing")
	}
	p := fields{}
	members(r.params, func(name string, v []byte) { p[name] = v })
	switch r.method {
	case "register_service":
		return n.register(p, where)
	case "unregister_service":
		return n.unregister(p)
	case "get_available_services":
		n.mu.Lock()
		defer n.unlock()
		list := n.services()
		return result{Services: &list}, nil
	case "get_node_service_prefix":
		return n.tellPrefix(p), nil
	case "message":
		return n.message(p)
	}
	return result{}, refuse(codeMethod, "method_not_found", "there is no such method")
}

// fields are the members of params.
type fields map[string][]byte

func (p fields) text(name string) (string, *rpcError) {
	if p[name] == nil {
		return "", refuse(codeParams, "missing_field:"+name, name+" is missing")
	}
	s, ok := text(p[name])
	if !ok {
		return "", refuse(codeParams, "wrong_type:"+name, name+" must be a string")
	}
	return s, nil
}

// service is the name of a service to register, under either of its names.
func (p fields) service() (string, *rpcError) {
	if p["service"] == nil && p["service_name"] != nil {
		return p.text("service_name")
	}
	return p.text("service")
}

func (n *Node) register(p fields, where place) (result, *rpcError) {
	local, e := p.service()
	if e != nil {
		return result{}, e
	}
	name, err := n.fullName(local)
	if err != nil {
		return result{}, refuseFor(err)
	}
	n.mu.Lock()
	before := n.local[name]
	calm := before != nil || n.arrivals.AllowN(time.Now(), 1)
	n.unlock()
	if !calm {
		return result{}, n.failed(ota.Fail(ota.KindTooMany, "too_many_changes", "services come and go too fast"), name)
	}
	c, e := where(name, p)
	if e != nil {
		return result{}, e
	}
	if err := n.mayHost(name); err != nil {
		return result{}, refuseFor(err)
	}
	err = n.change(func(addresses map[string]string) {
		delete(addresses, name)
		if c.url != nil {
			addresses[name] = c.to
		}
	}, func() error {
		if now := n.local[name]; now != nil && now != before && now.courier != c {
			return nameTaken() // while it was found out that the name is free
		}
		return n.host(name, c, nil)
	})
	if err != nil {
		return result{}, n.failed(err, name)
	}
	return result{Service: name}, nil
}

func nameTaken() error {
	return ota.Fail(ota.KindForbidden, "name_taken", "the service is registered from elsewhere, and still there")
}

// failed tells a failure that is not the caller's, and returns what it hears of it.
func (n *Node) failed(err error, name string) *rpcError {
	if kind := ota.KindOf(err); kind == ota.KindInternal || kind == ota.KindTooMany {
		n.mu.Lock()
		n.grumble(cmp.Or(ota.CodeOf(err), "internal"), "edge", name, err.Error())
		n.unlock()
	}
	return refuseFor(err)
}

// unregister takes a full name; any other does nothing (rvi.md 2.3).
func (n *Node) unregister(p fields) (result, *rpcError) {
	name, e := p.service()
	if e != nil {
		return result{}, e
	}
	err := n.change(func(addresses map[string]string) { delete(addresses, name) }, func() error {
		if s := n.local[name]; s != nil && s.handler == nil {
			n.unhost(name)
		}
		return nil
	})
	if err != nil {
		return result{}, n.failed(err, name)
	}
	return result{}, nil
}

func (n *Node) tellPrefix(p fields) result {
	switch full := string(p["full"]); full {
	case "", "true", "1":
		return result{Prefix: n.prefix}
	case "false", "0":
		org, _, _ := strings.Cut(n.prefix, "/")
		return result{Prefix: org}
	}
	return result{Status: 1}
}

func (n *Node) message(p fields) (result, *rpcError) {
	name, e := p.text("service_name")
	if e != nil {
		return result{}, e
	}
	if p["timeout"] == nil {
		return result{}, refuse(codeParams, "missing_field:timeout", "timeout is missing")
	}
	timeout, ok := integer(p["timeout"])
	if !ok {
		return result{}, refuse(codeParams, "wrong_type:timeout", "timeout must be an integer")
	}
	expires, err := Expiry(timeout, n.now())
	if err != nil {
		return result{}, refuse(codeParams, "bad_value:timeout", err.Error())
	}
	if p["parameters"] == nil {
		return result{}, refuse(codeParams, "missing_field:parameters", "parameters is missing")
	}
	id, err := n.send(&parcel{service: name, params: p["parameters"], expires: expires})
	if err != nil {
		return result{}, refuseFor(err)
	}
	return result{Transaction: &id}, nil
}

// refuseFor turns one of our errors into JSON-RPC.
func refuseFor(err error) *rpcError {
	e, ok := errors.AsType[*ota.Error](err)
	if !ok {
		return refuse(codeInternal, "internal", "internal error")
	}
	switch e.Kind {
	case ota.KindForbidden:
		return refuse(codeUnauthorized, e.Code, e.Text)
	case ota.KindInvalid:
		return refuse(codeParams, e.Code, e.Text)
	case ota.KindInternal:
		return refuse(codeInternal, e.Code, "internal error")
	}
	return refuse(codeUnprocessed, e.Code, e.Text)
}

// answer is what goes back over HTTP.
type answer struct {
	JSONRPC string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Result  *result         `json:"result,omitempty"`
	Error   *rpcError       `json:"error,omitempty"`
}

func answerTo(id []byte, r result, e *rpcError) answer {
	if id == nil {
		id = []byte("null")
	}
	if e != nil {
		return answer{JSONRPC: "2.0", ID: id, Error: e}
	}
	return answer{JSONRPC: "2.0", ID: id, Result: &r}
}

// appendCall writes what a local service is told (rvi.md 2.4).
func (n *Node) appendCall(b []byte, start string, d delivery) []byte {
	b = append(b, start...)
	if d.parcel == nil {
		b = append(b, `"method":"`+d.method+`","params":{"services":`...)
		return append(appendTexts(b, []string{d.service}), '}', '}')
	}
	b = append(b, `"method":"message","params":{"service_name":`...)
	b = appendText(b, n.localName(d.parcel.service))
	b = append(append(b, `,"parameters":`...), d.parcel.params...)
	return append(b, '}', '}')
}
