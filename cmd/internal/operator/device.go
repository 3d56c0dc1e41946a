package operator

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/updraft-ota/updraft/httpapi/operator/client"
	"github.com/updraft-ota/updraft/ota"
)

func deviceCommands(o *options) *cobra.Command {
	return group("device", "Register devices and look at them",
		deviceAdd(o), deviceList(o), deviceShow(o), deviceRemove(o), deviceBlock(o), deviceUnblock(o), deviceSync(o), devicePSK(o))
}

// one makes a command about one device, named by its argument D.
func one(o *options, c cobra.Command, run func(c *cobra.Command, api *client.Client, d client.Device) error) *cobra.Command {
	c.Use += " DEVICE"
	c.Long = c.Short + ".\n\nDEVICE is a device's uuid, device id or name."
	c.Args = takes(1, 1)
	c.RunE = func(c *cobra.Command, args []string) error {
		api, err := o.connect()
		if err != nil {
			return err
		}
		d, err := findDevice(c.Context(), api, args[0])
		if err != nil {
			return err
		}
		return run(c, api, d)
	}
	return &c
}

// findDevice finds the device somebody means: by uuid, device id or name. A
// word that means two devices is refused.
func findDevice(ctx context.Context, api *client.Client, ref string) (client.Device, error) {
	if id, err := ota.ParseDeviceID(ref); err == nil {
		d, err := read[client.Device](api.GetDevice(ctx, uuid.MustParse(string(id)), nil))
		if !refused(err, "missing_device") {
			return d, err
		}
	}
	found, err := read[[]client.Device](api.ListDevices(ctx, &client.ListDevicesParams{DeviceId: &ref}))
	if err != nil {
		return client.Device{}, err
	}
	exactly := "^" + regexp.QuoteMeta(ref) + "$"
	named, err := read[[]client.Device](api.ListDevices(ctx, &client.ListDevicesParams{Regex: &exactly}))
	if err != nil {
		return client.Device{}, err
	}
	if len(found) == 1 && len(named) == 1 && found[0].Uuid == named[0].Uuid {
		return found[0], nil
	}
	switch found = append(found, named...); len(found) {
	case 0:
		return client.Device{}, fmt.Errorf("there is no device %q: %s", ref, hints["missing_device"])
	case 1:
		return found[0], nil
	}
	return client.Device{}, fmt.Errorf("%q is one device's id and another's name: say which by uuid, %s or %s", ref, found[0].Uuid, found[1].Uuid)
}

func deviceList(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "ls",
		Short: "List devices",
		Long: `List devices. Long names and texts are clipped, and columns in which nothing
stands are left out: -o json tells everything, the uuids too.`,
		Example: "  updraft device ls\n  updraft device ls -o json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			api, err := o.connect()
			if err != nil {
				return err
			}
			devices, err := read[[]client.Device](api.ListDevices(c.Context(), nil))
			if err != nil {
				return err
			}
			return o.show(c, devices, func(w io.Writer) { listDevices(w, devices) })
		},
	}
}

func deviceRemove(o *options) *cobra.Command {
	return one(o, cobra.Command{
		Use: "rm", Short: "Forget a device with all that is its own, and end its tokens",
		Example: "  updraft device rm lab-1",
	}, func(c *cobra.Command, api *client.Client, d client.Device) error {
		if err := done(api.RemoveDevice(c.Context(), d.Uuid, nil)); err != nil {
			return err
		}
		return o.show(c, d, func(w io.Writer) { fmt.Fprintf(w, "removed %s (%s)\n", clean(d.DeviceName), d.Uuid) })
	})
}

func deviceBlock(o *options) *cobra.Command {
	return one(o, cobra.Command{
		Use: "block", Short: "Hold a device's pending updates back",
		Example: "  updraft device block lab-1",
	}, func(c *cobra.Command, api *client.Client, d client.Device) error {
		if err := done(api.Block(c.Context(), d.Uuid, nil)); err != nil {
			return err
		}
		return o.showDevice(c, api, d)
	})
}

func deviceUnblock(o *options) *cobra.Command {
	return one(o, cobra.Command{
		Use: "unblock", Short: "Let a device have its pending updates again",
		Example: "  updraft device unblock lab-1",
	}, func(c *cobra.Command, api *client.Client, d client.Device) error {
		if err := done(api.Unblock(c.Context(), d.Uuid, nil)); err != nil {
			return err
		}
		return o.showDevice(c, api, d)
	})
}

// showDevice reads a device anew and prints it.
func (o *options) showDevice(c *cobra.Command, api *client.Client, d client.Device) error {
	d, err := read[client.Device](api.GetDevice(c.Context(), d.Uuid, nil))
	if err != nil {
		return err
	}
	return o.show(c, d, func(w io.Writer) { listDevices(w, []client.Device{d}) })
}

