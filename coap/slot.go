package coap

import "sync"

// slot holds the newest of what arrived.
type slot struct {
	mu  sync.Mutex
	m   Message
	err error
}

func (s *slot) put(m Message, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.m, s.err = m, err
	}
}

func (s *slot) get() (Message, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.m, s.err
}
