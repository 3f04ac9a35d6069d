// Package oauth lets hubship's own pages sign people in with their account of
// the embedded forge: OAuth 2.0's authorization code flow with PKCE, in the
// dialect that GitHub describes under "Authorizing OAuth apps".
//
// There is one client, hubship itself, so nobody is asked for consent: it and
// the forge are one installation. A code lasts a minute, opens one token, and
// is worth something to the client that asked for it, at the address that it
// asked for, with the verifier that only it knows, while the session that gave
// it lasts.
package oauth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/hubship/hubship/devforge/internal/store"
)

const (
	codeLife   = time.Minute
	maxCodes   = 1000     // that wait to be used, or to end
	maxOwn     = 10       // of these, of one account; the oldest ends
	maxBody    = 64 << 10 // bytes of a request
	keepTokens = 10       // of one account, as at GitHub; the oldest end
	tokenName  = "signed in to hubship"
)

// Client is the program that people sign in to.
type Client struct {
	ID, Secret string
	Redirect   string // the one address that people are sent back to
}

// Visitor is somebody who has signed in to the forge's pages.
type Visitor struct {
	Account store.Account
	// Still says whether the session lasts; nil for yes.
	Still func(context.Context) error
}

// Options are the settings of a Server.
type Options struct {
	Store  *store.Store
	Client Client
	// Visitor finds who has signed in to the pages; store.ErrDenied for nobody.
	Visitor func(*http.Request) (Visitor, error)
	// SignIn is the path of the page to sign in at, to come back to a path.
	SignIn func(back string) string
	// Life is how long a token lasts.
	Life time.Duration
	Now  func() time.Time // nil for time.Now
	Log  *slog.Logger     // nil for slog.Default
}

// Server answers below /login/oauth/ of the forge's pages and below
// /applications/ of its API.
type Server struct {
	o   Options
	mux *http.ServeMux

	mu    sync.Mutex
	codes map[[sha256.Size]byte]*grant // guarded by mu
}

// grant is what a code stands for.
type grant struct {
	visitor   Visitor
	redirect  string
	challenge string
	until     time.Time
	used      bool
	token     int64 // id of what it was given for
}

// New returns a server for pages at a path such as /forge, and an API at one
// such as /api/v3.
func New(pages, api string, o Options) (*Server, error) {
	if u, err := url.Parse(o.Client.Redirect); err != nil || u.Host == "" || u.Fragment != "" || o.Client.ID == "" || len(o.Client.Secret) < 20 {
		return nil, errors.New("embedded forge: hubship's OAuth client has no secret or no redirect URL")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	s := &Server{o: o, mux: http.NewServeMux(), codes: map[[sha256.Size]byte]*grant{}}
	s.mux.HandleFunc("GET "+pages+"/login/oauth/authorize", s.authorize)
	s.mux.HandleFunc("POST "+pages+"/login/oauth/access_token", s.exchange)
	s.mux.HandleFunc("DELETE "+api+"/applications/{client}/token", s.revoke)
	return s, nil
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer") // addresses here have codes in them
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	s.mux.ServeHTTP(w, r)
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// authorize gives a code to who has signed in, by way of their browser.
func (s *Server) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	// Until client and address are right nobody is sent anywhere.
	if !same(q.Get("client_id"), s.o.Client.ID) || len(q["redirect_uri"]) > 1 || q.Get("redirect_uri") != s.o.Client.Redirect {
		http.Error(w, "hubship: unknown client_id, or the redirect_uri does not match", http.StatusBadRequest)
		return
	}
	back := func(answer url.Values) {
		answer.Set("state", q.Get("state"))
		http.Redirect(w, r, s.o.Client.Redirect+"?"+answer.Encode(), http.StatusSeeOther)
	}
	challenge, err := base64.RawURLEncoding.DecodeString(q.Get("code_challenge"))
	if q.Get("code_challenge_method") != "S256" || err != nil || len(challenge) != sha256.Size || q.Get("state") == "" || len(q.Get("state")) > 500 ||
		q.Get("response_type") != "" && q.Get("response_type") != "code" {
		back(url.Values{"error": {"invalid_request"}, "error_description": {"state and an S256 code_challenge are required"}})
		return
	}
	visitor, err := s.o.Visitor(r)
	if errors.Is(err, store.ErrDenied) {
		http.Redirect(w, r, s.o.SignIn(r.URL.RequestURI()), http.StatusSeeOther)
		return
	}
	if err != nil {
		s.o.Log.Error("embedded forge: could not find out who is signing in to hubship", "error", err)
		back(url.Values{"error": {"server_error"}})
		return
	}
	code := rand.Text() + rand.Text()
	if !s.put(code, &grant{visitor: visitor, redirect: q.Get("redirect_uri"), challenge: q.Get("code_challenge"), until: s.o.Now().Add(codeLife)}) {
		back(url.Values{"error": {"temporarily_unavailable"}})
		return
	}
	back(url.Values{"code": {code}})
}

// put keeps a code. It is false when too many wait. Nobody has so many that there
// is no room for others.
func (s *Server) put(code string, g *grant) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.o.Now()
	own, oldest := 0, [sha256.Size]byte{}
	for k, old := range s.codes {
		switch {
		case !now.Before(old.until):
			delete(s.codes, k)
		case old.visitor.Account.ID == g.visitor.Account.ID:
			if own++; own == 1 || old.until.Before(s.codes[oldest].until) {
				oldest = k
			}
		}
	}
	if own >= maxOwn {
		delete(s.codes, oldest)
	}
	if len(s.codes) >= maxCodes {
		return false
	}
	s.codes[sha256.Sum256([]byte(code))] = g
	return true
}

