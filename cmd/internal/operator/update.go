package operator

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/updraft-ota/updraft/httpapi/operator/client"
	"github.com/updraft-ota/updraft/ota"
)

func updateCommands(o *options) *cobra.Command {
	return group("update", "Send packages to devices and see what became of it",
		updateSend(o), updateList(o), updateCancel(o))
}

func updateSend(o *options) *cobra.Command {
	var device, pkg, id, until, description string
	var confirm, force bool
	c := &cobra.Command{
		Use:   "send --device DEVICE --package NAME=VERSION",
		Short: "Send a package to a device",
		Long: `Queue a package for a device, which gets it when it next asks. DEVICE is a
device's uuid, device id or name. Without --until the update has no end. With
--confirm the device fetches and installs it only after its user has agreed.

A constrained device is sent only what it could install: the manifest must check,
be for its class and no older than what the device has, and all its files must be
there. The server tells every reason why not; --force sends it all the same, and
that is noted.`,
		Example: `  updraft update send --device lab-1 --package nginx=1.22.1-9
  updraft update send --device lab-1 --package nginx=1.22.1-9 --until 24h
  updraft update send --device lab-1 --package nginx=1.22.1-9 --until 2026-12-31T18:00:00Z
  updraft update send --device lab-1 --package maps=2026.4 --confirm --description "New maps, 2 GB"`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			p, err := o.packageID(c.Context(), "--package", pkg)
			if err != nil {
				return err
			}
			send, err := request(p, id, until)
			if err != nil {
				return err
			}
			if confirm {
				send.RequestConfirmation = &confirm
			}
			if force {
				send.Force = &force
			}
			if description != "" {
				send.Description = &description
			}
			return o.send(c, device, send)
		},
	}
	c.Flags().StringVar(&device, "device", "", "the `device`'s uuid, device id or name")
	c.Flags().StringVar(&pkg, "package", "", "what to install, as `NAME=VERSION`")
	c.Flags().StringVar(&id, "id", "", "`uuid` of the update (default: the server makes one)")
	c.Flags().StringVar(&until, "until", "", "give up unless the device has begun by this `time`: an instant (RFC 3339) or a duration (90m, 24h, 7d)")
	c.Flags().BoolVar(&confirm, "confirm", false, "let the device's user decide")
	c.Flags().StringVar(&description, "description", "", "what to tell the user (default: the package's description)")
	c.Flags().BoolVar(&force, "force", false, "send a constrained device what it could not install")
	need(c, "device", "package")
	return c
}

// request reads what an operator said of an update. It fails on wrong usage.
func request(p ota.PackageID, id, until string) (client.Send, error) {
	send := client.Send{Name: p.Name, Version: p.Version}
	if id != "" {
		given, err := ota.ParseUpdateID(id)
		if err != nil {
			return send, usageError("--id", err)
		}
		u := uuid.MustParse(string(given))
		send.Id = &u
	}
	end, err := parseUntil(until, time.Now())
	if !end.IsZero() {
		send.Until = &end
	}
	return send, err
}

func (o *options) send(c *cobra.Command, device string, send client.Send) error {
	api, err := o.connect()
	if err != nil {
		return err
	}
	d, err := findDevice(c.Context(), api, device)
	if err != nil {
		return err
	}
	sent, err := read[client.Sent](api.SendUpdate(c.Context(), d.Uuid, nil, send))
	if err != nil {
		return err
	}
	doc := struct {
		ID     string `json:"id"`
		Device string `json:"device"`
		client.Sent
	}{sent.RequestId, d.Uuid.String(), sent}
	return o.show(c, doc, func(w io.Writer) {
		fmt.Fprintf(w, "%s  %s=%s for %s\n", sent.RequestId, sent.PackageId.Name, sent.PackageId.Version, clean(d.DeviceName))
		if b := sent.Blocked; b != nil {
			fmt.Fprintf(w, "It is held back: the device is blocked since %s: %s.\nupdraft device unblock %s lets it go on.\n",
				at(b.BlockedAt, time.Now()), clean(b.Reason), d.Uuid)
		}
	})
}

func updateList(o *options) *cobra.Command {
	var device string
	c := &cobra.Command{
		Use:     "ls",
		Short:   "List updates, oldest first, with what became of them",
		Example: "  updraft update ls\n  updraft update ls --device lab-1",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			api, err := o.connect()
			if err != nil {
				return err
			}
			params, names := &client.ListUpdatesParams{}, map[string]string{}
			if device != "" {
				d, err := findDevice(c.Context(), api, device)
				if err != nil {
					return err
				}
				params.Device, names[d.Uuid.String()] = &d.Uuid, d.DeviceName
			}
			updates, err := read[[]client.Update](api.ListUpdates(c.Context(), params))
			if err != nil {
				return err
			}
			if device == "" && o.output != "json" {
				if names, err = deviceNames(c.Context(), api); err != nil {
					return err
				}
			}
			return o.show(c, updates, func(w io.Writer) { listUpdates(w, updates, names) })
		},
	}
	c.Flags().StringVar(&device, "device", "", "only this `device`'s: uuid, device id or name")
	return c
}

