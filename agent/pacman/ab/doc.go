// Package ab installs whole images into two slots, one of which runs while the
// other is written: device.package_manager = "ab" (docs/ab.md).
//
// An update's way (update.go), each step of which may be repeated:
//
//  1. The boot loader is made to start the running slot, whatever happens.
//  2. The image streams into the other slot; its digest is checked on the way
//     and once more by reading the slot (write.go).
//  3. The journal says "written"; then the boot environment is told to try the
//     new slot once; the journal says "tried"; the reboot command runs.
//  4. The client starts again and finds its journal. If the new slot runs and
//     the health check passes, the boot environment keeps it: OK. If the check
//     fails, the boot environment goes back to the old slot and the device
//     restarts. If the old slot runs, the boot loader went back by itself.
//     Both are INSTALL_FAILED.
//
// Which slot the boot loader starts, only the boot environment says
// (environment.go, with uboot.go and grub.go), and each change of it is one
// write that is there or not. Whether the device has restarted since, the
// kernel's boot id says, so no boot loader can send the client round in
// circles.
package ab
