package forge

import (
	"errors"
	"fmt"
	"time"
)

// The kinds of errors that a Forge returns; errors.Is finds them.
var (
	// ErrNotFound: the object is not there, or the account may not see it.
	ErrNotFound = errors.New("not found")
	// ErrForbidden: the account may not do this, or is not known.
	ErrForbidden = errors.New("not allowed")
	// ErrInvalid: the request makes no sense to the forge, and never will.
	ErrInvalid = errors.New("refused as invalid")
	// ErrConflict: things are not as the request supposed: a pull request
	// cannot be merged, its head moved, another one is open already.
	ErrConflict = errors.New("conflict")
	// ErrUnavailable: the forge did not answer, or failed; later it may not.
	ErrUnavailable = errors.New("unavailable")
)

// RateLimited says that the forge wants no further requests for a while, and
// that the while is longer than an adapter waits by itself.
type RateLimited struct {
	Until time.Time
}

func (e *RateLimited) Error() string {
	return fmt.Sprintf("too many requests: the forge takes the next at %s", e.Until.UTC().Format(time.RFC3339))
}

// Temporary says that the same request may succeed later, and when it is worth
// to try: zero when that is not known.
func Temporary(err error) (until time.Time, ok bool) {
	var limited *RateLimited
	if errors.As(err, &limited) {
		return limited.Until, true
	}
	return time.Time{}, errors.Is(err, ErrUnavailable)
}
