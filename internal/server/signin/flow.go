package signin

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/hubship/hubship/internal/clientaddr"
	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/model"
)

// Paths of signing in.
const (
	PagePath     = "/signin"
	StartPath    = "/signin/start"
	CallbackPath = "/signin/callback"
	OutPath      = "/signout"
)

// flowLife is how long somebody may take to sign in.
const flowLife = 10 * time.Minute

// flow is what the browser keeps while it signs in, sealed. So the answer of
// the forge is worth something in the browser that asked, and in no other.
type flow struct {
	State    string    `json:"state"`
	Verifier string    `json:"verifier"`
	Next     string    `json:"next"`
	Began    time.Time `json:"began"`
}

// Refusal is why somebody is not let in, for that person.
type Refusal struct {
	Status     int
	Text, Hint string
}

func (e *Refusal) Error() string { return e.Text }

// Next is where to go after signing in: a page of hubship's, never another
// site, nor the pages of signing in.
func Next(to string) string {
	u, err := url.Parse(to)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") ||
		strings.ContainsAny(to, "\\\r\n\t") || path.Clean(u.Path) != strings.TrimSuffix(u.Path, "/") && u.Path != "/" ||
		strings.HasPrefix(u.Path, PagePath) || strings.HasPrefix(u.Path, OutPath) || len(to) > 1000 {
		return "/"
	}
	return (&url.URL{Path: u.Path, RawQuery: u.RawQuery}).RequestURI()
}

// Start sends the browser to the forge.
func (s *Sessions) Start(w http.ResponseWriter, r *http.Request) error {
	if s.o.Forge == nil {
		return &Refusal{http.StatusServiceUnavailable, "Nobody can sign in yet.", s.o.SetUp}
	}
	next := Next(r.URL.Query().Get("next"))
	// The forge sends people back to the one address that it knows, so they
	// begin there: a cookie of 127.0.0.1 is none of localhost.
	if !strings.EqualFold(r.Host, s.o.URL.Host) && r.URL.Query().Get("here") == "" {
		http.Redirect(w, r, s.origin()+StartPath+"?"+url.Values{"here": {"1"}, "next": {next}}.Encode(), http.StatusSeeOther)
		return nil
	}
	f := flow{State: rand.Text() + rand.Text(), Verifier: rand.Text() + rand.Text(), Next: next, Began: s.o.Now()}
	raw, err := json.Marshal(f)
	if err != nil {
		return err
	}
	http.SetCookie(w, s.cookie("signin", base64.RawURLEncoding.EncodeToString(s.flows.Seal(nil, nil, raw, nil)), flowLife))
	sum := sha256.Sum256([]byte(f.Verifier))
	http.Redirect(w, r, s.o.Forge.AuthorizeURL(s.redirect(), f.State, base64.RawURLEncoding.EncodeToString(sum[:])), http.StatusSeeOther)
	return nil
}

func (s *Sessions) redirect() string { return s.origin() + CallbackPath }

// Callback takes the browser back from the forge: it gets a session, or a
// refusal. A session that the browser had before ends.
func (s *Sessions) Callback(w http.ResponseWriter, r *http.Request) error {
	if s.o.Forge == nil {
		return &Refusal{http.StatusServiceUnavailable, "Nobody can sign in yet.", s.o.SetUp}
	}
	from := clientaddr.Of(r, s.o.Trusted)
	many, err := s.tries.tooMany(r.Context(), from)
	if err != nil {
		return err
	}
	if many {
		return &Refusal{http.StatusTooManyRequests, "Too many sign-in attempts from your address have failed.", "wait ten minutes"}
	}
	sealed := s.only(r, "signin")
	http.SetCookie(w, s.cookie("signin", "", 0))
	session, until, next, err := s.back(r.Context(), sealed, r.URL.Query())
	var refused *Refusal
	if errors.As(err, &refused) {
		return errors.Join(err, s.tries.failed(r.Context(), from))
	}
	if err != nil {
		return err
	}
	if old := s.opener(r); old != "" {
		if err := s.end(r.Context(), old); err != nil {
			s.o.Log.Warn("a session that another one replaces is left to end by itself", "error", err)
		}
	}
	http.SetCookie(w, s.cookie("session", session.secret[:secretSize], until.Sub(s.o.Now())))
	http.Redirect(w, r, next, http.StatusSeeOther)
	return nil
}

