// Package coap speaks the Constrained Application Protocol, both halves:
// RFC 7252 with blocks (7959), observation (7641), TCP (8323) and Echo (9175).
package coap
