// Package ota holds the words of Updraft and the rules that need nothing but
// values: no files, no network, no database, no clock of its own.
//
// An operator publishes a Package (one name and version, holding one or more
// Artifacts) and sends it to a Device: that makes an Update, one package
// version for one device. Updates that belong together share a Request and an
// install order. The device learns of its updates over an Uplink, fetches the
// artifacts, has them installed and answers with a Report.
//
// Everything belongs to a Namespace; nothing ever crosses one.
//
// The rooms around this one speak these words: fleet decides with them, store
// remembers them, blob keeps the bytes, and every protocol translates to and
// from them. Wire shapes (camelCase, base64, …) live with their protocol, not
// here.
package ota
