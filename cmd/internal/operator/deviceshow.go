package operator

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/updraft-ota/updraft/httpapi/operator/client"
)

func listDevices(w io.Writer, devices []client.Device) {
	now := time.Now()
	rows := make([][]string, len(devices))
	for i, d := range devices {
		rows[i] = []string{d.DeviceName, said(d.DeviceId), status(d), waiting(d), ago(instant(d.LastSeen), now), blocked(d.Blocked, now)}
	}
	compact(w, "There are no devices yet: updraft device add registers one.",
		[]string{"name", "device id", "status", "updates", "seen", "blocked"}, rows)
}

// status tells a device's health. The word of the API for a failed update
// would read like a failure of the command.
func status(d client.Device) string {
	switch d.DeviceStatus {
	case client.NotSeen:
		return "not seen"
	case client.UpToDate:
		return "up to date"
	case client.Outdated:
		return "updating"
	case client.Error:
		return "failed"
	}
	return string(d.DeviceStatus)
}

func waiting(d client.Device) string {
	if d.ActiveUpdates == 0 {
		return ""
	}
	return strconv.FormatInt(d.ActiveUpdates, 10)
}

// blocked tells since when and because of what a device is, in short.
func blocked(b *client.Block, now time.Time) string {
	if b == nil {
		return ""
	}
	return ago(b.BlockedAt, now) + ": " + brief(b.Reason)
}

// blockedFully tells all there is to know of a block.
func blockedFully(b *client.Block, now time.Time) string {
	if b == nil {
		return ""
	}
	return "since " + at(b.BlockedAt, now) + ": " + b.Reason
}

// portrait is a device with what it has and what it is to get.
type portrait struct {
	client.Device
	Updates  []client.Update           `json:"updates"`
	Packages []client.InstalledPackage `json:"packages"`
	// Transfers are what a constrained device fetches.
	Transfers []client.Transfer `json:"transfers,omitempty"`
}

// shownUpdates is how many updates a portrait shows to people, newest last.
const shownUpdates = 10

func deviceShow(o *options) *cobra.Command {
	return one(o, cobra.Command{
		Use: "show", Short: "Show a device, its updates and what it has installed",
		Example: "  updraft device show lab-1",
	}, func(c *cobra.Command, api *client.Client, d client.Device) error {
		d, err := read[client.Device](api.GetDevice(c.Context(), d.Uuid, nil)) // which tells more than a list
		if err != nil {
			return err
		}
		p := portrait{Device: d}
		if p.Updates, err = read[[]client.Update](api.ListUpdates(c.Context(), &client.ListUpdatesParams{Device: &d.Uuid})); err != nil {
			return err
		}
		if p.Packages, err = read[[]client.InstalledPackage](api.ListDevicePackages(c.Context(), d.Uuid, nil)); err != nil {
			return err
		}
		if d.Constrained != nil {
			if p.Transfers, err = transfersTo(c, api, d); err != nil {
				return err
			}
		}
		return o.show(c, p, p.print)
	})
}

func (p portrait) print(w io.Writer) {
	now := time.Now()
	installed := "nothing reported"
	if n := len(p.Packages); n > 0 {
		installed = fmt.Sprintf("%d packages, reported %s", n, ago(p.Packages[0].LastModified, now))
	}
	facts(w, append([][2]string{
		{"name", p.DeviceName}, {"device id", said(p.DeviceId)}, {"uuid", p.Uuid.String()}, {"type", string(p.DeviceType)},
		{"status", status(p.Device)}, {"blocked", blockedFully(p.Blocked, now)},
		{"registered", at(p.CreatedAt, now)}, {"first seen", at(instant(p.ActivatedAt), now)}, {"last seen", at(instant(p.LastSeen), now)},
		{"installed", installed},
	}, constrainedFacts(p.Constrained, p.Transfers, now)...))
	fmt.Fprintln(w)
	last := p.Updates
	if n := len(last) - shownUpdates; n > 0 {
		fmt.Fprintf(w, "%d older updates: updraft update ls --device %s\n", n, p.Uuid)
		last = last[n:]
	}
	names := map[string]string{p.Uuid.String(): p.DeviceName}
	listUpdates(w, last, names)
}

// said is an optional text, "" if missing.
func said(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// instant is an optional time, zero if missing.
func instant(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}
