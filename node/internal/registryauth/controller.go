package registryauth

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"github.com/distribution/distribution/v3/registry/auth"
	"golang.org/x/crypto/bcrypt"
)

// Name is what the registry's configuration calls this kind of access control.
const Name = "hubship"

// Register makes it known to the registry's program. Its one option is path,
// an htpasswd file.
func Register() error {
	return auth.Register(Name, func(options map[string]any) (auth.AccessController, error) {
		path, ok := options["path"].(string)
		if !ok {
			return nil, errors.New(`auth.hubship: "path" is missing`)
		}
		return New(path)
	})
}

// Controller decides about requests. It is safe for concurrent use.
type Controller struct {
	hashes map[string][]byte

	// bcrypt takes long on purpose, and a push makes hundreds of requests: the
	// one password of each account that was right is known again by its hash.
	mu   sync.Mutex
	seen map[string][sha256.Size]byte
	// One bad guess at a time, so that they take no more than one processor.
	guess sync.Mutex
}

// New reads the accounts.
func New(path string) (*Controller, error) {
	hashes, err := ReadHashes(path)
	if err != nil {
		return nil, err
	}
	return &Controller{hashes: hashes, seen: map[string][sha256.Size]byte{}}, nil
}

// Authorized implements auth.AccessController. A request for nothing in
// particular is how clients learn that there are credentials to be shown; it
// wants some.
func (c *Controller) Authorized(r *http.Request, wanted ...auth.Access) (*auth.Grant, error) {
	account := Nobody
	if name, password, given := r.BasicAuth(); given {
		if !c.right(name, password) {
			return nil, challenge{"wrong credentials"}
		}
		account = name
	} else if r.Header.Get("Authorization") != "" {
		return nil, challenge{"credentials of another kind"}
	}
	if len(wanted) == 0 && account == Nobody {
		return nil, challenge{"no credentials"}
	}
	grant := &auth.Grant{User: auth.UserInfo{Name: account}}
	for _, a := range wanted {
		if !Allowed(account, a.Type, a.Name, a.Action) {
			return nil, challenge{fmt.Sprintf("%q may not %s %s %s", account, a.Action, a.Type, a.Name)}
		}
		grant.Resources = append(grant.Resources, a.Resource)
	}
	return grant, nil
}

// right says whether the password is the account's.
func (c *Controller) right(account, password string) bool {
	hash, ok := c.hashes[account]
	if !ok {
		return false
	}
	sum := sha256.Sum256([]byte(password))
	c.mu.Lock()
	seen, ok := c.seen[account]
	c.mu.Unlock()
	if ok && subtle.ConstantTimeCompare(seen[:], sum[:]) == 1 {
		return true
	}
	c.guess.Lock()
	defer c.guess.Unlock()
	if bcrypt.CompareHashAndPassword(hash, []byte(password)) != nil {
		return false
	}
	c.mu.Lock()
	c.seen[account] = sum
	c.mu.Unlock()
	return true
}

// challenge asks for other credentials.
type challenge struct{ reason string }

// Error implements error.
func (c challenge) Error() string { return "the registry refuses: " + c.reason }

// SetHeaders implements auth.Challenge.
func (challenge) SetHeaders(_ *http.Request, w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", `Basic realm="hubship"`)
}
