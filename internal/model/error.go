package model

import "errors"

// Exit codes of the command line.
const (
	ExitDone    = 0
	ExitFailed  = 1
	ExitUsage   = 2
	ExitRefused = 3
)

// Error is an error that a person can act upon: what failed, and what to try.
type Error struct {
	Code int    // exit code; 0 means ExitFailed
	Hint string // what to do, one sentence
	Err  error
}

func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// WithHint adds to an error what its reader can do about it. It returns nil
// for a nil error.
func WithHint(err error, hint string) error {
	if err == nil {
		return nil
	}
	return &Error{Err: err, Hint: hint}
}

// Usage marks an error as a wrong use of a command.
func Usage(err error, hint string) error { return &Error{Code: ExitUsage, Err: err, Hint: hint} }

// RefusedBy marks an error as a gate's refusal.
func RefusedBy(err error, hint string) error { return &Error{Code: ExitRefused, Err: err, Hint: hint} }

// HintOf returns the hint nearest to the surface, or "".
func HintOf(err error) string {
	var e *Error
	for errors.As(err, &e) {
		if e.Hint != "" {
			return e.Hint
		}
		err = e.Err
	}
	return ""
}

// ExitCodeOf returns the exit code that belongs to an error.
func ExitCodeOf(err error) int {
	if err == nil {
		return ExitDone
	}
	var e *Error
	for errors.As(err, &e) {
		if e.Code != 0 {
			return e.Code
		}
		err = e.Err
	}
	return ExitFailed
}
