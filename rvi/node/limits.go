package node

import "time"

// Limits that nobody needs to change. Those that somebody may are in Options.
const (
	maxName           = 512      // bytes of a service name
	maxDepth          = 64       // nesting of a message, in either framing (rvi.md 3.2)
	maxStranger       = 64 << 10 // bytes of one message before the peer has shown its credentials
	maxStrangers      = 1024     // links that have not shown their credentials yet
	maxDeferred       = 1000     // calls of Options' functions that wait; then peers do
	maxCredential     = 16 << 10 // bytes of one credential
	maxCredentials    = 16       // credentials of one peer
	maxPatterns       = 64       // patterns in one list of a credential
	maxPeerNames      = 256      // services one peer may announce
	maxControls       = 256      // messages of the protocol itself waiting for one peer
	maxPieces         = 4        // messages of one peer being put together
	maxGaps           = 64       // between the pieces of one message
	complaints        = 20       // about one peer that are told at once; then one a second
	servicesPerSecond = 20       // that come to the edge, after the first Options.Services
	doorComplaints    = 100      // about whoever comes to a door, told at once; then a tenth each second
	maxEdgeConns      = 512      // HTTP connections at one door of the edge
	edgeBytes         = 64 << 20 // of calls at the edge that are being read
	programBytes      = 8 << 20  // the same at a program; and of what waits for its handlers
	maxHosted         = 1024     // names of ours that may come back
	maxSockets        = 64       // websockets at the edge

	strangerPatience = 10 * time.Second // for TLS and the first au (rvi.md 3.3)
	strangerRight    = 2 * time.Second  // after which a stranger, or half a message, makes room for another
	framePatience    = time.Minute      // from the first byte of a message to its last
	writePatience    = 30 * time.Second // for the peer to take one message
	piecePatience    = 30 * time.Second // for the next fragment (rvi.md 3.8)
	roomPatience     = 5 * time.Second  // for room in the queue of a local service
	answerPatience   = time.Second      // for a local service to answer (rvi.md 2.1)
	unsureLife       = 5 * time.Minute  // of what comes in where the clock may be wrong
)
