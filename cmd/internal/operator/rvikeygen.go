package operator

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/updraft-ota/updraft/cmd/internal/rvikeys"
	"github.com/updraft-ota/updraft/cmd/internal/usage"
	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/rvi"
)

func rviKeygen(o *options) *cobra.Command {
	var data, vin, device, out string
	c := &cobra.Command{
		Use:   "keygen --data DIR (--vin VIN | --device UUID) --out DIR",
		Short: "Make the files by which a device proves itself over RVI",
		Long: `Make a device's proof for RVI over TLS, in the folder --out: root.crt,
device.crt, device.key and credential.jwt. With them a node is the vehicle of
that VIN, or the device of that uuid, for whoever trusts the root, and may speak
to the backend and to nobody else. Existing files are not overwritten.

This needs no server that runs, but its data folder: what is made is signed with
the root in DIR/rvi, which is made first if there is none. The device is told
where the files are by --rvi-root, --rvi-cert, --rvi-key and --rvi-cred of
updraft-agent node, or the keys of those names in its configuration. It should
be registered, too: updraft device add with the VIN as --device-id, or with
--uuid.

Certificate and credential are good for 15 years, those of the server and the
root for 30 from when they were made; nothing outlives the root. A file cannot be
recalled before that; a device that is removed gets nothing, whatever it has.`,
		Example: `  updraft rvi keygen --data /var/lib/updraft --vin WVWZZZ1JZXW000001 --out car-7
  updraft rvi keygen --data /var/lib/updraft --device 0198c0de-0000-7000-8000-000000000001 --out lab-1`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			who, err := rviIdentity(vin, device)
			if err != nil {
				return err
			}
			files, err := rvikeys.Issue(data, who, out, time.Now())
			if err != nil {
				return err
			}
			doc := struct {
				Prefix string `json:"prefix"`
				Root   string `json:"root"`
				Cert   string `json:"cert"`
				Key    string `json:"key"`
				Cred   string `json:"cred"`
			}{who.Prefix(), files.Root, files.Cert, files.Key, files.Cred}
			return o.show(c, doc, func(w io.Writer) {
				fmt.Fprintf(w, "Whoever has these is %s: keep %s secret.\n", doc.Prefix, doc.Key)
				facts(w, [][2]string{{"root", doc.Root}, {"cert", doc.Cert}, {"key", doc.Key}, {"cred", doc.Cred}})
			})
		},
	}
	c.Flags().StringVar(&data, "data", "", "the server's data `folder`")
	c.Flags().StringVar(&vin, "vin", "", "`VIN` of the vehicle")
	c.Flags().StringVar(&device, "device", "", "`uuid` of the device")
	c.Flags().StringVar(&out, "out", "", "`folder` for the files, which is made if need be")
	need(c, "data", "out")
	return c
}

// rviIdentity reads who a device is. It fails on wrong usage.
func rviIdentity(vin, device string) (rvi.Identity, error) {
	switch {
	case (vin == "") == (device == ""):
		return rvi.Identity{}, usage.Errorf("say who the device is with either --vin or --device")
	case device != "":
		id, err := ota.ParseDeviceID(device)
		if err != nil {
			return rvi.Identity{}, usageError("--device", err)
		}
		return rvi.Identity{Device: id}, nil
	}
	who := rvi.Identity{VIN: vin}
	if err := who.Check(); err != nil {
		return rvi.Identity{}, usageError("--vin", err)
	}
	return who, nil
}
