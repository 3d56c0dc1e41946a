// Package e2e holds no code, only the stories of the whole house: an operator,
// a server, devices and dpkg, each a process of its own, as on real machines.
//
// The test program plays the parts. Started again with E2E_ROLE set it is the
// server or the agent, wired as the real programs are, but for one thing: told
// so by E2E_KILL, it ends itself with SIGKILL at the n-th time it passes a
// point, the way a power cut would. Nothing is cleaned up then, and whoever
// comes next has only what is on disk. What a process may need of memory is
// measured with the real programs, built for it, as are those of the demo.
//
// Every device has a scratch root with a shell, and packages with real
// maintainer scripts are installed there by the real dpkg. Scripts need
// chroot(2): an ordinary user's test run happens in a user namespace.
package e2e
