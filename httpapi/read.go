package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"time"
	"unicode/utf8"

	"github.com/updraft-ota/updraft/ota"
)

// Limits of what a device may send, in bytes. The lists have limits of their
// own (ota.MaxInventory, ota.Report.Validate).
const (
	maxReport     = 4 << 20
	maxInstalled  = 8 << 20
	maxSystemInfo = 1 << 20
	maxDepth      = 100 // of nested arrays and objects in system info
)

// bodyPatience is how long a whole request body may take to arrive.
const bodyPatience = time.Minute

// ReadBody reads a request's JSON text of at most max bytes, within a minute.
// It fails with KindTooLarge, where possible before anything is read, and
// with KindInvalid if the body ends early, is too slow, or is not UTF-8; the
// rest of the body is then abandoned.
func ReadBody(w http.ResponseWriter, r *http.Request, max int64) (body []byte, err error) {
	defer func() {
		if err != nil {
			Abandon(w, r)
		}
	}()
	if r.ContentLength > max {
		return nil, tooLarge(max)
	}
	// Not every writer has deadlines (tests, some wrappers); the limit of
	// time is then the server's own.
	ctl := http.NewResponseController(w)
	_ = ctl.SetReadDeadline(time.Now().Add(bodyPatience))
	body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, max))
	// A deadline that passed later would look as if the client had gone.
	_ = ctl.SetReadDeadline(time.Time{})
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, tooLarge(max)
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, ota.Invalid("the body did not arrive within %v", bodyPatience)
	case err != nil:
		return nil, ota.Invalid("the body ended early or is malformed: %v", err)
	case !utf8.Valid(body):
		return nil, ota.Invalid("the body is not valid UTF-8")
	}
	return body, nil
}

// leftoverPatience is how long a caller that is refused may go on sending.
const leftoverPatience = time.Second

// Abandon says that nobody will read the rest of the request's body: the
// answer ends the connection, and what still arrives is taken for a moment
// only, so that a caller who sends before they listen gets to hear it. It must
// be called before the answer begins. HTTP/2 needs none of it, as it can end
// one stream alone.
func Abandon(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength == 0 || r.ProtoMajor != 1 {
		return
	}
	w.Header().Set("Connection", "close")
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(leftoverPatience)) // see ReadBody
}

func tooLarge(max int64) error {
	return ota.Fail(ota.KindTooLarge, "too_large", "the body is larger than %d bytes", max)
}

// decode reads one JSON value with nothing after it.
func decode(body []byte, into any) error {
	if err := json.Unmarshal(body, into); err != nil {
		return ota.Invalid("the body is not the JSON expected here: %v", err)
	}
	return nil
}

// parseReport reads the array of results a device posts for an update. Each
// needs a UUID and a code from 0 to 19; the text may be left out.
func parseReport(id ota.UpdateID, body []byte) (ota.Report, error) {
	var results list[struct {
		ID   *string `json:"id"`
		Code *int    `json:"result_code"`
		Text string  `json:"result_text"`
	}]
	if err := decode(body, &results); err != nil {
		return ota.Report{}, err
	}
	report := ota.Report{Update: id}
	for i, res := range results {
		switch {
		case res.ID == nil || res.Code == nil:
			return ota.Report{}, ota.Invalid("result %d: id and result_code are needed", i)
		case *res.Code < 0 || *res.Code > 255 || !ota.ResultCode(*res.Code).Valid():
			return ota.Report{}, ota.Invalid("result %d: result_code %d is not one of 0 to %d", i, *res.Code, ota.GeneralError)
		}
		if _, err := ota.ParseUpdateID(*res.ID); err != nil {
			return ota.Report{}, ota.Invalid("result %d: id %.80q is not a UUID", i, *res.ID)
		}
		report.Results = append(report.Results, ota.OperationResult{ID: *res.ID, Code: ota.ResultCode(*res.Code), Text: res.Text})
	}
	return report, report.Validate()
}

// parseInstalled reads an inventory in either form. The list replaces what
// the server has, so it must be there even if it is empty: neither null nor
// an object without packages empties it by accident.
func parseInstalled(body []byte) (ota.Inventory, error) {
	var soft struct {
		Packages *list[PackageID] `json:"packages"`
		Firmware list[Firmware]   `json:"firmware"`
	}
	var into any = &soft
	if bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("[")) {
		into = &soft.Packages
	}
	if err := decode(body, into); err != nil {
		return ota.Inventory{}, err
	}
	if soft.Packages == nil {
		return ota.Inventory{}, ota.Invalid("installed software: expected an array of packages, or an object with packages and firmware")
	}
	var inv ota.Inventory
	for _, p := range *soft.Packages {
		inv.Packages = append(inv.Packages, ota.Installed{PackageID: ota.PackageID(p)})
	}
	for _, f := range soft.Firmware {
		inv.Firmware = append(inv.Firmware, ota.Firmware{Module: f.Module, ID: f.FirmwareID, LastModified: f.LastModified})
	}
	return inv, inv.Validate()
}

// ParseSystemInfo checks that the body is one JSON document of bearable depth
// and returns it as it is. It fails with KindInvalid.
func ParseSystemInfo(body []byte) (json.RawMessage, error) {
	if !json.Valid(body) {
		return nil, ota.Invalid("system info is not one JSON document")
	}
	if depth(body) > maxDepth {
		return nil, ota.Invalid("system info is nested more than %d levels deep", maxDepth)
	}
	return json.RawMessage(body), nil
}

// depth counts how deep valid JSON is nested.
func depth(doc []byte) int {
	deepest, level, quoted := 0, 0, false
	for i := 0; i < len(doc); i++ {
		switch c := doc[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			level++
			deepest = max(deepest, level)
		case c == '}' || c == ']':
			level--
		}
	}
	return deepest
}
