// Manual writes the man pages of both programs, a page for each command, into
// a directory; they are made from what --help says.
package main

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/updraft-ota/updraft/cmd/internal/demo"
	"github.com/updraft-ota/updraft/cmd/internal/device"
	"github.com/updraft-ota/updraft/cmd/internal/operator"
	"github.com/updraft-ota/updraft/cmd/internal/server"
	"github.com/updraft-ota/updraft/cmd/internal/simulate"
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: manual DIR VERSION DATE(YYYY-MM-DD)")
		os.Exit(2)
	}
	if err := write(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "manual:", err)
		os.Exit(1)
	}
}

func write(dir, version, date string) error {
	day, err := time.Parse(time.DateOnly, date)
	if err != nil {
		return err
	}
	roots := []*cobra.Command{
		operator.Root(version, server.Command(version), demo.Command(), simulate.Command()),
		device.Command(version),
	}
	for _, root := range roots {
		root.DisableAutoGenTag = true
		header := &doc.GenManHeader{Section: "1", Date: &day, Source: "Updraft " + version, Manual: "Updraft"}
		if err := doc.GenManTree(root, header, dir); err != nil {
			return err
		}
	}
	return nil
}
