package operator

import (
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/updraft-ota/updraft/httpapi/operator/client"
)

func deviceSync(o *options) *cobra.Command {
	c := one(o, cobra.Command{
		Use: "sync", Short: "Ask a device for the list of what it has installed",
		Example: "  updraft device sync lab-1",
	}, func(c *cobra.Command, api *client.Client, d client.Device) error {
		if err := done(api.WantList(c.Context(), d.Uuid, nil)); err != nil {
			return err
		}
		links, err := read[[]client.Link](api.ListLinks(c.Context(), nil))
		if err != nil {
			return err
		}
		doc := struct {
			Device string `json:"device"`
			Linked bool   `json:"linked"`
		}{d.Uuid.String(), slices.ContainsFunc(links, func(l client.Link) bool { return l.Device != nil && *l.Device == d.Uuid })}
		return o.show(c, doc, func(w io.Writer) {
			name := clean(d.DeviceName)
			if doc.Linked {
				fmt.Fprintf(w, "%s is asked now. updraft device show %s tells when the list came.\n", name, d.Uuid)
				return
			}
			fmt.Fprintf(w, "%s is not linked: it is asked when it next links over RVI. Over HTTP a device tells its list by itself.\n", name)
		})
	})
	c.Long += `

A device that is linked over RVI is asked at once, others when they next link.
One that polls over HTTP cannot be asked: it tells its list by itself, at least
after each install.`
	return c
}
