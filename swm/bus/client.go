package bus

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"

	godbus "github.com/godbus/dbus/v5"

	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/swm"
)

// client is the client at the other end of the bus, as long as there is one.
type client struct {
	log    *slog.Logger
	mu     sync.Mutex
	object godbus.BusObject // nil while the bus is away
}

var _ swm.Client = (*client)(nil)

var errAway = errors.New("the bus is away")

func (c *client) join(conn *godbus.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.object = conn.Object(clientName, clientPath)
}

func (c *client) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.object = nil
}

func (c *client) StartDownload(ctx context.Context, id ota.UpdateID) error {
	return c.call(ctx, "initiateDownload", string(id))
}

func (c *client) SendUpdateReport(ctx context.Context, r ota.Report) error {
	results := make([]dict, len(r.Results))
	for i, o := range r.Results {
		results[i] = dict{
			"id":          godbus.MakeVariant(sayable(o.ID)),
			"result_code": godbus.MakeVariant(int32(o.Code)),
			"result_text": godbus.MakeVariant(sayable(o.Text)),
		}
	}
	return c.call(ctx, "updateReport", string(r.Update), results)
}

func (c *client) SendInstalledPackages(ctx context.Context, packages []ota.PackageID) error {
	list := make([]pair, len(packages))
	for i, p := range packages {
		list[i] = pair{sayable(p.Name), sayable(p.Version)}
	}
	return c.call(ctx, "sendInstalledPackages", list)
}

// pair is "(ss)".
type pair struct{ Name, Version string }

// call fails if nobody is there to answer. That the client refuses the call,
// or does not know it, as the original does not know sendInstalledPackages, is
// an answer.
func (c *client) call(ctx context.Context, method string, args ...any) error {
	within, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c.mu.Lock()
	object := c.object
	c.mu.Unlock()
	if object == nil {
		return errAway
	}
	err := object.CallWithContext(within, clientName+"."+method, 0, args...).Err
	if bad, ok := errors.AsType[godbus.Error](err); ok && !absent(bad.Name) {
		c.log.Warn("the client refused a call", "method", method, "err", err)
		return nil
	}
	return err
}

// absent reports whether an error says that nobody answered.
func absent(name string) bool {
	short, ok := strings.CutPrefix(name, "org.freedesktop.DBus.Error.")
	if !ok {
		return false
	}
	switch short {
	case "ServiceUnknown", "NameHasNoOwner", "NoReply", "Disconnected", "TimedOut", "Timeout", "Failed", "LimitsExceeded":
		return true
	}
	return strings.HasPrefix(short, "Spawn.")
}

// dict is "a{sv}".
type dict = map[string]godbus.Variant

func packageDicts(list []swm.InstalledPackage) []dict {
	out := make([]dict, len(list))
	for i, p := range list {
		out[i] = dict{
			"package_id":    godbus.MakeVariant(sayable(p.ID.Name + "-" + p.ID.Version)),
			"name":          godbus.MakeVariant(sayable(p.ID.Name)),
			"description":   godbus.MakeVariant(sayable(p.Description)),
			"last_modified": godbus.MakeVariant(p.Modified),
		}
	}
	return out
}

func firmwareDicts(list []ota.Firmware) []dict {
	out := make([]dict, len(list))
	for i, f := range list {
		out[i] = dict{
			"module":        godbus.MakeVariant(sayable(f.Module)),
			"firmware_id":   godbus.MakeVariant(sayable(f.ID)),
			"last_modified": godbus.MakeVariant(uint64(max(f.LastModified, 0))),
		}
	}
	return out
}

// sayable makes any text one that the bus carries.
func sayable(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}
