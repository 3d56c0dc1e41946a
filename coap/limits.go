package coap

import "time"

// Limits bound what peers can make a server remember, send and do. A zero
// field means the default named beside it.
type Limits struct {
	Block int // largest block in bytes, 16 to 1024; 1024
	Body  int // a request put together from blocks, or an answer written by a handler, in bytes; 64 KiB
	// Unfinished requests of all peers, in bytes; 8 MiB. A peer may have two.
	Bodies int

	// Handlers running at once; 256. Hosts get half of them at most, and so do
	// all peers together whose address is not proven.
	Handlers     int
	PeerHandlers int // of these, for one peer; 8

	Exchanges     int // answers kept for repeated requests, of proven and unproven addresses each; 16384
	ExchangeBytes int // the same in bytes; 8 MiB
	PeerExchanges int // answers kept for one peer; 64

	Observers     int // observations of all peers; 65536
	PeerObservers int // of one peer; 8
	Queue         int // confirmable messages waiting for one peer; 16
	Queues        int // and for all peers; 65536

	Proven    int           // addresses remembered as proven, an eighth of them of one host; 65536
	ProvenFor time.Duration // and for how long after their last proof; 10 min
	// Answers of more bytes than this go to proven addresses only; 136
	// (RFC 9175 2.4).
	Unproven int
	// Bytes a second by which answers to the unproven addresses of one network
	// (/24, /48) may exceed three times their requests; 65536.
	UnprovenRate int

	// Requests a second from unproven addresses that are answered while so many
	// datagrams wait that some must be ignored; 10000.
	Overload int

	// DTLS sessions of a socket, and TCP connections of a listener; 16384. A host,
	// which is an IPv4 address or a /64, may have an eighth of them.
	Sessions    int
	Handshakes  int           // DTLS or TLS handshakes under way, an eighth of them for one host; 256
	Handshake   time.Duration // how long one may take; 10 s
	IdleSession time.Duration // a DTLS session that was silent for so long ends; 24 h
	IdleConn    time.Duration // a TCP connection; 10 min
	Frame       int           // longest message over TCP, in bytes; 8 KiB
}

func or[T int | time.Duration](v *T, def T) {
	if *v == 0 {
		*v = def
	}
}

func (l Limits) withDefaults() Limits {
	or(&l.Block, 1024)
	or(&l.Body, 64<<10)
	or(&l.Bodies, 8<<20)
	or(&l.Handlers, 256)
	or(&l.PeerHandlers, 8)
	or(&l.Exchanges, 16384)
	or(&l.ExchangeBytes, 8<<20)
	or(&l.PeerExchanges, 64)
	or(&l.Observers, 65536)
	or(&l.PeerObservers, 8)
	or(&l.Queue, 16)
	or(&l.Queues, 65536)
	or(&l.Proven, 65536)
	or(&l.ProvenFor, 10*time.Minute)
	or(&l.Unproven, 136)
	or(&l.UnprovenRate, 65536)
	or(&l.Overload, 10000)
	or(&l.Sessions, 16384)
	or(&l.Handshakes, 256)
	or(&l.Handshake, 10*time.Second)
	or(&l.IdleSession, 24*time.Hour)
	or(&l.IdleConn, 10*time.Minute)
	or(&l.Frame, 8<<10)
	l.Block = 1 << (szx(l.Block) + 4)
	return l
}

// Times of RFC 7252 4.8.
const (
	ackTimeout       = 2 * time.Second
	ackRandomFactor  = 1.5
	maxRetransmit    = 4
	exchangeLifetime = 247 * time.Second
	// How long a handler may take before the request is acknowledged on its
	// own and the response sent separately; well before the client asks again.
	processingDelay = time.Second
)
