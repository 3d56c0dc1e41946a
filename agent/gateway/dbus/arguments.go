package dbus

import (
	"cmp"
	"math"

	godbus "github.com/godbus/dbus/v5"

	"github.com/updraft-ota/updraft/agent"
	"github.com/updraft-ota/updraft/ota"
)

// The bus has checked that arguments are well-formed, in their own types; that
// those are ours, and within limits, is checked here. What is wrong is told
// with the words of the original: "Missing argument" and "Malformed argument".

// Limits of what a caller may send. A result's text may be longer than the
// server takes: the client keeps its end.
const (
	maxID      = 200  // bytes of an update id
	maxResults = 1000 // of one report
	maxText    = 1024 // bytes of a name, a version, a description
)

func malformed(format string, args ...any) error {
	return ota.Invalid("Malformed argument: "+format, args...)
}

func tooMany(what string, n, most int) error {
	return ota.Fail(ota.KindTooLarge, "too_many", "Malformed argument: %d %s, at most %d are allowed", n, what, most)
}

// count checks that there are as many arguments as a method has.
func count(body []any, in []arg) error {
	switch {
	case len(body) < len(in):
		a := in[len(body)]
		return ota.Invalid("Missing argument: %s (%s)", a.name, a.signature)
	case len(body) > len(in):
		return malformed("%d arguments, expected %d", len(body), len(in))
	}
	return nil
}

// readInitiateDownload reads "s".
func readInitiateDownload(body []any) (agent.Command, error) {
	id, err := updateID(body[0])
	return agent.StartDownload{Update: id}, err
}

// readUpdateReport reads "saa{sv}".
func readUpdateReport(body []any) (agent.Command, error) {
	id, err := updateID(body[0])
	if err != nil {
		return nil, err
	}
	list, ok := body[1].([]map[string]godbus.Variant)
	switch {
	case !ok:
		return nil, malformed("operations_results must be of type aa{sv}")
	case len(list) == 0:
		return nil, malformed("operations_results is empty")
	case len(list) > maxResults:
		return nil, tooMany("results", len(list), maxResults)
	}
	report := ota.Report{Update: id, Results: make([]ota.OperationResult, len(list))}
	for i, d := range list {
		r := record{values: d}
		code := r.number("result_code")
		report.Results[i] = ota.OperationResult{ID: r.text("id", maxText), Text: r.text("result_text", maxMessage)}
		if r.err != nil {
			return nil, malformed("operations_results[%d]: %v", i, r.err)
		}
		if code < 0 || code > int64(ota.GeneralError) {
			return nil, malformed("operations_results[%d]: result_code %d is not one of 0 to %d", i, code, ota.GeneralError)
		}
		report.Results[i].Code = ota.ResultCode(code)
	}
	return agent.SendUpdateReport{Report: report}, nil
}

// readInstalledPackages reads "a(ss)".
func readInstalledPackages(body []any) (agent.Command, error) {
	list, ok := body[0].([][]any)
	switch {
	case !ok:
		return nil, malformed("packages must be of type a(ss)")
	case len(list) > ota.MaxInventory:
		return nil, tooMany("packages", len(list), ota.MaxInventory)
	}
	c := agent.SendInstalledPackages{Packages: make([]ota.PackageID, len(list))}
	for i, pair := range list {
		if len(pair) != 2 {
			return nil, malformed("packages must be of type a(ss)")
		}
		name, ok1 := pair[0].(string)
		version, ok2 := pair[1].(string)
		if !ok1 || !ok2 {
			return nil, malformed("packages must be of type a(ss)")
		}
		if err := cmp.Or(ota.ValidateInstalled("name", name), ota.ValidateInstalled("version", version)); err != nil {
			return nil, malformed("packages[%d]: %v", i, err)
		}
		c.Packages[i] = ota.PackageID{Name: name, Version: version}
	}
	return c, nil
}

// readSoftware reads a software loading manager's answer to
// getInstalledPackages, "aa{sv}aa{sv}": packages and firmware.
func readSoftware(body []any) (agent.InstalledSoftware, error) {
	var s agent.InstalledSoftware
	if len(body) != 2 {
		return s, malformed("%d values, expected 2", len(body))
	}
	packages, ok1 := body[0].([]map[string]godbus.Variant)
	firmware, ok2 := body[1].([]map[string]godbus.Variant)
	if !ok1 || !ok2 {
		return s, malformed("expected values of type aa{sv}")
	}
	if n := max(len(packages), len(firmware)); n > ota.MaxInventory {
		return s, tooMany("packages or firmware modules", n, ota.MaxInventory)
	}
	for i, d := range packages {
		r := record{values: d}
		s.Packages = append(s.Packages, agent.InstalledPackage{
			PackageID: r.text("package_id", maxText), Name: r.text("name", maxText),
			Description: r.text("description", maxMessage), LastModified: r.time("last_modified"),
		})
		if r.err != nil {
			return s, malformed("packages[%d]: %v", i, r.err)
		}
	}
	for i, d := range firmware {
		r := record{values: d}
		s.Firmwares = append(s.Firmwares, agent.InstalledFirmware{
			Module: r.text("module", maxText), FirmwareID: r.text("firmware_id", maxText), LastModified: r.time("last_modified"),
		})
		if r.err != nil {
			return s, malformed("firmware[%d]: %v", i, r.err)
		}
	}
	return s, nil
}

func updateID(v any) (ota.UpdateID, error) {
	s, ok := v.(string)
	switch {
	case !ok:
		return "", malformed("update_id must be of type s")
	case s == "":
		return "", malformed("update_id is empty")
	case len(s) > maxID:
		return "", malformed("update_id is %d bytes long, at most %d are allowed", len(s), maxID)
	}
	return ota.UpdateID(s), nil
}

// record reads a dictionary's members. Members it is not asked for are ignored.
type record struct {
	values map[string]godbus.Variant
	err    error // the first that was wrong
}

func (r *record) fail(format string, args ...any) {
	if r.err == nil {
		r.err = ota.Invalid(format, args...)
	}
}

func (r *record) value(key string) any {
	v, ok := r.values[key]
	if !ok {
		r.fail("%s is missing", key)
		return nil
	}
	return v.Value()
}

func (r *record) text(key string, most int) string {
	s, ok := r.value(key).(string)
	switch {
	case !ok:
		r.fail("%s must be of type s", key)
	case len(s) > most:
		r.fail("%s is %d bytes long, at most %d are allowed", key, len(s), most)
	}
	return s
}

// number reads an integer of any type. What does not fit is the largest there
// is, which is out of every range.
func (r *record) number(key string) int64 {
	switch n := r.value(key).(type) {
	case byte:
		return int64(n)
	case int16:
		return int64(n)
	case uint16:
		return int64(n)
	case int32:
		return int64(n)
	case uint32:
		return int64(n)
	case int64:
		return n
	case uint64:
		return int64(min(n, math.MaxInt64))
	}
	r.fail("%s must be an integer", key)
	return 0
}

func (r *record) time(key string) uint64 {
	n := r.number(key)
	if n < 0 {
		r.fail("%s is negative", key)
	}
	return uint64(max(n, 0))
}
