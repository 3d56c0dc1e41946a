package device

import (
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// settled is when the start is over: gateways are open, and links made.
const settled = 2 * time.Second

// settle gives the pages of the program back that its start needed and little
// else does: the kernel maps a few of their neighbours with each, and they count
// as memory of ours until others want it. Those still needed come back from the
// file. Only code is given back, which nobody writes to.
func settle() {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return // it goes on as it is
	}
	for line := range strings.Lines(string(maps)) {
		var from, to uintptr
		var access string
		_, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &access)
		if err == nil && access == "r-xp" && strings.Contains(line, "/") { // a file's
			_, _, _ = unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_DONTNEED)
		}
	}
}
