// Package resource is the door of constrained devices: it translates between
// CoAP and the fleet, and decides nothing.
package resource
