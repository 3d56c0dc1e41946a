package dbus

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	godbus "github.com/godbus/dbus/v5"

	"github.com/updraft-ota/updraft/agent"
	"github.com/updraft-ota/updraft/ota"
)

// The calls we make on a software loading manager (client.md 5.4).

// updateAvailable asks for consent. The reference manager reads the
// description before the signature; the original sends them the other way
// round, and so do we if compat is true.
func updateAvailable(a agent.Available, compat bool) *errand {
	second, third := sayable(a.Description), sayable(a.Signature)
	if compat {
		second, third = third, second
	}
	return &errand{update: a.Update, method: "updateAvailable", args: []any{sayable(string(a.Update)), second, third, a.RequestConfirmation}}
}

// downloadComplete hands an image over. It does not name the update: the
// manager finds it in the image.
func downloadComplete(d agent.Downloaded) *errand {
	return &errand{update: d.Update, method: "downloadComplete", args: []any{sayable(d.Path), sayable(d.Signature)}}
}

// getInstalledPackages asks for packages, and not for firmware.
func getInstalledPackages() *errand {
	return &errand{method: listMethod, args: []any{true, false}}
}

const listMethod = "getInstalledPackages"

// call makes the call of an errand that is not being made. A manager that can
// be started by the bus is. What becomes of the call is seen to elsewhere.
func (s *session) call(e *errand) {
	if e == nil || !s.door.errands.begin(e) {
		return
	}
	ctx, cancel := context.WithTimeout(s.ctx, s.door.timeout())
	c := s.manager.GoWithContext(ctx, s.door.cfg.SoftwareManager+"."+e.method, 0, nil, e.args...)
	s.calls.Go(func() {
		defer cancel()
		s.answered(e, <-c.Done)
	})
}

// answered acts on the answer to a call.
func (s *session) answered(e *errand, c *godbus.Call) {
	s.door.errands.end(e)
	log := s.door.log.With("method", e.method, "update", e.update)
	switch {
	case s.ctx.Err() != nil: // the bus is gone, or we are
		return
	case absent(c.Err):
		log.Info("the software loading manager is not there; it will be told when it is", "err", c.Err)
		return
	case errors.Is(c.Err, context.DeadlineExceeded):
		log.Warn("the software loading manager does not answer; it will be told again when it starts anew", "after", s.door.timeout())
		return
	case c.Err != nil:
		log.Warn("the software loading manager answered with an error", "err", c.Err)
	case e.method == listMethod:
		s.listed(c.Body)
	}
	if e.method == listMethod {
		s.door.errands.done(e.update)
	}
}

// listed passes on what the manager has installed. Nobody hears of it if the
// server refuses the list, so what it would refuse it for is left out.
func (s *session) listed(body []any) {
	software, err := readSoftware(body)
	if err == nil {
		software.Packages = slices.DeleteFunc(software.Packages, func(p agent.InstalledPackage) bool {
			return s.unfit(cmp.Or(ota.ValidateInstalled("package_id", p.PackageID), ota.ValidateInstalled("name", p.Name)))
		})
		software.Firmwares = slices.DeleteFunc(software.Firmwares, func(f agent.InstalledFirmware) bool {
			return s.unfit(cmp.Or(ota.ValidateInstalled("module", f.Module), ota.ValidateInstalled("firmware_id", f.FirmwareID)))
		})
		err = s.door.post(agent.SendInstalledSoftware{Software: software})
	}
	if err != nil {
		s.door.log.Warn("cannot use the software loading manager's list of installed software", "err", err)
	}
}

// unfit reports whether something of a list is to be left out of it.
func (s *session) unfit(err error) bool {
	if err != nil {
		s.door.log.Warn("the software loading manager's list goes on without one", "err", err)
	}
	return err != nil
}

// absent reports whether a call failed because no one was there to answer it,
// or went away over it.
func absent(err error) bool {
	const prefix = "org.freedesktop.DBus.Error."
	bad, ok := errors.AsType[godbus.Error](err)
	name, standard := strings.CutPrefix(bad.Name, prefix)
	return ok && standard &&
		(slices.Contains([]string{"ServiceUnknown", "NameHasNoOwner", "NoReply", "Disconnected", "TimedOut"}, name) || strings.HasPrefix(name, "Spawn."))
}
