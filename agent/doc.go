// Package agent is the device client: commands in, events out.
//
// Gateways, the server's notices and the client's own reactions put Commands
// into one queue (queue.go). The interpreter takes one at a time, runs it
// (interpret.go and a file for each flow) and tells every Event as it happens
// to all who Subscribe (bus.go). One pure function says what follows what:
// react.go.
//
// An update's way: the server offers it (ask.go), its image is fetched into a
// part file and verified (download.go, fetch.go, part.go), the Installer
// installs it (install.go), and the report waits in the outbox until the
// server has it (tell.go, outbox.go). Before anything is announced it is in
// the journal (journal.go), so that a client that was killed at any moment
// goes on where it was: resume in react.go says how.
//
// What the client does unasked has limits: windows for installations
// (windows.go), a hook that knows metered networks (metered.go), room on the
// disk (room.go), and a user's consent. Clocks may be wrong: clock.go.
//
// The server is an ota.Uplink; this package knows nothing of HTTP.
package agent
