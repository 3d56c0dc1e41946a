// Package rvi is the software update conversation over Remote Vehicle
// Interaction: what a backend and its vehicles say to each other (seeds 001 and
// 004, rvi.md 4 and 5), for both roles and in three dialects. How messages
// travel is the business of rvi/node.
//
// The messages are types: a device reads what it is told with ReadAtDevice, a
// backend with ReadAtBackend, and AppendParams writes them. What a message says
// of its sender is a claim; CheckSender holds it against what the peer proved.
//
// The rules of a transfer are values that are told what happened, and when, and
// answer with what to do; they do no I/O and know no clock. Vehicle is a
// backend's view of one vehicle, made of a Sender for each file. Device is a
// vehicle's view of its backend, made of a Receiver for each file. Both have
// Deadline, the time at which they want to be told that nothing happened (Tick).
//
// Backend and Client are the two halves as programs have them: Backend answers
// vehicles by an ota.Push for each, Client is an ota.Uplink. Both are attached to
// a node of their own (node.Node) or to one in another process (node.Program).
//
//	backend                               device
//	  notify            ->
//	                    <-  BackendStart         Device.Ask
//	  Vehicle.Begin       start ->               Device.Start
//	  Vehicle.Ack       <-  Ack
//	                      chunk ->               Device.Chunk, Device.Stored
//	  Vehicle.Ack       <-  Ack
//	                      finish ->              Device.Finish, Device.Checked
//	  Vehicle.Report    <-  Report
//	                      getpackages ->
//	                    <-  Packages
//
// Backend is the server's half at a node: it speaks for the fleet (ota.Push) with
// all vehicles. Client is a device's half, an ota.Uplink.
package rvi