// deviceNames maps uuids to names.
func deviceNames(ctx context.Context, api *client.Client) (map[string]string, error) {
	devices, err := read[[]client.Device](api.ListDevices(ctx, nil))
	names := make(map[string]string, len(devices))
	for _, d := range devices {
		names[d.Uuid.String()] = d.DeviceName
	}
	return names, err
}

func listUpdates(w io.Writer, updates []client.Update, names map[string]string) {
	now := time.Now()
	rows := make([][]string, len(updates))
	for i, u := range updates {
		rows[i] = []string{u.Id, names[u.Device.String()], u.PackageId.Name, u.PackageId.Version, string(u.Status), ago(u.UpdatedAt, now), remark(u, now)}
	}
	list(w, "There are no updates yet: updraft update send makes one.",
		[]string{"id", "device", "package", "version", "status", "changed", ""}, rows)
}

// remark tells what else there is to know of an update.
func remark(u client.Update, now time.Time) string {
	if u.Tries != nil && u.EndedAt == nil {
		return tried(u, now)
	}
	switch {
	case u.Reason != nil:
		return brief(*u.Reason)
	case u.Forced != nil && u.EndedAt == nil:
		return "forced, although " + brief(*u.Forced)
	case u.SentAt != nil && u.EndedAt == nil:
		return "sent " + ago(*u.SentAt, now) + ", to be reported"
	case u.Status != client.UpdateStatusPending:
		return ""
	}
	var what []string
	if u.RequestConfirmation != nil && *u.RequestConfirmation {
		what = append(what, "its user must agree")
	}
	if u.Until != nil {
		what = append(what, "until "+at(*u.Until, now))
	}
	return strings.Join(what, ", ")
}

// tried tells of an update whose device did not answer so far.
func tried(u client.Update, now time.Time) string {
	s := fmt.Sprintf("try %d of %d", min(*u.Tries+1, ota.MaxTries), ota.MaxTries)
	if u.RetryAt != nil {
		when := "soon"
		if u.RetryAt.After(now) {
			when = ago(*u.RetryAt, now)
		}
		s += " " + when
	}
	return s + ": " + brief(said(u.Reason))
}

func updateCancel(o *options) *cobra.Command {
	var device string
	c := &cobra.Command{
		Use:   "cancel ID",
		Short: "Withdraw an update that its device has not begun",
		Long: `Withdraw an update. One that its device has begun to fetch is not stopped,
unless the server sends it over RVI and has not sent all of it.
Updates of several devices may have one id, if it was given with --id; --device
says which is meant then.`,
		Example: "  updraft update cancel 0198c0de-0000-7000-8000-000000000001",
		Args:    takes(1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			id, err := ota.ParseUpdateID(args[0])
			if err != nil {
				return usageError("ID", err)
			}
			return o.cancel(c, id, device)
		},
	}
	c.Flags().StringVar(&device, "device", "", "the `device`'s uuid, device id or name")
	return c
}

func (o *options) cancel(c *cobra.Command, id ota.UpdateID, device string) error {
	api, err := o.connect()
	if err != nil {
		return err
	}
	u, err := findUpdate(c.Context(), api, id, device)
	if err != nil {
		return err
	}
	if err := done(api.CancelUpdate(c.Context(), u.Device, uuid.MustParse(string(id)), nil)); err != nil {
		return err
	}
	if u, err = findUpdate(c.Context(), api, id, u.Device.String()); err != nil {
		return err
	}
	return o.show(c, u, func(w io.Writer) {
		fmt.Fprintf(w, "canceled %s, %s=%s\n", u.Id, u.PackageId.Name, u.PackageId.Version)
	})
}

// findUpdate finds the only update of that id, of any device if none is given.
func findUpdate(ctx context.Context, api *client.Client, id ota.UpdateID, device string) (client.Update, error) {
	params := &client.ListUpdatesParams{Id: (*string)(&id)}
	if device != "" {
		d, err := findDevice(ctx, api, device)
		if err != nil {
			return client.Update{}, err
		}
		params.Device = &d.Uuid
	}
	updates, err := read[[]client.Update](api.ListUpdates(ctx, params))
	if err != nil {
		return client.Update{}, err
	}
	var found []client.Update
	for _, u := range updates { // updates of a request with that id came too
		if u.Id == string(id) {
			found = append(found, u)
		}
	}
	switch len(found) {
	case 0:
		return client.Update{}, fmt.Errorf("there is no update %s: updraft update ls lists those there are", id)
	case 1:
		return found[0], nil
	}
	return client.Update{}, fmt.Errorf("%d devices have an update %s: say which with --device", len(found), id)
}
