package outbound

import (
	"errors"
	"fmt"

	"github.com/hubship/hubship/internal/model"
)

// RefusedError says that something is not asked, because of where it is. It is
// seen and certain: asking again changes nothing. Which address a name stands
// for is not told: whoever named it need not learn what only this machine's
// name servers know.
type RefusedError struct {
	Host string // as it was named; "" when only an address was looked at
	What string // "a private address"
}

func (e *RefusedError) Error() string {
	if e.Host == "" {
		return e.What + " is not allowed from here"
	}
	return fmt.Sprintf("%s is %s, and hubship fetches what a change names only from the Internet", e.Host, e.What)
}

// IsRefused says whether an error is that of something that is not asked.
func IsRefused(err error) bool {
	var r *RefusedError
	return errors.As(err, &r)
}

// refuse completes a refusal with the host, and with what can be done.
func refuse(host string, err error) error {
	var r *RefusedError
	if errors.As(err, &r) {
		err = &RefusedError{Host: host, What: r.What}
	}
	return model.WithHint(err, "use a public one, or have the operator of this installation allow it with `hubship up --allow-outbound "+host+"`")
}
