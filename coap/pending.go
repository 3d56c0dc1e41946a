package coap

import "sync"

// pending knows who waits for the responses to which requests, by their token.
type pending struct {
	mu     sync.Mutex
	takers map[string]func(Message, error)
	closed bool
}

// add has take called for every response with a token; false if nothing will
// come any more.
func (p *pending) add(token string, take func(Message, error)) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	if p.takers == nil {
		p.takers = make(map[string]func(Message, error))
	}
	p.takers[token] = take
	return true
}

func (p *pending) remove(token string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.takers, token)
}

// find returns who waits, nil if nobody.
func (p *pending) find(token []byte) func(Message, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.takers[string(token)]
}

// close tells all who wait that nothing will come.
func (p *pending) close(err error) {
	p.mu.Lock()
	takers := p.takers
	p.takers, p.closed = nil, true
	p.mu.Unlock()
	for _, take := range takers {
		take(Message{}, err)
	}
}
