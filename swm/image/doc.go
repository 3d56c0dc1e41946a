// Package image reads update images: an archive, squashfs or tar, with a
// manifest in it that says what is to be done with the rest.
//
// Images come from far away. What is in one is believed only after it was
// looked at: plain files and directories below the archive's top, as many and
// as large as the Limits allow (unpack.go, tar.go, squash.go, tree.go), and a
// manifest with nothing in it that we do not know (manifest.go, operation.go,
// members.go). Each failure is an ota.Error; KindInvalid and KindTooLarge
// blame the image.
package image
