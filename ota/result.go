package ota

import (
	"fmt"
	"slices"
	"strings"
)

// ResultCode is the outcome of one installation step, as a number from 0 to
// 19 (seed 002, "SendUpdateReport command").
type ResultCode uint8

const (
	OK ResultCode = iota
	AlreadyProcessed
	DependencyFailure
	ValidationFailed
	InstallFailed
	UpgradeFailed
	RemovalFailed
	FlashFailed
	CreatePartitionFailed
	DeletePartitionFailed
	ResizePartitionFailed
	WritePartitionFailed
	PatchPartitionFailed
	UserDeclined
	SoftwareBlacklisted
	DiskFull
	PackageNotFound
	OldVersion
	InternalError
	GeneralError

	lastResultCode = GeneralError
)

var resultNames = [...]string{
	"OK", "ALREADY_PROCESSED", "DEPENDENCY_FAILURE", "VALIDATION_FAILED", "INSTALL_FAILED",
	"UPGRADE_FAILED", "REMOVAL_FAILED", "FLASH_FAILED", "CREATE_PARTITION_FAILED", "DELETE_PARTITION_FAILED",
	"RESIZE_PARTITION_FAILED", "WRITE_PARTITION_FAILED", "PATCH_PARTITION_FAILED", "USER_DECLINED", "SOFTWARE_BLACKLISTED",
	"DISK_FULL", "NOT_FOUND", "OLD_VERSION", "INTERNAL_ERROR", "GENERAL_ERROR",
}

// Valid reports whether the code is one of the twenty.
func (c ResultCode) Valid() bool { return c <= lastResultCode }

// Success reports whether the code counts as success: OK or ALREADY_PROCESSED.
func (c ResultCode) Success() bool { return c == OK || c == AlreadyProcessed }

// String is the name of seed 002, such as INSTALL_FAILED.
func (c ResultCode) String() string {
	if c.Valid() {
		return resultNames[c]
	}
	return fmt.Sprintf("RESULT_%d", uint8(c))
}

// ParseResultCode reads a number from 0 to 19 without sign or leading zeros,
// or a name in any letter case. It fails with KindInvalid.
func ParseResultCode(s string) (ResultCode, error) {
	for i, name := range resultNames {
		if strings.EqualFold(s, name) || s == fmt.Sprint(i) {
			return ResultCode(i), nil
		}
	}
	return 0, Invalid("result code %q: expected a number from 0 to %d or a name such as INSTALL_FAILED", clip(s), lastResultCode)
}

// OperationResult is the outcome of one operation of an installation.
type OperationResult struct {
	ID   string // names the operation; a device's own report uses the update id
	Code ResultCode
	Text string
}

// MaxResultText bounds the text a device may attach to one result, in bytes.
const MaxResultText = 64 << 10

// Report is how an update ended on its device: one result per operation.
type Report struct {
	Update  UpdateID
	Results []OperationResult
	// Unproven says that whoever reports did not prove to be the device; it is
	// marked as Unauthenticated wherever it is kept.
	Unproven bool `json:",omitempty"`
}

// mark marks a text of a report that nobody vouches for.
func (r Report) mark(text string) string {
	switch {
	case !r.Unproven:
		return text
	case text == "":
		return Unauthenticated
	}
	return Unauthenticated + ": " + text
}

// Marked is the results as they are to be kept and shown.
func (r Report) Marked() []OperationResult {
	if !r.Unproven {
		return r.Results
	}
	marked := slices.Clone(r.Results)
	for i := range marked {
		marked[i].Text = r.mark(marked[i].Text)
	}
	return marked
}

// Outcome makes the report of an update that was one operation.
func Outcome(id UpdateID, code ResultCode, text string) Report {
	return Report{Update: id, Results: []OperationResult{{ID: string(id), Code: code, Text: text}}}
}

// Success reports whether every operation succeeded. A report without
// results says nothing and is no success (server.md 6, defect 13).
func (r Report) Success() bool {
	for _, res := range r.Results {
		if !res.Code.Success() {
			return false
		}
	}
	return len(r.Results) > 0
}

// Validate refuses a report that is empty, has more than 1000 results, an
// unknown code, or a text over MaxResultText. It fails with KindInvalid.
func (r Report) Validate() error {
	if len(r.Results) == 0 || len(r.Results) > 1000 {
		return Invalid("a report needs 1 to 1000 results, not %d", len(r.Results))
	}
	for i, res := range r.Results {
		switch {
		case !res.Code.Valid():
			return Invalid("result %d: code %d is not one of 0 to %d", i, res.Code, lastResultCode)
		case len(res.ID) > maxName:
			return Invalid("result %d: id is longer than %d bytes", i, maxName)
		case len(res.Text) > MaxResultText:
			return Invalid("result %d: text is longer than %d bytes", i, MaxResultText)
		}
	}
	return nil
}