// take uses a code up. One that was used before was stolen on one of its two
// ways: what it was given for is returned as replayed, and ends (RFC 6749,
// 4.1.2).
func (s *Server) take(code string) (g *grant, replayed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, ok := s.codes[sha256.Sum256([]byte(code))]
	switch {
	case !ok || !s.o.Now().Before(g.until):
		return nil, false
	case g.used:
		return g, true
	}
	g.used = true
	return g, false
}

// exchange gives a token for a code. GitHub answers 200 also to what it
// refuses.
func (s *Server) exchange(w http.ResponseWriter, r *http.Request) {
	in, err := form(w, r)
	if err != nil {
		s.answer(w, r, url.Values{"error": {"invalid_request"}})
		return
	}
	refuse := func(code, text string) {
		s.answer(w, r, url.Values{"error": {code}, "error_description": {text}})
	}
	if !s.known(in.Get("client_id"), in.Get("client_secret")) {
		refuse("incorrect_client_credentials", "The client_id and/or client_secret passed are incorrect.")
		return
	}
	const bad = "The code passed is incorrect or expired."
	g, replayed := s.take(in.Get("code"))
	if g == nil {
		refuse("bad_verification_code", bad)
		return
	}
	who := g.visitor.Account
	if replayed {
		s.o.Log.Warn("embedded forge: a sign-in code was used twice; the token it gave is revoked", "login", who.Login)
		s.mu.Lock()
		token := g.token
		s.mu.Unlock()
		if token != 0 {
			if err := s.o.Store.RevokeToken(r.Context(), who.ID, token); err != nil {
				s.o.Log.Error("embedded forge: could not revoke a token", "error", err)
			}
		}
		refuse("bad_verification_code", bad)
		return
	}
	sum := sha256.Sum256([]byte(in.Get("code_verifier")))
	if in.Get("redirect_uri") != g.redirect {
		refuse("redirect_uri_mismatch", "The redirect_uri MUST match the registered callback URL for this application.")
		return
	}
	if !same(base64.RawURLEncoding.EncodeToString(sum[:]), strings.TrimRight(g.challenge, "=")) || len(in.Get("code_verifier")) < 43 {
		refuse("bad_verification_code", bad)
		return
	}
	// Who signed out, was locked out or has another password since then is
	// nobody any more.
	if g.visitor.Still != nil && g.visitor.Still(r.Context()) != nil {
		refuse("bad_verification_code", bad)
		return
	}
	token, secret, err := s.o.Store.CreateToken(r.Context(), who.ID, tokenName, []string{store.ScopeRead}, s.o.Life)
	if err != nil {
		s.o.Log.Error("embedded forge: could not create a sign-in token", "login", who.Login, "error", err)
		http.Error(w, "hubship: the forge's database does not answer", http.StatusServiceUnavailable)
		return
	}
	s.mu.Lock()
	g.token = token.ID
	s.mu.Unlock()
	s.trim(r.Context(), who.ID)
	s.answer(w, r, url.Values{"access_token": {secret}, "scope": {"read:user"}, "token_type": {"bearer"}, "expires_in": {fmt.Sprint(int(s.o.Life.Seconds()))}})
}

