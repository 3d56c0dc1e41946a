// Package resource is the door of constrained devices: it translates between
// CoAP and the fleet, and decides nothing.
//
//	/<publish id>/NAME     a published file, the one of the newest version that has it
//	/fw/APP/BOARD/NAME     the same, of publish id fw/APP/BOARD (RIOT)
//	/b/DIGEST, /m/DIGEST   a payload, a manifest, that never changes
//	/.well-known/core      what there is
//	/u/DEVICE              what a device is to install; may be observed
//	/r/DEVICE              how that goes
//	/rd                    where a device can be told something (RFC 9176)
//	/e                     a device gets its key
//
// Files are for everyone, unless the door is Private. The rest is for devices:
// over coaps for the one that has shown who it is, over plain coap for those
// added to be trusted without proof.
//
// Files are read where they lie, block by block; nothing is remembered of a
// device but which bytes it began to fetch, see transfers.
package resource
