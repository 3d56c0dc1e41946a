package node

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

// ProgramOptions are a Program's. Node and Address are needed.
type ProgramOptions struct {
	Node    string // URL of the node's edge, such as http://127.0.0.1:8901
	Address string // network_address the node is to call, such as http://127.0.0.1:8090/

	Null bool // answer messages with null, as vehicles do, not with a status (rvi.md 2.4)

	Audit     func(Event)        // told of messages that were not taken; the log if nil
	Announced func(Announcement) // told of services that come and go; may be nil
}

// Program is the other side of the service edge: what a program is to the node
// of another process. It hands in and takes messages as a Node of its own does,
// but does not learn whom they come from: the edge does not say (rvi.md 3.6).
// The Peer of its messages has only an Addr, "edge", and they do not say when
// they expire.
type Program struct {
	opt    ProgramOptions
	client *http.Client
	queue  chan func(context.Context)
	fresh  chan struct{} // a service is to be registered
	bodies budget        // of calls of the node: being read, and waiting

	mu       sync.Mutex
	services map[string]hosted // by local name, with a leading slash
	others   map[string]bool   // full names that are there, as was announced
}

type hosted struct {
	handler Handler
	prompt  bool   // the handler's error is the answer; see Take
	full    string // "" until it is registered
}

const (
	programQueue  = 64 // messages taken from the node, but not by their handlers
	programCheck  = time.Minute
	programAnswer = 32 << 20 // bytes: the names of all services of a node
	programRetry  = 5 * time.Second
)

// NewProgram makes a program. Nothing happens before Serve.
func NewProgram(o ProgramOptions) *Program {
	if o.Audit == nil {
		o.Audit = toLog
	}
	p := &Program{opt: o, client: &http.Client{Timeout: 5 * time.Second}, // rvi.md Q4
		queue: make(chan func(context.Context), programQueue), fresh: make(chan struct{}, 1), services: map[string]hosted{}, others: map[string]bool{}}
	p.bodies.left.Store(programBytes)
	return p
}

// Handle makes h a service of the node, given its local name, from Serve on. Of
// all handlers one runs at a time, in the order the node delivers.
func (p *Program) Handle(service string, h Handler) { p.host(service, hosted{handler: h}) }

// Take is Handle for an h that does not wait: it runs before the node is
// answered, maybe several at a time, and a *Refusal it returns is the answer.
func (p *Program) Take(service string, h Handler) { p.host(service, hosted{handler: h, prompt: true}) }

// Refusal is an error that whoever brought a message is told (rvi.md 2.7).
type Refusal struct {
	Code   int    // of JSON-RPC; 0: the answer is success, for what is only ignored
	Reason string // slug of rvi.md 7
	Err    error
}

func (r *Refusal) Error() string { return r.Reason + ": " + r.Err.Error() }
func (r *Refusal) Unwrap() error { return r.Err }

func (p *Program) host(service string, s hosted) {
	p.mu.Lock()
	p.services["/"+strings.TrimPrefix(service, "/")] = s
	p.mu.Unlock()
	select {
	case p.fresh <- struct{}{}:
	default: // it will be seen to anyway
	}
}

// FullName is the name the node gave a service when it was registered, "" before
// that. It tells the prefix of the node, and so the vehicle (rvi.md 2.2).
func (p *Program) FullName(service string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.services["/"+strings.TrimPrefix(service, "/")].full
}

