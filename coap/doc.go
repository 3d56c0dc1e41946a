// Package coap speaks the Constrained Application Protocol, both halves:
// RFC 7252 with blocks (7959), observation (7641), TCP (8323) and Echo (9175),
// over UDP, DTLS, TCP and TLS. It knows nothing of what is served with it.
//
// A Server has a Handler, much as in net/http, and serves any number of
// sockets: Serve, ServeDTLS, ServeTCP. Long content is served in blocks of the
// client's choice without anything remembered between two of them, so that a
// client may go on where it stopped, from anywhere, after any time; a
// ContentHandler does so without a goroutine and without memory per block.
// Handlers run in goroutines of their own: one that is slow keeps nobody
// waiting. A resource becomes observable by ResponseWriter.Observable, and
// Server.Changed notifies.
//
// Sources of datagrams can be forged. Until one has returned an Echo option it
// gets answers of at most Limits.Unproven bytes, cannot observe, and cannot
// send in blocks. DTLS begins with a cookie that is checked before anything is
// remembered, and a session that comes back from another host is to prove that
// it is there. Everything a peer can make the server remember is bounded by
// Limits, most of it for each peer and each host: an IPv4 address or a /64.
//
// A Client asks one server, or one device: Dial, DialDTLS, DialTCP. It sends
// and fetches in blocks by itself, repeats what is lost as RFC 7252 4.2 wants,
// and gives up after 62 to 93 seconds, or when its context ends.
package coap
