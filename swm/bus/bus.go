// Package bus is the software loading manager's door on D-Bus (client.md 5.4):
// the name org.genivi.SoftwareLoadingManager, at which the client calls
// updateAvailable, downloadComplete and getInstalledPackages, and our calls of
// initiateDownload, updateReport and sendInstalledPackages.
package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	godbus "github.com/godbus/dbus/v5"
	"github.com/godbus/dbus/v5/introspect"

	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/swm"
)

// Names of both sides.
const (
	name       = "org.genivi.SoftwareLoadingManager" // and interface
	path       = "/org/genivi/SoftwareLoadingManager"
	clientName = "org.genivi.SotaClient" // and interface
	clientPath = "/org/genivi/SotaClient"
)

// patience is how long the client may take to answer a call.
const patience = time.Minute

// Manager is who the door is for; *swm.Manager is one.
type Manager interface {
	UpdateAvailable(swm.Offer) error
	DownloadComplete(path string, id ota.UpdateID) error
	Installed(ctx context.Context, packages, firmware bool) (swm.Inventory, error)
	Run(ctx context.Context, c swm.Client) error
}

// Options say which bus, and how it is spoken there.
type Options struct {
	System bool // the system bus; else the session's
	// CompatOrder reads updateAvailable as the original client writes it: the
	// signature before the description.
	CompatOrder bool
	Log         *slog.Logger // nil: slog.Default
}

// Serve opens the door and runs m behind it until ctx ends, which is nil. A bus
// that goes away is waited for. It fails if another program has our name, or
// if the bus cannot be reached at the start.
func Serve(ctx context.Context, m Manager, o Options) error {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	d := &door{manager: m, Options: o, client: &client{log: o.Log}}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	conn, err := d.open(ctx)
	if err != nil {
		return err
	}
	ran := make(chan error, 1)
	go func() { ran <- m.Run(ctx, d.client) }()
	err = d.keepOpen(ctx, conn)
	cancel()
	return errors.Join(err, <-ran)
}

var errTaken = errors.New("another program has the name " + name + " on the bus")

type door struct {
	manager Manager
	Options
	client *client
}

// keepOpen connects again whenever the connection ends. It fails if another
// program has taken our name in the meantime.
func (d *door) keepOpen(ctx context.Context, conn *godbus.Conn) error {
	for {
		select {
		case <-conn.Context().Done():
		case <-ctx.Done():
		}
		d.client.leave()
		conn.Close()
		for wait := time.Second; ; wait = min(2*wait, time.Minute) {
			if ctx.Err() != nil {
				return nil
			}
			var err error
			if conn, err = d.open(ctx); err == nil {
				break
			}
			if errors.Is(err, errTaken) {
				return err
			}
			d.Log.Warn("no bus, will try again", "in", wait, "err", err)
			select {
			case <-time.After(wait):
			case <-ctx.Done():
			}
		}
	}
}

// open connects, offers our methods and takes our name.
func (d *door) open(ctx context.Context) (*godbus.Conn, error) {
	connect := godbus.SessionBusPrivateNoAutoStartup
	if d.System {
		connect = godbus.SystemBusPrivate
	}
	conn, err := connect()
	if err != nil {
		return nil, fmt.Errorf("connect to the bus: %w", err)
	}
	if err := d.enter(ctx, conn); err != nil {
		conn.Close()
		return nil, err
	}
	d.client.join(conn)
	d.Log.Info("on the bus", "name", name, "system", d.System)
	return conn, nil
}

func (d *door) enter(ctx context.Context, conn *godbus.Conn) error {
	if err := conn.Auth(nil); err != nil {
		return fmt.Errorf("the bus does not let us in: %w", err)
	}
	if err := conn.Hello(); err != nil {
		return fmt.Errorf("the bus does not let us in: %w", err)
	}
	if err := d.export(ctx, conn); err != nil {
		return err
	}
	// Only now may calls come: the client makes them when the name appears.
	reply, err := conn.RequestName(name, godbus.NameFlagDoNotQueue)
	if err != nil {
		return fmt.Errorf("take the name %s (on the system bus a policy must allow it): %w", name, err)
	}
	if reply != godbus.RequestNameReplyPrimaryOwner {
		return errTaken
	}
	return nil
}