// Serve takes calls of the node from l, and keeps the services registered, also
// when the node restarts, until ctx is done. It then closes l and returns nil.
func (p *Program) Serve(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	server := &http.Server{Handler: http.HandlerFunc(p.serveHTTP), ReadHeaderTimeout: strangerPatience,
		ReadTimeout: framePatience, WriteTimeout: framePatience, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	var wg sync.WaitGroup
	wg.Go(func() { p.work(ctx) })
	wg.Go(func() { p.keepRegistered(ctx) })
	full := func(from string) { p.audit("too_many_connections", "", "from "+from) }
	err := server.Serve(&crowd{Listener: l, full: full})
	cancel()
	wg.Wait()
	p.client.CloseIdleConnections()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// work runs the handlers.
func (p *Program) work(ctx context.Context) {
	for {
		select {
		case f := <-p.queue:
			f(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// keepRegistered registers what the node does not have: soon after Handle, and
// when it seems to have been restarted.
func (p *Program) keepRegistered(ctx context.Context) {
	for {
		wait := programCheck
		if err := p.registerMissing(ctx); err != nil {
			if ctx.Err() != nil {
				return
			}
			p.audit("not_registered", "", err.Error())
			wait = programRetry
		}
		select {
		case <-p.fresh:
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
	}
}

func (p *Program) registerMissing(ctx context.Context) error {
	var known struct{ Services []string }
	if err := p.ask(ctx, "get_available_services", struct{}{}, &known); err != nil {
		return err
	}
	p.mu.Lock()
	todo := maps.Clone(p.services)
	p.mu.Unlock()
	forgot := false
	for _, local := range slices.Sorted(maps.Keys(todo)) {
		if full := todo[local].full; full != "" && slices.Contains(known.Services, full) {
			continue
		}
		forgot = forgot || todo[local].full != ""
		var made struct{ Service string }
		params := map[string]string{"network_address": p.opt.Address, "service": local}
		if err := p.ask(ctx, "register_service", params, &made); err != nil {
			return fmt.Errorf("register %s: %w", local, err)
		}
		p.mu.Lock()
		s := p.services[local]
		s.full = made.Service
		p.services[local] = s
		p.mu.Unlock()
	}
	if forgot { // the node restarted, and what it had for others is lost
		p.mu.Lock()
		others := slices.Sorted(maps.Keys(p.others))
		p.mu.Unlock()
		p.announce(others, false)
	}
	return p.compare(ctx)
}

// compare announces what came and went without the node's word: it tells a new
// program nothing of the services that are there (rvi.md 2.4), and of later
// ones only once.
func (p *Program) compare(ctx context.Context) error {
	if p.opt.Announced == nil {
		return nil
	}
	p.mu.Lock()
	before := maps.Clone(p.others)
	p.mu.Unlock()
	var known struct{ Services []string }
	if err := p.ask(ctx, "get_available_services", struct{}{}, &known); err != nil {
		return err
	}
	p.mu.Lock()
	there := map[string]bool{}
	for _, s := range p.services {
		there[s.full] = true // no news
	}
	var came, went []string
	for _, name := range known.Services {
		if !there[name] && !p.others[name] {
			came = append(came, name)
		}
		there[name] = true
	}
	for name := range before {
		if !there[name] {
			went = append(went, name)
		}
	}
	p.mu.Unlock()
	slices.Sort(went)
	p.announce(went, false)
	p.announce(came, true)
	return nil
}

// announce tells of services, unless too much is waiting.
func (p *Program) announce(names []string, available bool) *rpcError {
	if p.opt.Announced == nil || len(names) == 0 {
		return nil
	}
	a := Announcement{Peer: Peer{Addr: "edge"}, Services: names, Available: available}
	if e := p.push(func(context.Context) { p.opt.Announced(a) }); e != nil {
		return e
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, name := range names {
		if available {
			p.others[name] = true
		} else {
			delete(p.others, name)
		}
	}
	return nil
}

// Send hands a message to the node, for a service by its full name. Nil says
// that the node has it, not that it will arrive.
//
// Errors: KindUnreachable if the node does not answer, KindForbidden or
// KindInvalid if it refuses the message for good, KindUnavailable otherwise.
func (p *Program) Send(ctx context.Context, service string, params json.RawMessage, timeout time.Duration) error {
	return p.ask(ctx, "message", map[string]any{"service_name": service, "timeout": time.Now().Add(timeout).Unix(), "parameters": params}, nil)
}

// ask calls the node.
func (p *Program) ask(ctx context.Context, method string, params, into any) error {
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
	if err != nil {
		return ota.Invalid("the parameters of an RVI call are JSON: %v", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.opt.Node, bytes.NewReader(body))
	if err != nil {
		return ota.Invalid("the URL of the RVI node: %v", err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := p.client.Do(req)
	if err != nil {
		return &ota.Error{Kind: ota.KindUnreachable, Code: "unreachable", Text: "the RVI node does not answer", Err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, programAnswer))
	if err != nil {
		return &ota.Error{Kind: ota.KindUnreachable, Code: "unreachable", Text: "the RVI node does not end its answer", Err: err}
	}
	return readResult(method, text, into)
}

func readResult(method string, body []byte, into any) error {
	var a struct {
		Result json.RawMessage
		Error  *rpcError
	}
	if err := json.Unmarshal(body, &a); err != nil {
		return &ota.Error{Kind: ota.KindUnavailable, Code: "bad_answer", Text: "what answers is no RVI node", Err: err}
	}
	if a.Error != nil {
		kind := ota.KindUnavailable
		switch a.Error.Code {
		case codeUnauthorized:
			kind = ota.KindForbidden
		case codeParams, codeRequest, codeMethod:
			kind = ota.KindInvalid
		}
		return ota.Fail(kind, "rvi_refused", "the RVI node refuses %s: %.200q (%d)", method, a.Error.Message, a.Error.Code)
	}
	var status struct{ Status int }
	if err := json.Unmarshal(a.Result, &status); err != nil || status.Status != 0 {
		return ota.Fail(ota.KindUnavailable, "rvi_refused", "the RVI node refuses %s with status %d", method, status.Status)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(a.Result, into)
}

func (p *Program) serveHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Origin") != "" {
		http.Error(w, "this is no place for web pages", http.StatusForbidden)
		return
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "use POST", http.StatusMethodNotAllowed)
		return
	}
	status := readBody(w, r, 2<<20, &p.bodies, func(body []byte) { p.answer(w, r, body) })
	if status != 0 {
		http.Error(w, http.StatusText(status), status)
	}
}

func (p *Program) answer(w http.ResponseWriter, r *http.Request, body []byte) {
	req, e := readRequest(body, true)
	if e == nil {
		e = p.take(r.Context(), req)
	}
	w.Header().Set("Content-Type", "application/json")
	switch {
	case req.id == nil && e == nil:
	case p.opt.Null && e == nil && req.method == "message":
		_, _ = fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":null}`, req.id)
	default:
		_ = json.NewEncoder(w).Encode(answerTo(req.id, result{}, e)) // the node is gone, or it is not
	}
}

// take queues what the node brings, but for what a program takes at once. It
// answers before anything is done about it, as the node does not wait for long.
func (p *Program) take(ctx context.Context, r request) *rpcError {
	if r.params == nil {
		return refuse(codeParams, "invalid_params", "params is missing")
	}
	f := fields{}
	members(r.params, func(name string, v []byte) { f[name] = v })
	switch r.method {
	case "message":
		return p.takeMessage(ctx, f)
	case "services_available", "services_unavailable":
		names, ok := texts(f["services"])
		if !ok {
			return refuse(codeParams, "wrong_type:services", "services must be an array of strings")
		}
		return p.announce(names, r.method == "services_available")
	}
	return refuse(codeMethod, "method_not_found", "there is no such method")
}

func (p *Program) takeMessage(ctx context.Context, f fields) *rpcError {
	name, e := f.text("service_name")
	if e != nil {
		return e
	}
	p.mu.Lock()
	s, ok := p.services["/"+strings.TrimPrefix(name, "/")]
	p.mu.Unlock()
	if !ok {
		return refuse(codeRequest, "unknown_service", "there is no such service")
	}
	m := Message{Service: cmp.Or(s.full, name), Params: f["parameters"], Peer: Peer{Addr: "edge"}}
	if s.prompt {
		return p.refused(name, s.handler(ctx, m))
	}
	size := len(m.Params)
	if !p.bodies.take(size) {
		return p.full()
	}
	e = p.push(func(ctx context.Context) {
		defer p.bodies.give(size)
		if err := s.handler(ctx, m); err != nil {
			p.audit("not_delivered", name, err.Error())
		}
	})
	if e != nil {
		p.bodies.give(size)
	}
	return e
}

// refused turns a prompt handler's error into the answer.
func (p *Program) refused(name string, err error) *rpcError {
	if err == nil {
		return nil
	}
	p.audit("not_delivered", name, err.Error())
	if r, ok := errors.AsType[*Refusal](err); ok && r.Code != 0 {
		return refuse(r.Code, r.Reason, err.Error())
	}
	return nil
}

func (p *Program) push(f func(context.Context)) *rpcError {
	select {
	case p.queue <- f:
		return nil
	default:
		return p.full()
	}
}

func (p *Program) full() *rpcError {
	p.audit("queue_full", "", "the handlers do not keep up")
	return refuse(codeUnprocessed, "queue_full", "too much is waiting")
}

func (p *Program) audit(reason, service, detail string) {
	p.opt.Audit(Event{At: time.Now(), Reason: reason, Peer: "edge", Service: service, Detail: detail})
}
