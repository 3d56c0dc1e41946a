package node

import (
	"fmt"
	"maps"
	"slices"
)

// Services at the edge register once, and expect to stay registered, also when
// the node is started anew: Options.Keep and Options.Addresses let its owner
// write the addresses down and hand them back.

// registered lists the network addresses by full name. mu is held.
func (n *Node) registered() map[string]string {
	list := map[string]string{}
	for name, s := range n.local {
		if s.courier.url != nil {
			list[name] = s.courier.to
		}
	}
	return list
}

// change has the addresses written down as they will be, and then makes them so.
func (n *Node) change(plan func(addresses map[string]string), do func() error) error {
	n.keeping.Lock()
	defer n.keeping.Unlock()
	n.mu.Lock()
	before := n.registered()
	n.unlock()
	after := maps.Clone(before)
	plan(after)
	if n.opt.Keep != nil && !maps.Equal(before, after) {
		if err := n.opt.Keep(after); err != nil {
			return fmt.Errorf("keep the addresses of services: %w", err)
		}
	}
	n.mu.Lock()
	defer n.unlock()
	return do()
}

// restore hosts the services that were registered before. Where they are is
// checked when they are called.
func (n *Node) restore(addresses map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(addresses)) {
		u, err := readAddress(addresses[name])
		if err == nil && !n.owns(name) {
			err = badAddress("it is no name of this node")
		}
		if err == nil {
			c := n.courierTo(u)
			n.mu.Lock()
			err = n.host(name, c, nil)
			n.unlock()
		}
		if err != nil {
			n.mu.Lock()
			n.audit("not_restored", "edge", name, err.Error())
			n.unlock()
		}
	}
}
