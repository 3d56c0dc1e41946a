package sim

import "sync"

// order is a manifest that the device was told to install.
type order struct {
	url    string
	digest []byte // SHA-256 of the file, nil if not told
}

// mailbox holds the orders that were not begun yet. A device has little room:
// the oldest are forgotten.
type mailbox struct {
	ready chan struct{}

	mu   sync.Mutex
	list []order
	busy string // URL of the order that is being carried out
}

// maxOrders is how many may wait.
const maxOrders = 4

func newMailbox() *mailbox { return &mailbox{ready: make(chan struct{}, 1)} }

// put adds an order, unless the same waits already or is being carried out:
// servers say it again until they are sure.
func (m *mailbox) put(o order) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if o.url == m.busy {
		return
	}
	for _, w := range m.list {
		if w.url == o.url {
			return
		}
	}
	m.list = append(m.list, o)
	if n := len(m.list); n > maxOrders {
		m.list = m.list[n-maxOrders:]
	}
	m.ring()
}

// take returns the oldest order, until done; ok is false if there is none.
func (m *mailbox) take() (o order, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.list) == 0 {
		return order{}, false
	}
	o, m.list = m.list[0], m.list[1:]
	m.busy = o.url
	return o, true
}

// done makes room for the next order, the same included.
func (m *mailbox) done() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.busy = ""
	if len(m.list) > 0 {
		m.ring()
	}
}

// forget is what a reboot does.
func (m *mailbox) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.list, m.busy = nil, ""
}

func (m *mailbox) ring() {
	select {
	case m.ready <- struct{}{}:
	default:
	}
}
