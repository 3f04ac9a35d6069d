package oauth_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hubship/hubship/devforge/internal/oauth"
	"github.com/hubship/hubship/devforge/internal/store"
)

const (
	secret   = "the secret of the one client"
	redirect = "http://localhost:8080/signin/callback"
	verifier = "a-verifier-that-has-at-least-43-characters-in-it"
)

type world struct {
	t     *testing.T
	s     *oauth.Server
	db    *store.Store
	who   store.Account
	now   time.Time
	still error
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, now: time.Now()}
	var err error
	if w.db, err = store.Open(t.Context(), filepath.Join(t.TempDir(), "forge.db")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.db.Close() })
	if w.who, err = w.db.CreateAccount(t.Context(), store.NewAccount{Login: "ada"}); err != nil {
		t.Fatal(err)
	}
	w.s, err = oauth.New("/forge", "/api/v3", oauth.Options{
		Store: w.db, Client: oauth.Client{ID: "hubship", Secret: secret, Redirect: redirect}, Life: time.Hour, Now: func() time.Time { return w.now },
		Visitor: func(r *http.Request) (oauth.Visitor, error) {
			if r.Header.Get("Cookie") == "" {
				return oauth.Visitor{}, store.ErrDenied
			}
			return oauth.Visitor{Account: w.who, Still: func(context.Context) error { return w.still }}, nil
		},
		SignIn: func(back string) string { return "/forge/-/signin?next=" + url.QueryEscape(back) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) authorize(signedIn bool, change url.Values) *http.Response {
	sum := sha256.Sum256([]byte(verifier))
	q := url.Values{"client_id": {"hubship"}, "redirect_uri": {redirect}, "state": {"s"}, "scope": {"read:user"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"}}
	for k, v := range change {
		q[k] = v
	}
	r := httptest.NewRequest(http.MethodGet, "/forge/login/oauth/authorize?"+q.Encode(), nil)
	if signedIn {
		r.Header.Set("Cookie", "x=y")
	}
	rec := httptest.NewRecorder()
	w.s.ServeHTTP(rec, r)
	return rec.Result()
}

func (w *world) code() string {
	w.t.Helper()
	u, err := w.authorize(true, nil).Location()
	if err != nil || u.Query().Get("code") == "" || u.Query().Get("state") != "s" || !strings.HasPrefix(u.String(), redirect+"?") {
		w.t.Fatalf("no code: %v %v", u, err)
	}
	return u.Query().Get("code")
}

func (w *world) exchange(code string, change url.Values) (token, failed string) {
	w.t.Helper()
	in := url.Values{"client_id": {"hubship"}, "client_secret": {secret}, "redirect_uri": {redirect}, "code": {code}, "code_verifier": {verifier}}
	for k, v := range change {
		in[k] = v
	}
	r := httptest.NewRequest(http.MethodPost, "/forge/login/oauth/access_token", strings.NewReader(in.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json")
	rec := httptest.NewRecorder()
	w.s.ServeHTTP(rec, r)
	var out struct {
		Token string `json:"access_token"`
		Error string `json:"error"`
	}
	if err := json.Unmarshal(rec.Body.Bytes(), &out); err != nil {
		w.t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	return out.Token, out.Error
}

func TestAuthorize(t *testing.T) {
	w := newWorld(t)
	// Nobody is sent anywhere but to the one address.
	for _, change := range []url.Values{
		{"client_id": {"other"}}, {"redirect_uri": {"http://evil.example/"}}, {"redirect_uri": {redirect + "/x"}}, {"redirect_uri": {redirect + "?x=y"}}, {"redirect_uri": {""}},
		{"redirect_uri": {redirect, "http://evil.example/"}},
	} {
		if res := w.authorize(true, change); res.StatusCode != http.StatusBadRequest || res.Header.Get("Location") != "" {
			t.Errorf("%v: %s to %s", change, res.Status, res.Header.Get("Location"))
		}
	}
	for _, change := range []url.Values{{"code_challenge": {""}}, {"code_challenge_method": {"plain"}}, {"code_challenge": {"short"}}, {"state": {""}}, {"response_type": {"token"}}} {
		u, err := w.authorize(true, change).Location()
		if err != nil || u.Query().Get("error") != "invalid_request" || u.Query().Get("code") != "" {
			t.Errorf("%v: %v %v", change, u, err)
		}
	}
	if to := w.authorize(false, nil).Header.Get("Location"); !strings.HasPrefix(to, "/forge/-/signin?next=%2Fforge%2Flogin%2Foauth%2Fauthorize") {
		t.Errorf("who has not signed in is sent to %s", to)
	}
}

func TestCodes(t *testing.T) {
	w := newWorld(t)
	for name, change := range map[string]url.Values{
		"another verifier": {"code_verifier": {verifier + "x"}}, "no verifier": {"code_verifier": {""}}, "another address": {"redirect_uri": {"http://localhost:9999/"}},
		"another secret": {"client_secret": {"guess"}}, "another client": {"client_id": {"other"}}, "no code": {"code": {""}},
	} {
		if token, failed := w.exchange(w.code(), change); token != "" || failed == "" {
			t.Errorf("%s: a token was given", name)
		}
	}
	late := w.code()
	w.now = w.now.Add(61 * time.Second)
	if token, _ := w.exchange(late, nil); token != "" {
		t.Error("a code of a minute ago")
	}
	gone := w.code()
	w.still = errors.New("signed out")
	if token, _ := w.exchange(gone, nil); token != "" {
		t.Error("a code of a session that is over")
	}
	w.still = nil
	code := w.code()
	token, failed := w.exchange(code, nil)
	if token == "" {
		t.Fatal(failed)
	}
	who, of, err := w.db.Bearer(t.Context(), token)
	if err != nil || who.ID != w.who.ID || of.Scopes != store.ScopeRead || of.Allows(store.ScopeRepo) || of.Expires.IsZero() {
		t.Fatalf("the token is %+v of %s, %v", of, who.Login, err)
	}
	// Twice: nothing is given, and what was given ends.
	if again, _ := w.exchange(code, nil); again != "" {
		t.Error("a code opened two tokens")
	}
	if _, _, err := w.db.Bearer(t.Context(), token); !errors.Is(err, store.ErrDenied) {
		t.Errorf("the token of a code that came twice: %v", err)
	}
	for range 15 {
		w.exchange(w.code(), nil)
	}
	if all, err := w.db.Tokens(t.Context(), w.who.ID); err != nil || len(all) != 10 {
		t.Errorf("%d tokens are kept, %v; want 10", len(all), err)
	}
}

// One account that asks again and again keeps nobody else from signing in.
func TestCodesOfOneAccount(t *testing.T) {
	w := newWorld(t)
	ada := w.who
	mallory, err := w.db.CreateAccount(t.Context(), store.NewAccount{Login: "mallory"})
	if err != nil {
		t.Fatal(err)
	}
	before := w.code()
	w.who = mallory
	var codes []string
	for range 1100 {
		w.now = w.now.Add(time.Millisecond)
		codes = append(codes, w.code())
	}
	w.who = ada
	for _, code := range []string{before, w.code(), codes[len(codes)-1]} {
		if token, failed := w.exchange(code, nil); token == "" {
			t.Error(failed)
		}
	}
	if token, _ := w.exchange(codes[0], nil); token != "" {
		t.Error("the oldest of too many codes is kept")
	}
}

func TestRevoke(t *testing.T) {
	w := newWorld(t)
	token, _ := w.exchange(w.code(), nil)
	_, other, err := w.db.CreateToken(t.Context(), w.who.ID, "git", []string{store.ScopeRepo}, 0)
	if err != nil {
		t.Fatal(err)
	}
	revoke := func(token, with string) int {
		r := httptest.NewRequest(http.MethodDelete, "/api/v3/applications/hubship/token", strings.NewReader(`{"access_token":"`+token+`"}`))
		r.SetBasicAuth("hubship", with)
		rec := httptest.NewRecorder()
		w.s.ServeHTTP(rec, r)
		return rec.Code
	}
	if code := revoke(token, "guess"); code != http.StatusNotFound {
		t.Errorf("with another secret: %d", code)
	}
	if code := revoke(other, secret); code != http.StatusNotFound {
		t.Errorf("of a token that is not the client's: %d", code)
	}
	if code := revoke(token, secret); code != http.StatusNoContent {
		t.Errorf("%d", code)
	}
	if _, _, err := w.db.Bearer(t.Context(), token); !errors.Is(err, store.ErrDenied) {
		t.Errorf("the token lives: %v", err)
	}
	if _, _, err := w.db.Bearer(t.Context(), other); err != nil {
		t.Errorf("the other token: %v", err)
	}
}
