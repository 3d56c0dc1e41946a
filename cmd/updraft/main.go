// Updraft is the server and the operator's command line of over-the-air
// updates. See updraft --help.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/updraft-ota/updraft/cmd/internal/demo"
	"github.com/updraft-ota/updraft/cmd/internal/operator"
	"github.com/updraft-ota/updraft/cmd/internal/server"
	"github.com/updraft-ota/updraft/cmd/internal/simulate"
)

// version is set by the build.
var version = "unknown"

func main() { os.Exit(run()) }

// run ends in order on the first signal; a second one is not caught.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	root := operator.Root(version, server.Command(version), demo.Command(), simulate.Command())
	return operator.Execute(ctx, root, os.Args[1:])
}
