// Package swm is the reference software loading manager, the external
// installer of seed 000: it hears of update images from the client, installs
// them, and says how that went (docs/swm.md).
//
// A Manager hears through a door, bus or socket, and answers over the Client
// that the door is. What it is told of goes into a journal (journal.go) before
// it says that it understood. One image at a time is worked on (manager.go): it
// is unpacked and its manifest read (room image), its operations are run in
// order (operate.go and a file for each way: deb.go, plugin.go, config.go), and
// the results are reported. What an operation runs is no child that dies with
// us (process.go): a manager that was killed waits for what its predecessor
// left behind, looks how things are, and goes on.
//
// Those who are to agree before an update is downloaded are asked in
// consent.go.
package swm
