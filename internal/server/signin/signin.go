// Package signin lets people in to hubship's pages and API: through the forge,
// with a session of hubship's own.
//
// What opens a session is known to the browser alone. Its hash finds the
// record, and a key derived from it opens the forge's token that the record
// holds, so neither the database nor a copy of it opens anything. A session
// lives no longer than that token: it ends when the forge does not take it any
// more (another password, a locked account, a token revoked), when the
// permission is gone, and by its own two clocks.
package signin

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"net/url"
	"strings"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/loopback"
	"github.com/hubship/hubship/internal/server/access"
)

// How long a session lasts: without a visit, and in all.
const (
	Idle = 12 * time.Hour
	Life = 7 * 24 * time.Hour
)

const (
	seenEvery   = time.Minute             // a visit is written down
	askLimit    = 5 * time.Second         // for the forge to answer about somebody
	askAgain    = 10 * time.Second        // after it did not
	revokeLimit = 10 * time.Second        // for the forge to end a token
	maxKnown    = 10_000                  // sessions whose permission is remembered
	secretSize  = 52                      // characters of what opens a session: 260 bits
	kindSession = "session"               // of what is kept
	kindTries   = "sign-in"               // of what is kept
	sealContext = "hubship session token" // of the key that seals the token
	formContext = "hubship form token"
)

// Keep keeps small things until they end. Store implements it.
type Keep interface {
	Keep(ctx context.Context, kind, key, body string, until time.Time) error
	Rewrite(ctx context.Context, kind, key, body string, until time.Time) error
	Kept(ctx context.Context, kind, key string) (string, error)
	Forget(ctx context.Context, kind, key string) error
}

// Options are the settings of signing in.
type Options struct {
	// Forge is the way in; nil when there is none yet, and SetUp says what is
	// to be done about it.
	Forge forge.SignIn
	SetUp string
	// Title is what people know the forge as: "GitHub".
	Title string
	Keep  Keep
	// URL is where people reach hubship: http://localhost:8080. It has no path.
	URL *url.URL
	// Name tells installations apart whose cookies one browser holds.
	Name string
	// Trusted are the reverse proxies whose word about the client's address
	// counts.
	Trusted []netip.Prefix
	// Fresh is how long the forge's word about somebody holds; 0 is
	// access.Fresh, which is also the most.
	Fresh time.Duration
	Now   func() time.Time // nil for time.Now
	Log   *slog.Logger     // nil for slog.Default
}

// Sessions are those of people who signed in.
type Sessions struct {
	o     Options
	known *lru.Cache[string, *standing]
	flows cipher.AEAD // seals what a browser keeps while it signs in
	tries *tries
}

// New returns the sessions of an installation.
func New(o Options) (*Sessions, error) {
	if o.Keep == nil || o.URL == nil || o.URL.Host == "" {
		return nil, errors.New("sign in: there is no place for sessions, or no address for people")
	}
	if o.Fresh <= 0 || o.Fresh > access.Fresh {
		o.Fresh = access.Fresh
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	known, err := lru.New[string, *standing](maxKnown)
	if err != nil {
		return nil, fmt.Errorf("sign in: %w", err)
	}
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return nil, fmt.Errorf("sign in: %w", err)
	}
	flows, err := aead(key)
	if err != nil {
		return nil, err
	}
	return &Sessions{o: o, known: known, flows: flows, tries: &tries{keep: o.Keep, now: o.Now}}, nil
}

