package operator

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"
)

// show prints a result: as one JSON document, or as people like it.
func (o *options) show(c *cobra.Command, doc any, people func(w io.Writer)) error {
	w := c.OutOrStdout()
	if o.output != "json" {
		people(w)
		return nil
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(doc)
}

// list prints rows under a header, or a sentence if there are none.
func list(w io.Writer, none string, header []string, rows [][]string) {
	if len(rows) == 0 {
		fmt.Fprintln(w, none)
		return
	}
	t := table.NewWriter()
	t.SetStyle(plain)
	t.AppendHeader(row(header))
	for _, r := range rows {
		t.AppendRow(row(r))
	}
	printTable(w, t)
}

// A compact list fits a terminal of 80 columns where it can.
const (
	lineWidth = 80
	mostOfOne = 40 // of a column; names have up to 200 bytes
	lastLeast = 20 // of the last column, however wide the others are
)

// compact prints a list of which everything stands in the JSON: columns in which
// nobody has anything are left out, and long texts are clipped, those of the last
// column to the room that there is.
func compact(w io.Writer, none string, header []string, rows [][]string) {
	var head []string
	lines, used := make([][]string, len(rows)), 0
	for i, title := range header {
		if !slices.ContainsFunc(rows, func(r []string) bool { return r[i] != "" }) {
			continue
		}
		head = append(head, title)
		most := mostOfOne
		if i == len(header)-1 {
			most = max(lineWidth-used, lastLeast)
		}
		widest := len(title)
		for j, r := range rows {
			cell := text.Snip(clean(r[i]), most, "…")
			lines[j] = append(lines[j], cell)
			widest = max(widest, text.StringWidth(cell))
		}
		used += widest + len(plain.Box.PaddingRight)
	}
	list(w, none, head, lines)
}

// facts prints pairs of a word and what it says, leaving out what is empty.
func facts(w io.Writer, pairs [][2]string) {
	t := table.NewWriter()
	t.SetStyle(plain)
	for _, p := range pairs {
		if p[1] != "" {
			t.AppendRow(table.Row{p[0], clean(p[1])})
		}
	}
	printTable(w, t)
}

// plain is a table without lines, as other tools print them.
var plain = table.Style{
	Name:   "plain",
	Box:    table.BoxStyle{PaddingRight: "   "},
	Format: table.FormatOptions{Header: text.FormatUpper},
}

func row(cells []string) table.Row {
	r := make(table.Row, len(cells))
	for i, c := range cells {
		r[i] = clean(c)
	}
	return r
}

// printTable drops the blanks that fill a line up to the table's width.
func printTable(w io.Writer, t table.Writer) {
	for line := range strings.Lines(t.Render()) {
		fmt.Fprintln(w, strings.TrimRight(line, " \n"))
	}
}

// clean makes text that came from a device or a file safe to show: it keeps
// to one line and no control character reaches the terminal.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return ' '
		}
		return r
	}, s)
}

// brief cuts a text to what fits beside other columns.
func brief(s string) string {
	const most = 120
	if r := []rune(s); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}

// ago tells an instant as people think of it: how long ago, or the date.
func ago(t, now time.Time) string {
	if t.IsZero() {
		return "never"
	}
	switch d := now.Sub(t); {
	case d < -time.Minute:
		return "in " + span((-d).Round(time.Minute))
	case d < 5*time.Second:
		return "now"
	case d < 30*24*time.Hour:
		return span(d) + " ago"
	}
	return t.Local().Format("2006-01-02")
}

// at tells an instant exactly, with how long ago.
func at(t, now time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format("2006-01-02 15:04:05 MST") + " (" + ago(t, now) + ")"
}

func span(d time.Duration) string {
	for _, u := range []struct {
		unit time.Duration
		name string
	}{{24 * time.Hour, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}} {
		if n := int(d / u.unit); n > 1 {
			return fmt.Sprintf("%d %ss", n, u.name)
		} else if n == 1 {
			return "1 " + u.name
		}
	}
	return fmt.Sprintf("%d s", int(d/time.Second))
}

// size tells a number of bytes, such as 1.5 MiB.
func size(n int64) string {
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	f, unit := float64(n)/(1<<10), "KiB"
	for _, u := range []string{"MiB", "GiB", "TiB"} {
		if f < 1024 {
			break
		}
		f, unit = f/1024, u
	}
	return fmt.Sprintf("%.1f %s", f, unit)
}
