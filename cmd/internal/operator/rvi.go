package operator

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/updraft-ota/updraft/httpapi/operator/client"
)

func rviCommands(o *options) *cobra.Command {
	return group("rvi", "See which vehicles are linked, and make their keys", rviList(o), rviKeygen(o))
}

func rviList(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "ls",
		Short: "List who is linked over RVI, and what is under way to them",
		Long: `List who is linked to the server over RVI (Remote Vehicle Interaction), since
when, and how far the updates are that are under way to them.

A peer without a device is nobody that is registered, and gets nothing: updraft
device add with the VIN as --device-id, or the uuid as --uuid, changes that.`,
		Example: "  updraft rvi ls\n  updraft rvi ls -o json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			api, err := o.connect()
			if err != nil {
				return err
			}
			protocol := "rvi"
			links, err := read[[]client.Link](api.ListLinks(c.Context(), &client.ListLinksParams{Protocol: &protocol}))
			if err != nil {
				return err
			}
			return o.show(c, links, func(w io.Writer) { listLinks(w, links, time.Now()) })
		},
	}
}

// listLinks prints a row for each link, and one more for each transfer after
// its first.
func listLinks(w io.Writer, links []client.Link, now time.Time) {
	var rows [][]string
	for _, l := range links {
		row := []string{said(l.DeviceName), l.Peer, said(l.Dialect), security(l), ago(l.Since, now), said(l.Address)}
		if l.Device == nil {
			row[0] = "(unknown)"
		}
		for _, t := range l.Transfers {
			rows = append(rows, append(row, t.PackageId.Name+"="+t.PackageId.Version, underway(t)))
			row = make([]string, len(row))
		}
		if len(l.Transfers) == 0 {
			rows = append(rows, append(row, "", ""))
		}
	}
	list(w, "Nobody is linked over RVI.",
		[]string{"device", "peer", "dialect", "link", "since", "address", "package", "progress"}, rows)
}

func security(l client.Link) string {
	if l.Secure {
		return "tls"
	}
	return "plain"
}

// underway tells how far a transfer is, such as "sending 8/16 chunks, 1.5 MiB/s".
func underway(t client.Transfer) string {
	s := fmt.Sprintf("%s %d/%d chunks", t.State, t.ChunksReceived, t.Chunks)
	if t.BytesPerSecond > 0 {
		s += ", " + size(t.BytesPerSecond) + "/s"
	}
	if t.Resends > 0 {
		s += fmt.Sprintf(", %d sent again", t.Resends)
	}
	return s
}