func aead(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("sign in: %w", err)
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// record is a session at rest.
type record struct {
	Person  forge.Person `json:"person"`
	Created time.Time    `json:"created"`
	Seen    time.Time    `json:"seen"`
	Until   time.Time    `json:"until"` // when it ends in any case
	Token   string       `json:"token"` // of the forge, sealed
}

// Session is somebody who signed in, as far as is known now.
type Session struct {
	Person     forge.Person
	Permission forge.Permission
	Age        time.Duration // of Permission
	Form       string        // what every form of the session repeats
	secret     string        // what the browser has, and whose it is
}

// Who is the session's person for the rule.
func (s Session) Who() access.Who {
	return access.Who{SignedIn: true, Permission: s.Permission, Age: s.Age}
}

// ErrNone: there is no such session, or it is over.
var ErrNone = errors.New("nobody has signed in")

// NoPermission ended a session, or kept one from beginning.
type NoPermission struct{ Login string }

func (e *NoPermission) Error() string {
	return e.Login + " has no permission on the deployment repository"
}

func hashOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// derived is a key that only who has the secret can make.
func derived(secret, use string) ([]byte, error) {
	return hkdf.Key(sha256.New, []byte(secret), nil, use, 32)
}

// begin starts a session for the token's owner, and returns what opens it. The
// forge is asked here and now: what it does not answer lets nobody in.
func (s *Sessions) begin(ctx context.Context, token forge.UserToken) (Session, time.Time, error) {
	person, err := s.o.Forge.Person(ctx, token.Secret)
	if err != nil {
		return Session{}, time.Time{}, err
	}
	permission, err := s.o.Forge.Granted(ctx, person)
	if err != nil {
		return Session{}, time.Time{}, err
	}
	if !permission.Includes(forge.Read) {
		return Session{}, time.Time{}, &NoPermission{person.Login}
	}
	secret := loopback.Bind(rand.Text()+rand.Text(), loopback.Whose(ctx))
	now := s.o.Now()
	r := record{Person: person, Created: now, Seen: now, Until: now.Add(Life)}
	if token.Lasts > 0 && token.Lasts < Life {
		r.Until = now.Add(token.Lasts)
	}
	if r.Token, err = seal(secret, token.Secret); err != nil {
		return Session{}, time.Time{}, err
	}
	if err := s.o.Keep.Keep(ctx, kindSession, hashOf(secret), encode(r), r.ends()); err != nil {
		return Session{}, time.Time{}, err
	}
	s.known.Add(hashOf(secret), &standing{permission: permission, asked: now})
	s.o.Log.Info("somebody signed in", "login", person.Login, "account", person.ID, "permission", permission)
	return s.session(secret, person, permission, 0), r.Until, nil
}

// ends is when nobody can open the session any more.
func (r record) ends() time.Time {
	if idle := r.Seen.Add(Idle); idle.Before(r.Until) {
		return idle
	}
	return r.Until
}

func (s *Sessions) session(secret string, person forge.Person, permission forge.Permission, age time.Duration) Session {
	form, _ := derived(secret, formContext) // it fails for impossible lengths only
	return Session{Person: person, Permission: permission, Age: age, Form: base64.RawURLEncoding.EncodeToString(form), secret: secret}
}

// find returns the session that the secret opens. ErrNone when it is over;
// after any other error nothing is known.
func (s *Sessions) find(ctx context.Context, secret string) (Session, error) {
	hash := hashOf(secret)
	body, err := s.o.Keep.Kept(ctx, kindSession, hash)
	if errors.Is(err, fs.ErrNotExist) {
		s.known.Remove(hash)
		return Session{}, ErrNone
	}
	if err != nil {
		return Session{}, err
	}
	r, err := decode(body)
	now := s.o.Now()
	if err != nil || !now.Before(r.ends()) || r.Created.After(now.Add(time.Minute)) {
		return Session{}, errors.Join(ErrNone, s.o.Keep.Forget(ctx, kindSession, hash))
	}
	permission, age, err := s.standing(ctx, hash, secret, &r)
	if err != nil {
		return Session{}, err
	}
	if now.Sub(r.Seen) >= seenEvery {
		r.Seen = now
		// It may have ended meanwhile, and then stays ended.
		if err := s.o.Keep.Rewrite(ctx, kindSession, hash, encode(r), r.ends()); errors.Is(err, fs.ErrNotExist) {
			return Session{}, ErrNone
		} else if err != nil {
			return Session{}, err
		}
	}
	return s.session(secret, r.Person, permission, age), nil
}

// End ends the session for good, and the token that it had of the forge.
func (s *Sessions) end(ctx context.Context, secret string) error {
	hash := hashOf(secret)
	body, err := s.o.Keep.Kept(ctx, kindSession, hash)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := s.o.Keep.Forget(ctx, kindSession, hash); err != nil {
		return err
	}
	s.known.Remove(hash)
	r, err := decode(body)
	if err != nil {
		return nil
	}
	s.o.Log.Info("somebody signed out", "login", r.Person.Login, "account", r.Person.ID)
	if token, err := unseal(secret, r.Token); err == nil && s.o.Forge != nil {
		s.revoke(ctx, token)
	}
	return nil
}

// revoke ends a token that nobody needs any more. Nothing depends on it: who
// has signed out has no session, and the token ends by itself.
func (s *Sessions) revoke(ctx context.Context, token string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), revokeLimit)
	go func() {
		defer cancel()
		if err := s.o.Forge.Revoke(ctx, token); err != nil {
			s.o.Log.Warn("a token of the forge outlives its session", "error", err)
		}
	}()
}

func seal(secret, token string) (string, error) {
	key, err := derived(secret, sealContext)
	if err != nil {
		return "", fmt.Errorf("seal a token: %w", err)
	}
	box, err := aead(key)
	if err != nil {
		return "", err
	}
	return base64.RawStdEncoding.EncodeToString(box.Seal(nil, nil, []byte(token), nil)), nil
}

func unseal(secret, sealed string) (string, error) {
	key, err := derived(secret, sealContext)
	if err != nil {
		return "", fmt.Errorf("open a token: %w", err)
	}
	box, err := aead(key)
	if err != nil {
		return "", err
	}
	raw, err := base64.RawStdEncoding.DecodeString(sealed)
	if err != nil {
		return "", fmt.Errorf("open a token: %w", err)
	}
	token, err := box.Open(nil, nil, raw, nil)
	if err != nil {
		return "", fmt.Errorf("open a token: %w", err)
	}
	return string(token), nil
}

// SetUp says whether anybody can sign in, and otherwise what is to be done.
func (s *Sessions) SetUp() (advice string, ok bool) { return s.o.SetUp, s.o.Forge != nil }

// Title is what people know the forge as.
func (s *Sessions) Title() string { return s.o.Title }

// origin is the address of hubship's pages as browsers name it.
func (s *Sessions) origin() string { return strings.ToLower(s.o.URL.Scheme + "://" + s.o.URL.Host) }
