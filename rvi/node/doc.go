// Package node is a node of Remote Vehicle Interaction (RVI): it carries
// messages between services, and knows nothing of what they say.
//
// A node owns one prefix, such as genivi.org/vin/V/, and has two doors. At the
// service edge local programs register the names below the prefix and hand in
// messages (edge.go, rpc.go, websocket.go); what is for them is posted to the
// address they gave (courier.go, address.go). A program may also embed the node
// and Handle a service itself. Over data links nodes meet (link.go, tls.go,
// serve.go): each shows its credentials (au), announces the names the other
// may invoke (sa), and sends messages (rcv). See rvi.md 2 and 3.
//
// A message's way: Send or the edge's message → route (route.go), which finds
// the local service, or the link that announced the name, or lets it wait
// (waiting.go) until one does or the message expires. One mutex, Node.mu,
// guards all of this; nothing is written, and nobody is called, while it is held.
// A message is written to its link at least once: one that was being written
// when the link broke is written again to the next. The protocol has no receipts,
// so that what the peer's system had taken, and the peer had not, is lost.
//
// A newer link of a peer replaces the older at once: who comes again has lost the
// other. Who proves nothing does not replace who has proved to be that peer.
//
// Whoever has a node in another process is a Program at its edge (program.go).
//
// Nothing is lost silently: whatever the node discards, it tells to
// Options.Audit. Nothing grows without a limit: see limits.go.
package node