// typed makes sure that arguments are of these types: the library would make a
// text of a number.
func typed(msg godbus.Message, want string) *godbus.Error {
	if got, _ := msg.Headers[godbus.FieldSignature].Value().(godbus.Signature); got.String() != want {
		return godbus.NewError("org.freedesktop.DBus.Error.InvalidArgs", []any{fmt.Sprintf("arguments are of types %q, expected %q", got.String(), want)})
	}
	return nil
}

// export offers our methods. The library counts the arguments.
func (d *door) export(ctx context.Context, conn *godbus.Conn) error {
	methods := map[string]any{
		"updateAvailable": func(msg godbus.Message, id, second, third string, confirm bool) *godbus.Error {
			if err := typed(msg, "sssb"); err != nil {
				return err
			}
			o := swm.Offer{Update: ota.UpdateID(id), Description: second, Signature: third, Confirm: confirm}
			if d.CompatOrder {
				o.Description, o.Signature = third, second
			}
			return d.refusal("updateAvailable", d.manager.UpdateAvailable(o))
		},
		"downloadComplete": func(msg godbus.Message, image, _ string) *godbus.Error {
			if err := typed(msg, "ss"); err != nil {
				return err
			}
			return d.refusal("downloadComplete", d.manager.DownloadComplete(image, ""))
		},
		"getInstalledPackages": func(msg godbus.Message, packages, firmware bool) ([]dict, []dict, *godbus.Error) {
			if err := typed(msg, "bb"); err != nil {
				return nil, nil, err
			}
			within, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			inv, err := d.manager.Installed(within, packages, firmware)
			return packageDicts(inv.Packages), firmwareDicts(inv.Firmware), d.refusal("getInstalledPackages", err)
		},
	}
	node := &introspect.Node{Name: path, Interfaces: []introspect.Interface{introspect.IntrospectData, described}}
	// Tables, because Export looks methods up by reflection, and so keeps the
	// linker from leaving any method out of the program: 2 MB.
	data := string(introspect.NewIntrospectable(node))
	return errors.Join(
		conn.ExportMethodTable(methods, path, name),
		conn.ExportMethodTable(map[string]any{"Introspect": func() (string, *godbus.Error) { return data, nil }},
			path, "org.freedesktop.DBus.Introspectable"))
}

// refusal names an error as the D-Bus specification does.
func (d *door) refusal(method string, err error) *godbus.Error {
	if err == nil {
		return nil
	}
	d.Log.Warn("refused a call", "method", method, "err", err)
	kind := "Failed"
	switch ota.KindOf(err) {
	case ota.KindInvalid:
		kind = "InvalidArgs"
	case ota.KindTooMany:
		kind = "LimitsExceeded"
	}
	return godbus.NewError("org.freedesktop.DBus.Error."+kind, []any{err.Error()})
}

func arg(name, typ, direction string) introspect.Arg {
	return introspect.Arg{Name: name, Type: typ, Direction: direction}
}

var described = introspect.Interface{Name: name, Methods: []introspect.Method{
	{Name: "updateAvailable", Args: []introspect.Arg{arg("update_id", "s", "in"), arg("description", "s", "in"), arg("signature", "s", "in"), arg("request_confirmation", "b", "in")}},
	{Name: "downloadComplete", Args: []introspect.Arg{arg("update_image", "s", "in"), arg("signature", "s", "in")}},
	{Name: "getInstalledPackages", Args: []introspect.Arg{arg("include_packages", "b", "in"), arg("include_firmware", "b", "in"), arg("packages", "aa{sv}", "out"), arg("firmware", "aa{sv}", "out")}},
}}
