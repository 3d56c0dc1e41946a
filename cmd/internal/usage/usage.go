// Package usage tells wrong usage from failure: it is what exit code 2 means.
package usage

import (
	"errors"
	"fmt"
)

// Error says that a program was called or configured wrongly.
type Error struct{ err error }

func (e *Error) Error() string { return e.err.Error() }
func (e *Error) Unwrap() error { return e.err }

// Errorf makes an Error; see fmt.Errorf.
func Errorf(format string, args ...any) error { return &Error{fmt.Errorf(format, args...)} }

// Wrong reports whether err came of wrong usage.
func Wrong(err error) bool {
	_, ok := errors.AsType[*Error](err)
	return ok
}
