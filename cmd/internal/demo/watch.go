package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/updraft-ota/updraft/ota"
)

// row is how far one device is.
type row struct {
	device    string
	status    ota.Status
	installed string // what its package database says
	reason    string
}

// watch shows how the devices get on until all have installed the package.
func (d *demo) watch(ctx context.Context) error {
	var shown []row
	var asked error
	err := d.family.until(ctx, d.patient, "every device to install the package", func() bool {
		rows, err := d.look(ctx)
		if asked = err; err != nil {
			return false
		}
		done := true
		for _, r := range rows {
			done = done && r.status == ota.Finished && strings.HasPrefix(r.installed, d.pkg.Version)
		}
		if !slices.Equal(rows, shown) {
			d.show(shown, rows)
			shown = rows
		}
		return done || failed(rows) != nil
	})
	if err != nil {
		if asked != nil {
			err = fmt.Errorf("%w: %w", err, asked)
		}
		return err
	}
	rows, err := d.look(ctx)
	if err != nil {
		return err
	}
	return failed(rows)
}

func failed(rows []row) error {
	for _, r := range rows {
		if r.status != ota.Finished && !r.status.Active() {
			return fmt.Errorf("the update of %s is %s: %s", r.device, r.status, r.reason)
		}
	}
	return nil
}

// look asks the server for the updates and every root for what is in it.
func (d *demo) look(ctx context.Context) ([]row, error) {
	var rows []row
	for i := range d.devices {
		out, err := output(ctx, self(), "update", "ls", "--device", d.name(i), "-o", "json", "--server", d.url)
		if err != nil {
			return nil, err
		}
		var updates []struct {
			Status ota.Status `json:"status"`
			Reason string     `json:"reason"`
		}
		if err := json.Unmarshal(out, &updates); err != nil || len(updates) == 0 {
			return nil, fmt.Errorf("updates of %s: %d listed: %w", d.name(i), len(updates), err)
		}
		rows = append(rows, row{
			device: d.name(i), status: updates[0].Status, reason: updates[0].Reason,
			installed: installed(ctx, filepath.Join(d.home(i), "root"), d.pkg.Name),
		})
	}
	return rows, nil
}

func render(rows []row) string {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.AppendHeader(table.Row{"Device", "Update", "dpkg says"})
	for _, r := range rows {
		t.AppendRow(table.Row{r.device, mark(r.status) + " " + string(r.status), r.installed})
	}
	return t.Render()
}

func mark(s ota.Status) string {
	switch s {
	case ota.Pending:
		return "·"
	case ota.InFlight:
		return "↓"
	case ota.Finished:
		return "✓"
	}
	return "✗"
}

// show replaces the table on a terminal; elsewhere it tells what changed.
func (d *demo) show(before, after []row) {
	if d.live() {
		if before != nil {
			fmt.Fprintf(d.out, "\x1b[%dA\x1b[J", strings.Count(render(before), "\n")+1)
		}
		fmt.Fprintln(d.out, render(after))
		return
	}
	for i, r := range after {
		if before == nil || before[i] != r {
			d.say("%s %s: %s; dpkg says %s", mark(r.status), r.device, r.status, r.installed)
		}
	}
}
