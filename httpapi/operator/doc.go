// Package operator is the operators' API (server.md 1.4, 1.6, 1.7): devices,
// packages, and what is sent to whom. It translates between HTTP and fleet
// and decides nothing.
//
// The Go types here are the contract: the OpenAPI document is made from them
// (openapi.json), and the client in the child package from the document.
//
// # Where it differs from the original
//
// Paths, bodies and statuses are those of server.md; what differs does so on
// purpose:
//
//	everywhere       failures are problem documents (RFC 9457) that carry code and description; a fault
//	                 of ours is one too, never {"error"}
//	                 members without a value are left out, never null; members nobody knows are 400
//	                 a path with "//" or ".." is 400, and no redirect
//	                 limit=0 is 400; regex is RE2, at most 1000 bytes, unanchored
//	                 times are read as RFC 3339, which needs the seconds
//	x-ats-namespace  1 to 200 bytes without control characters, once, or 400; a device's token may name
//	                 its own only, or 403; an operator's names any
//	x-ats-trace-sig  is not made; a caller's x-ats-traceid is kept if it is a UUID (see trace.go)
//	POST /devices    Location is the full path; the body may choose the uuid; credentials are stored here
//	                 and by PUT /devices/{uuid} as well
//	PUT /devices     a device that is there keeps name and type; 409 if the body names another's uuid
//	…/{uuid}         DELETE takes queue, results and credentials along; Device also has activeUpdates
//	                 and blocked
//	…/system_info    is stored as it came, without "id-nr"
//	…/credentials    POST is ours: new client id and secret for POST /token
//	…/psk            POST is ours: a new key for coaps
//	/device_count    groupIds is empty as long as there are no groups
//	/package_stats   counts one namespace only
//	/packages        PUT answers 409 if the id has updates and other bytes, unless force=true; exactly one
//	                 part named file, at most 64 KiB before and again behind it, and a form that ends
//	                 with its last boundary, or 400; what is refused ends the connection
//	                 DELETE and GET …/file are ours; a package also has sha256, artifacts if several,
//	                 and what operators forced
//	                 uri is GET …/file, below the server's own name if it was told one
//	                 GET …/queued of an unknown package is 404
//	…/device_updates POST also takes id, until, priority, requestConfirmation, description and force, and
//	                 tells blocked; 400 refused_manifest if a constrained device could not install it; PUT …/cancelupdate of one in flight is 409
//	                 an order is for one device only
//	                 a block tells updateId and reason
//	/history         also tells status and reason; ids count from 1 on each device
//	/updates         is ours: every update, with filters
//	/links           is ours: devices on the line, where the server speaks first
//	/mydevice/{uuid} takes what the device's own token proves; operators have /devices/{uuid}
//
// Not here yet: groups, update requests, campaigns, auto-install, blacklist,
// resolver. Not to come: the aliases under /vehicle_updates, and all but
// GET …/queued of those under /device_updates (server.md 1.3).
package operator