// back makes a session of the forge's answer.
func (s *Sessions) back(ctx context.Context, sealed string, answer url.Values) (_ Session, until time.Time, next string, err error) {
	const again = "sign in again, in this browser"
	var f flow
	raw, err := base64.RawURLEncoding.DecodeString(sealed)
	if err == nil {
		raw, err = s.flows.Open(nil, nil, raw, nil)
	}
	if err == nil {
		err = json.Unmarshal(raw, &f)
	}
	now := s.o.Now()
	if err != nil || now.Sub(f.Began) > flowLife || now.Before(f.Began) ||
		subtle.ConstantTimeCompare([]byte(answer.Get("state")), []byte(f.State)) != 1 {
		return Session{}, until, "", &Refusal{http.StatusBadRequest, "This browser did not start the sign-in, or it took too long.", again}
	}
	if answer.Get("error") != "" {
		return Session{}, until, "", &Refusal{http.StatusForbidden, "The forge did not let you sign in.", again}
	}
	token, err := s.o.Forge.Exchange(ctx, s.redirect(), answer.Get("code"), f.Verifier)
	if errors.Is(err, forge.ErrForbidden) {
		return Session{}, until, "", &Refusal{http.StatusForbidden, "The forge rejected this sign-in: it was already used, or is too old.", again}
	}
	if err != nil {
		return Session{}, until, "", s.troubled(err)
	}
	session, until, err := s.begin(ctx, token)
	if err != nil {
		s.revoke(ctx, token.Secret)
	}
	var none *NoPermission
	switch {
	case errors.As(err, &none):
		return Session{}, until, "", &Refusal{http.StatusForbidden, "The account " + none.Login + " has no permission on the deployment repository.",
			"ask its maintainers for one, or sign in at the forge with another account"}
	case errors.Is(err, forge.ErrSignedOut):
		return Session{}, until, "", &Refusal{http.StatusForbidden, "The forge has signed you out in the meantime.", again}
	case err != nil:
		return Session{}, until, "", s.troubled(err)
	}
	return session, until, f.Next, nil
}

// troubled is the page for a forge, or a database, that does not work. What is
// wrong is for the server's log: the person is not known.
func (s *Sessions) troubled(err error) error {
	s.o.Log.Error("somebody cannot sign in", "error", err, "hint", model.HintOf(err))
	return &trouble{}
}

// trouble is no fault of the person: it counts as no failed attempt.
type trouble struct{}

func (*trouble) Error() string { return "The forge does not answer, so nobody can sign in now." }

// Find returns the session behind a request. ErrNone or *NoPermission when
// there is none (any more); after any other error nothing is known.
func (s *Sessions) Find(r *http.Request) (Session, error) {
	secret := s.opener(r)
	if secret == "" {
		return Session{}, ErrNone
	}
	return s.find(r.Context(), secret)
}

// Again returns what has become of a session.
func (s *Sessions) Again(ctx context.Context, session Session) (Session, error) {
	return s.find(ctx, session.secret)
}

// Out ends the session of a browser.
func (s *Sessions) Out(w http.ResponseWriter, r *http.Request) error {
	secret := s.opener(r)
	s.Clear(w)
	if secret == "" {
		return nil
	}
	return s.end(r.Context(), secret)
}

// Clear takes the browser's cookie away, which opens nothing any more.
func (s *Sessions) Clear(w http.ResponseWriter) { http.SetCookie(w, s.cookie("session", "", 0)) }

// SameForm says whether a form is one that a page of the session showed.
func SameForm(session Session, given string) bool {
	return session.Form != "" && subtle.ConstantTimeCompare([]byte(session.Form), []byte(given)) == 1
}
