// Package simulate is `updraft sim`: devices that are not there, to try a
// server, a manifest or a network with.
//
// What happens goes to standard output, a line each, as it happens.
package simulate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/spf13/cobra"

	"github.com/updraft-ota/updraft/cmd/internal/usage"
	"github.com/updraft-ota/updraft/sim"
)

// Command makes the command sim.
func Command() *cobra.Command {
	c := &cobra.Command{
		Use:   "sim",
		Short: "Play devices that are not there",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("unknown command %q", args[0])
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error {
			return usage.Errorf("%s what? coap: see %s --help", c.CommandPath(), c.CommandPath())
		},
	}
	c.AddCommand(coapCommand())
	return c
}

// actor is a device that is ready to be played.
type actor struct {
	device *sim.Device
	socket net.PacketConn
}

// perform plays all devices until ctx ends, or all of them are done. One that
// breaks ends all; one that refuses a manifest does not.
func perform(ctx context.Context, cast []actor) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var playing sync.WaitGroup
	var mu sync.Mutex
	var failed []error
	for _, a := range cast {
		playing.Go(func() {
			err := a.device.Run(ctx, a.socket)
			if err == nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			failed = append(failed, fmt.Errorf("%s: %w", a.device.Name, err))
			if !errors.Is(err, sim.ErrRefused) {
				stop(err)
			}
		})
	}
	playing.Wait()
	const shown = 3
	if n := len(failed); n > shown {
		failed = append(failed[:shown], fmt.Errorf("and %d more", n-shown))
	}
	if err := errors.Join(failed...); err != nil {
		return err
	}
	if ctx.Err() != nil && !errors.Is(context.Cause(ctx), context.Canceled) {
		return context.Cause(ctx) // the time is up
	}
	return nil
}

// printer shows events as they come, from many goroutines.
func printer(w io.Writer, asJSON bool) func(sim.Event) {
	var mu sync.Mutex
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return func(e sim.Event) {
		mu.Lock()
		defer mu.Unlock()
		if asJSON {
			_ = enc.Encode(e) // whoever read it is gone, and the devices go on
			return
		}
		fmt.Fprintf(w, "%s  %s\n", e.Time.Local().Format("15:04:05"), clean(e.String()))
	}
}
