// Package sim plays devices that are not there: for now constrained ones, which
// get their firmware over CoAP as a SUIT manifest says.
//
//	told of a manifest (trigger, /u, or by hand)
//	  -> fetched -> authenticated -> carried out, into the slot that does not run
//	  -> noted -> reboot -> checked again, and kept or gone back on -> reported
//
// A Device is honest: whatever it installs a suit.Processor has allowed, and
// what it knows survives any kill as it would a power cut, because all of it
// lies in a folder that stands for its flash. It is as poor as told: it speaks
// in small blocks, loses datagrams, and its slots are only so large.
//
// The firmware is the component h'00', which has two slots, as with riotboot;
// every other component is one place.
//
// Sections named in comments are those of coap-suit.md.
package sim