// added is what is told of a new device, this once.
type added struct {
	UUID         string `json:"uuid"`
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret"`
	AgentConfig  string `json:"agent_config,omitempty"`
	server       string // that the configuration names
}

func deviceAdd(o *options) *cobra.Command {
	var name, deviceID, id, config string
	var small constrained
	c := &cobra.Command{
		Use:   "add --name NAME",
		Short: "Register a device and print its credentials, this once",
		Long: `Register a device. Its client id and secret are printed now and never again:
keep them, or have them written into a ready configuration for the device's
updraft-agent with --agent-config. A server that runs with --auth none asks for
no credentials, and the configuration has none then.

A microcontroller that speaks CoAP is added with --constrained, --vendor and
--class, from which the ids in its manifests are made. With --psk it gets a key
for coaps, with --enrol a token by which it gets its key by itself, once; the
identity to show with either is printed beside it. With --plain-coap it is
believed without any proof, and what it reports is marked as unauthenticated.`,
		Example: `  updraft device add --name lab-1 --agent-config sota.toml
  updraft device add --name car-7 --device-id WVWZZZ1JZXW000001 -o json
  updraft device add --name node-1 --constrained --vendor example.com --class thermostat --psk`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			device := client.DeviceT{DeviceName: name}
			if deviceID != "" {
				device.DeviceId = &deviceID
			}
			if id != "" {
				given, err := ota.ParseDeviceID(id)
				if err != nil {
					return usageError("--uuid", err)
				}
				u := uuid.MustParse(string(given))
				device.Uuid = &u
			}
			if small.is || small.said(c) {
				return o.addConstrained(c, device, small, config)
			}
			return o.addDevice(c, device, config)
		},
	}
	c.Flags().StringVar(&name, "name", "", "display `name`, unique")
	c.Flags().StringVar(&deviceID, "device-id", "", "the maker's `id`, such as a VIN; unique")
	c.Flags().StringVar(&id, "uuid", "", "`uuid` of the device (default: the server makes one)")
	c.Flags().StringVar(&config, "agent-config", "", "write a ready sota.toml to this `file`, which must not exist yet")
	small.flags(c)
	need(c, "name")
	return c
}

// addDevice makes sure of the file before the device: were it the other way
// round, a secret could be lost that nobody can ask for again.
func (o *options) addDevice(c *cobra.Command, device client.DeviceT, config string) error {
	api, err := o.connect()
	if err != nil {
		return err
	}
	proof, err := asksForProof(c.Context(), api)
	if err != nil {
		return err
	}
	if config != "" {
		if err := create(config, nil, 0o600); err != nil {
			return err
		}
	}
	a, err := register(c.Context(), api, device)
	if err == nil && config != "" {
		file := agentConfig{name: device.DeviceName, server: strings.TrimSuffix(api.Server, "/"), uuid: a.UUID}
		if proof {
			file.clientID, file.secret = a.ClientID, a.ClientSecret
		}
		if device.DeviceId != nil {
			file.vin = *device.DeviceId
		}
		a.AgentConfig, a.server = config, file.server
		err = rewrite(config, file.toml())
	} else if err != nil && config != "" {
		os.Remove(config) // it is empty
	}
	if a.ClientSecret == "" {
		return err
	}
	// Even if the file failed: this is the only chance.
	if shown := o.show(c, a, a.print); err == nil {
		err = shown
	}
	return err
}

func register(ctx context.Context, api *client.Client, device client.DeviceT) (a added, err error) {
	if a.UUID, err = read[string](api.AddDevice(ctx, nil, device)); err != nil {
		return a, err
	}
	id, err := uuid.Parse(a.UUID)
	if err != nil {
		return a, fmt.Errorf("the server says the new device's uuid is %q", a.UUID)
	}
	cred, err := read[client.Credentials](api.RenewCredentials(ctx, id, nil))
	if err != nil {
		return a, fmt.Errorf("%s was added, but has no credentials (remove it and try again): %w", a.UUID, err)
	}
	a.ClientID, a.ClientSecret = cred.ClientId, cred.ClientSecret
	return a, nil
}

func (a added) print(w io.Writer) {
	facts(w, [][2]string{{"uuid", a.UUID}, {"client id", a.ClientID}, {"client secret", a.ClientSecret}, {"configuration", a.AgentConfig}})
	fmt.Fprintln(w, "\nThe secret is shown this once.")
	if onlyHere(a.server) {
		fmt.Fprintf(w, "The configuration names %s, which only this machine reaches: a device elsewhere\nneeds one made with --server and a name that it knows.\n", a.server)
	}
}

// onlyHere reports whether a URL means the machine it is used on.
func onlyHere(server string) bool {
	u, err := url.Parse(server)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() == "localhost" || err == nil && ip.IsLoopback()
}
