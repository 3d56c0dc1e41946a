// Package resource is the door of constrained devices: it translates between
// CoAP and the fleet, and decides nothing.
//
//	/<publish id>/NAME     a published file, the one of the newest version that has it
//	/fw/APP/BOARD/NAME     the same, of publish id fw/APP/BOARD (RIOT)
//	/b/DIGEST, /m/DIGEST   a payload, a manifest, that never changes
//	/.well-known/core      what there is
//
// Files are read where they lie, block by block; nothing is remembered of a
// device but which bytes it began to fetch, see transfers.
package resource
