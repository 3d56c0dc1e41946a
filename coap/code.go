package coap

import "fmt"

// Code is the code of a message: a class of 3 bits and a detail of 5, written
// class.detail (RFC 7252 3).
type Code uint8

// Methods (RFC 7252 12.1.1, RFC 8132).
const (
	Empty  Code = 0 // no request and no response: a ping, an acknowledgement, a reset
	GET    Code = 1
	POST   Code = 2
	PUT    Code = 3
	DELETE Code = 4
	FETCH  Code = 5
	PATCH  Code = 6
	IPATCH Code = 7
)

// Response codes (RFC 7252 12.1.2, RFC 7959, RFC 8132, RFC 8516).
const (
	Created                 Code = 2<<5 | 1
	Deleted                 Code = 2<<5 | 2
	Valid                   Code = 2<<5 | 3
	Changed                 Code = 2<<5 | 4
	ContentCode             Code = 2<<5 | 5
	Continue                Code = 2<<5 | 31
	BadRequest              Code = 4 << 5
	Unauthorized            Code = 4<<5 | 1
	BadOption               Code = 4<<5 | 2
	Forbidden               Code = 4<<5 | 3
	NotFound                Code = 4<<5 | 4
	MethodNotAllowed        Code = 4<<5 | 5
	NotAcceptable           Code = 4<<5 | 6
	RequestEntityIncomplete Code = 4<<5 | 8
	Conflict                Code = 4<<5 | 9
	PreconditionFailed      Code = 4<<5 | 12
	RequestEntityTooLarge   Code = 4<<5 | 13
	UnsupportedFormat       Code = 4<<5 | 15
	UnprocessableEntity     Code = 4<<5 | 22
	TooManyRequests         Code = 4<<5 | 29
	InternalServerError     Code = 5 << 5
	NotImplemented          Code = 5<<5 | 1
	BadGateway              Code = 5<<5 | 2
	ServiceUnavailable      Code = 5<<5 | 3
	GatewayTimeout          Code = 5<<5 | 4
	ProxyingNotSupported    Code = 5<<5 | 5
)

// Signalling codes of CoAP over TCP (RFC 8323 5).
const (
	csm     Code = 7<<5 | 1
	ping    Code = 7<<5 | 2
	pong    Code = 7<<5 | 3
	release Code = 7<<5 | 4
	abort   Code = 7<<5 | 5
)

// Class is the first part of a code: 0 for requests, 2 for success, 4 for
// faults of the client, 5 of the server, 7 for signals.
func (c Code) Class() int { return int(c >> 5) }

// IsRequest reports whether c is a method, known or not.
func (c Code) IsRequest() bool { return c != Empty && c.Class() == 0 }

// IsResponse reports whether c is a response code, known or not.
func (c Code) IsResponse() bool { return c.Class() == 2 || c.Class() == 4 || c.Class() == 5 }

// String writes a code as RFC 7252 does: 2.05.
func (c Code) String() string { return fmt.Sprintf("%d.%02d", c.Class(), c&31) }
