package rvi

import (
	"strings"

	"github.com/updraft-ota/updraft/ota"
)

// Report is how an update ended (rvi.md 4.4, 5.2). In 2015 it is one result,
// told as true or false and a description.
type Report struct {
	From    Identity
	Unit    Unit
	Results []ota.OperationResult
}

// MismatchText is the description of the 2015 clients when an assembled file
// does not have its checksum (rvi.md 4.4).
const MismatchText = "checksums didn't match"

const maxResults = 1000

func (Report) Service() Service   { return ServiceReport }
func (m Report) Sender() Identity { return m.From }
func (m Report) Dialect() Dialect { return dialectOf(m.From, m.Unit) }

// Of makes it the report of the server's update. One without results is a
// failure (rvi.md 5.2).
func (m Report) Of(id ota.UpdateID) ota.Report {
	r := ota.Report{Update: id, Results: m.Results}
	if len(r.Results) == 0 {
		return ota.Outcome(id, ota.GeneralError, "the device reported no result")
	}
	return r
}

func readReport(f fields, d Dialect) BackendMessage {
	m := Report{From: f.sender(d)}
	if d == Dialect2015 {
		m.Unit = f.unitIn(d)
		m.Results = []ota.OperationResult{flatResult(f.boolean("status"), f.text("description", maxText))}
		return m
	}
	r := f.object("update_report")
	r.at = "" // the reasons of rvi.md 7 name the member alone
	m.Unit = Unit{Update: ota.UpdateID(r.uuid("update_id"))}
	r.entries("operation_results", maxResults, "", func(e fields) {
		m.Results = append(m.Results, ota.OperationResult{ID: e.text("id", 200),
			Code: ota.ResultCode(e.number("result_code", int64(ota.GeneralError))), Text: e.text("result_text", maxText)})
	})
	return m
}

// flatResult gives a report of 2015 its code (rvi.md 5.2).
func flatResult(ok bool, text string) ota.OperationResult {
	switch {
	case ok:
		return ota.OperationResult{Code: ota.OK, Text: text}
	case text == MismatchText:
		return ota.OperationResult{Code: ota.ValidationFailed, Text: text}
	}
	return ota.OperationResult{Code: ota.GeneralError, Text: text}
}

func (m Report) AppendParams(b []byte) []byte {
	w := params(b)
	if m.Unit.Update == "" {
		w.unit(m.Unit)
		w.boolean("status", ota.Report{Results: m.Results}.Success())
		w.text("description", m.description())
		w.sender(m.From)
		return w.done()
	}
	w.sender(m.From)
	w.open("update_report")
	w.unit(m.Unit)
	w.list("operation_results", len(m.Results), func(i int) {
		w.text("id", m.Results[i].ID)
		w.number("result_code", int64(m.Results[i].Code))
		w.text("result_text", m.Results[i].Text)
	})
	w.close()
	return w.done()
}

func (m Report) description() string {
	texts := make([]string, len(m.Results))
	for i, r := range m.Results {
		texts[i] = r.Text
	}
	return strings.Join(texts, "; ")
}
