package e2e_test

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/spf13/pflag"

	"github.com/updraft-ota/updraft/cmd/internal/device"
	"github.com/updraft-ota/updraft/cmd/internal/server"
)

// What this program is told when it starts itself.
const (
	roleEnv      = "E2E_ROLE"      // "server" or "agent"; unset: the tests
	killEnv      = "E2E_KILL"      // see doom
	namespaceEnv = "E2E_NAMESPACE" // set in the namespace that TestMain makes
	programsEnv  = "E2E_PROGRAMS"  // where the real programs lie, if they are built already
	ordinaryEnv  = "E2E_ORDINARY"  // set where the tests must stay an ordinary user
)

func TestMain(m *testing.M) {
	switch os.Getenv(roleEnv) {
	case "server":
		os.Exit(serve())
	case "agent":
		os.Exit(device.Main(os.Args[1:], "e2e", device.Hooks{Fault: doom(io.Discard)}))
	}
	if os.Geteuid() != 0 && os.Getenv(ordinaryEnv) == "" {
		os.Exit(asRoot())
	}
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		f.Value.Set("6") // stories mostly wait, for disks and for each other
	}
	code := m.Run()
	programs.remove()
	os.Exit(code)
}

// asRoot runs the tests as root of a user namespace, and what is about
// ordinary users outside.
func asRoot() int {
	namespace := &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
	}
	err := again(os.Stdout, namespace, namespaceEnv, os.Args[1:]...)
	if err == nil {
		err = again(os.Stdout, nil, ordinaryEnv, "-test.run=^TestDemoForAnOrdinaryUser$")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "these tests need root, or a kernel that lets users make namespaces:", err)
		return 1
	}
	return 0
}

// again runs this test program again, with a variable set.
func again(out io.Writer, attr *syscall.SysProcAttr, variable string, args ...string) error {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), variable+"=1")
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = out, out, attr
	return cmd.Run()
}

// serve is the program updraft server, with a doom.
func serve() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go tellMemory(ctx)
	flags := pflag.NewFlagSet("server", pflag.ContinueOnError)
	load := server.Flags(flags)
	err := flags.Parse(os.Args[1:])
	if err == nil {
		var config server.Config
		if config, err = load(); err == nil {
			err = server.Run(ctx, config, server.Hooks{Fault: doom(os.Stderr)})
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "server:", err)
		return 1
	}
	return 0
}

// tellMemory writes down, whenever it is asked with SIGUSR1, how many bytes of
// heap and stacks are in use after a collection.
func tellMemory(ctx context.Context) {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR1)
	for n := 1; ; n++ {
		select {
		case <-asked:
		case <-ctx.Done():
			return
		}
		runtime.GC()
		runtime.GC() // after the second, pools are empty
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		fmt.Fprintf(os.Stderr, "in use %d: %d\n", n, m.HeapAlloc+m.StackInuse)
	}
}

// passed begins the line doom writes for each point.
const passed = "passed: "

// doom is a Fault hook: it ends the process at the point and time that
// E2E_KILL names, as "POINT#N", and writes down every point passed before.
func doom(log io.Writer) func(point string) {
	point, count, _ := strings.Cut(os.Getenv(killEnv), "#")
	left, _ := strconv.Atoi(count)
	var mu sync.Mutex
	return func(here string) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintln(log, passed+here)
		if here != point {
			return
		}
		if left--; left == 0 {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
}

// killAt is what makes a process end at the n-th time it passes a point.
func killAt(point string, n int) string { return fmt.Sprintf("%s=%s#%d", killEnv, point, n) }
