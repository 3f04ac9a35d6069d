package forge

import (
	"context"
	"errors"
	"time"
)

// ErrSignedOut: the token of somebody who signed in opens nothing any more. It
// was revoked or ended, the account is locked, or its password is another one.
var ErrSignedOut = errors.New("signed out at the forge")

// Person is somebody's account at a forge. The ID stays when the login
// changes, and nobody gets it a second time.
type Person struct {
	ID    int64  `json:"id"`
	Login string `json:"login"`
}

// UserToken is what a forge gives for the code of somebody who signs in.
type UserToken struct {
	Secret string
	Lasts  time.Duration // from now on; 0 when the forge does not say
}

// SignIn is how people prove with their account at a forge who they are: the
// authorization code flow of OAuth 2.0 with PKCE (RFC 6749, RFC 7636), in the
// dialect that GitHub describes under "Authorizing OAuth apps". It is safe for
// concurrent use.
//
// Errors match this package's. Only ErrSignedOut and ErrForbidden are verdicts
// about the person; after any other error nothing is known.
type SignIn interface {
	// AuthorizeURL is where the browser goes first. The forge sends it back to
	// redirect with state as it was, and a code. challenge is the SHA-256 of
	// the verifier, in base64url.
	AuthorizeURL(redirect, state, challenge string) string
	// Exchange gives a code for a token. ErrForbidden when the code is worth
	// nothing (any more).
	Exchange(ctx context.Context, redirect, code, verifier string) (UserToken, error)
	// Person says whose token it is. ErrSignedOut when it opens nothing.
	Person(ctx context.Context, token string) (Person, error)
	// Granted says what a person may do in the repository: None for somebody
	// whom the forge does not know, and for one who may read no more than
	// everybody in the world may.
	Granted(ctx context.Context, person Person) (Permission, error)
	// Revoke ends a token. One that has ended is no error.
	Revoke(ctx context.Context, token string) error
}