func (s *Server) known(id, secret string) bool {
	a, b := sha256.Sum256([]byte(secret)), sha256.Sum256([]byte(s.o.Client.Secret))
	return same(id, s.o.Client.ID) && subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// trim ends tokens of an account beyond the newest few, and those that have
// ended anyway.
func (s *Server) trim(ctx context.Context, account int64) {
	all, err := s.o.Store.Tokens(ctx, account) // the oldest first
	live := 0
	for i := len(all) - 1; err == nil && i >= 0; i-- {
		t := all[i]
		if t.Name != tokenName || t.Scopes != store.ScopeRead {
			continue
		}
		if live++; live > keepTokens || !t.Expires.IsZero() && t.Expires.Before(s.o.Now()) {
			err = s.o.Store.RevokeToken(ctx, account, t.ID)
		}
	}
	if err != nil {
		s.o.Log.Warn("embedded forge: could not remove old tokens; they expire by themselves", "error", err)
	}
}

// revoke ends a token, for the client that it was made for.
func (s *Server) revoke(w http.ResponseWriter, r *http.Request) {
	id, secret, _ := r.BasicAuth()
	if !s.known(id, secret) || !same(r.PathValue("client"), id) {
		http.Error(w, `{"message":"Not Found"}`, http.StatusNotFound)
		return
	}
	var in struct {
		Token string `json:"access_token"`
	}
	if json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&in) != nil {
		http.Error(w, `{"message":"Problems parsing JSON"}`, http.StatusBadRequest)
		return
	}
	who, token, err := s.o.Store.Bearer(r.Context(), in.Token)
	switch {
	case errors.Is(err, store.ErrDenied), err == nil && token.Name != tokenName:
		http.Error(w, `{"message":"Not Found"}`, http.StatusNotFound)
	case err == nil && s.o.Store.RevokeToken(r.Context(), who.ID, token.ID) == nil:
		w.WriteHeader(http.StatusNoContent)
	default:
		http.Error(w, `{"message":"Server Error"}`, http.StatusInternalServerError)
	}
}

// form reads parameters as a form or as JSON, from the body alone.
func form(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(30 * time.Second)) // not every writer has deadlines
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind == "application/json" {
		in := map[string]string{}
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			return nil, err
		}
		out := url.Values{}
		for k, v := range in {
			out.Set(k, v)
		}
		return out, nil
	}
	if err := r.ParseForm(); err != nil {
		return nil, err
	}
	return r.PostForm, nil
}

// answer sends parameters as JSON where that is asked for, and otherwise as a
// form, as GitHub does.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, v url.Values) {
	if !strings.Contains(r.Header.Get("Accept"), "json") {
		w.Header().Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
		_, _ = w.Write([]byte(v.Encode())) // the client may be gone
		return
	}
	out := map[string]any{}
	for k := range v {
		out[k] = v.Get(k)
	}
	if life, err := time.ParseDuration(v.Get("expires_in") + "s"); err == nil {
		out["expires_in"] = int(life.Seconds())
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_ = json.NewEncoder(w).Encode(out) // the client may be gone
}
