// Package blob keeps the bytes of artifacts in files, each under the SHA-256
// of its content.
//
//	DIR/sha256/ab/abcd…   a blob: 64 hex digits, spread over 256 folders
//	DIR/tmp/put-…         a blob on its way in
//
// A blob arrives in three steps. Put streams it to a temporary file and sums
// it as it goes; it fsyncs the file; it renames it to its digest and fsyncs
// the folder. A crash before the rename leaves a file in tmp, which Collect
// removes; a crash after it leaves a whole blob that nobody may refer to yet,
// which Collect removes too once it is old enough. Nothing else can be left.
//
// A name under sha256 is a promise about bytes that disks break now and then,
// so a blob is read against its digest before anyone gets it for the first
// time, whenever its file changed, and every so often by Scrub.
package blob
