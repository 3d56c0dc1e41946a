// Package web is the operators' pages: applications with their versions and
// files, manifests made readable, publishing, telling devices, and the devices
// with their updates (seed 003; ota-server.md 6).
//
//	GET  /                 applications, and devices beside them
//	GET  /app              ?name=: one application's versions and files
//	POST /app/publish      publishes files, and shows what became of them
//	POST /app/notify       tells devices of a manifest, and shows what each said
//	POST /app/remove       deletes a version
//	GET  /manifest         ?name=&version=&file=: a manifest made readable
//	GET  /updates          ?name=&version=: the updates to a version
//	GET  /device           ?id=: a device and its updates
//	GET  /devices          ?find=: leads to a device
//	GET  /live             what changed, as server-sent events
//	GET  /login            asks for the operators' token
//	POST /login, /logout   begin and end a session
//	GET  /assets/...       style and scripts
//
// Pages are made here, of components (*.templ) that escape whatever is put
// into them, and work without scripts; a form publishes by the same POST
// /publish as everyone. With scripts they stay up to date: what changes rings
// once for each page that shows it, and the page fetches itself anew and takes
// over the differences, so that nothing is rendered in two ways. A page whose
// line is cut says so, and takes it up again.
//
// Nothing is loaded from elsewhere, and the Content-Security-Policy allows no
// script or style inside a page: see policy.
package web
