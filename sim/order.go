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
	mu    *sync.Mutex
	list  *[]order
	ready chan struct{}
}

// maxOrders is how many may wait.
const maxOrders = 4

func newMailbox() mailbox {
	return mailbox{mu: new(sync.Mutex), list: new([]order), ready: make(chan struct{}, 1)}
}

// put adds an order, unless the same waits already.
func (m mailbox) put(o order) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, w := range *m.list {
		if w.url == o.url {
			return
		}
	}
	*m.list = append(*m.list, o)
	if n := len(*m.list); n > maxOrders {
		*m.list = (*m.list)[n-maxOrders:]
	}
	m.ring()
}

// take returns the oldest order; there must be one.
func (m mailbox) take() order {
	m.mu.Lock()
	defer m.mu.Unlock()
	o := (*m.list)[0]
	if *m.list = (*m.list)[1:]; len(*m.list) > 0 {
		m.ring()
	}
	return o
}

func (m mailbox) ring() {
	select {
	case m.ready <- struct{}{}:
	default:
	}
}
