// Package httpapi is the device's conversation with its server over HTTP, both
// halves of it: DeviceAPI lets an ota.Uplink be called from the network, and
// Client is an ota.Uplink that calls (server.md 1.3, client.md 8).
//
// What both halves and the operator's API agree on lies here too: the shapes
// on the wire (wire.go), the one table of failures (problem.go) and who is
// asking (identity.go). The package needs the standard library and ota only,
// so that a device carries nothing of the server's weight.
package httpapi
