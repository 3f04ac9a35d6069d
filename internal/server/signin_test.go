package server_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/forge/forgetest/process"
	"github.com/hubship/hubship/internal/forge/github"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/server"
	"github.com/hubship/hubship/internal/server/signin"
	"github.com/hubship/hubship/internal/store"
)

const home = "localhost:8080"

// entry is hubship's server beside the embedded forge's program: the flow is the
// one that people walk, over HTTP.
type entry struct {
	t     *testing.T
	forge *process.Forge
	way   forge.SignIn
	svc   *service

	handler http.Handler
	now     time.Time
	n       int
}

func newEntry(t *testing.T) *entry {
	e := &entry{t: t, forge: process.Start(t, process.Options{Redirect: "http://" + home + signin.CallbackPath}), now: time.Now()}
	var err error
	e.way, err = e.forge.Client(process.Own, e.forge.Repository).SignIn(github.OAuthOptions{Web: e.forge.URL + "/forge", ClientID: process.ClientID, ClientSecret: e.forge.Secret})
	if err != nil {
		t.Fatal(err)
	}
	e.svc = newService(t)
	run := model.Run{ID: "r1", Kind: model.Deploy, Environment: "staging", State: model.Done, Created: time.Now()}
	if err := e.svc.Put(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	e.restart()
	return e
}

// restart makes the server anew, with the database that there is.
func (e *entry) restart() {
	log := slog.New(slog.DiscardHandler)
	s, err := signin.New(signin.Options{Forge: e.way, Title: "the forge", Keep: e.svc.Store, URL: &url.URL{Scheme: "http", Host: home}, Name: "test",
		Fresh: 1, Now: func() time.Time { return e.now }, Log: log})
	if err != nil {
		e.t.Fatal(err)
	}
	srv, err := server.New(server.Options{Service: e.svc, Addr: "127.0.0.1:0", SignIn: s, Log: log})
	if err != nil {
		e.t.Fatal(err)
	}
	e.handler = srv.Handler()
}

// request asks the server with cookies.
func (e *entry) request(method, path string, cookies []*http.Cookie, form url.Values, header map[string]string) *http.Response {
	r := httptest.NewRequest(method, "http://"+home+path, strings.NewReader(form.Encode()))
	r.Header.Set("Accept", "text/html")
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for k, v := range header {
		r.Header.Set(k, v)
	}
	for _, c := range cookies {
		r.AddCookie(c)
	}
	w := httptest.NewRecorder()
	e.handler.ServeHTTP(w, r)
	return w.Result()
}

// flow is a way in that somebody has begun.
type flow struct {
	cookies  []*http.Cookie // of the browser
	callback *url.URL
}

// begin walks to the forge and back, up to the callback; ok is false when the
// forge knows nobody there. What the browser has of hubship's is kept apart.
func (e *entry) begin(atForge *http.Client) (f flow, ok bool) {
	res := e.request("GET", signin.StartPath+"?next=/runs", nil, nil, nil)
	to, err := res.Location()
	if err != nil {
		e.t.Fatalf("start: %s", res.Status)
	}
	once := *atForge
	once.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	back, err := once.Get(to.String())
	if err != nil {
		e.t.Fatal(err)
	}
	_, err = io.Copy(io.Discard, back.Body) // so that the connection is used again
	if err = errors.Join(err, back.Body.Close()); err != nil {
		e.t.Fatal(err)
	}
	u, err := back.Location()
	if err != nil {
		return f, false
	}
	return flow{cookies: res.Cookies(), callback: u}, u.Path == signin.CallbackPath && u.Query().Get("code") != ""
}

// session is the cookie that an answer sets; nil when it sets none.
func session(res *http.Response) *http.Cookie {
	for _, c := range res.Cookies() {
		if strings.Contains(c.Name, "hubship_session_") && c.MaxAge >= 0 && c.Value != "" {
			return c
		}
	}
	return nil
}

func (e *entry) finish(f flow, cookies ...*http.Cookie) (*http.Cookie, *http.Response) {
	res := e.request("GET", f.callback.RequestURI(), append(cookies, f.cookies...), nil, nil)
	return session(res), res
}

// password is that of everybody who signs in to the forge.
const password = "correct horse battery"

// account makes one, and signs in to the forge's pages with it.
func (e *entry) account(role string) (login string, atForge *http.Client) {
	e.n++
	login = fmt.Sprintf("p%d", e.n)
	e.forge.AddAccount(model.NewAccount{Login: login, Role: role, Password: password}, "")
	return login, e.forge.SignIn(login, password)
}

func (e *entry) body(res *http.Response) string {
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		e.t.Fatal(err)
	}
	return string(raw)
}

var formToken = regexp.MustCompile(`name="form" value="([^"]+)"`)

// tokenOfForge is found once for each token on the forge's page of an account.
var tokenOfForge = regexp.MustCompile(`/-/settings/tokens/\d+/revoke`)

func TestSignInAndOut(t *testing.T) {
	e := newEntry(t)
	_, at := e.account(model.RoleReviewer)
	if res := e.request("GET", "/runs?limit=5", nil, nil, nil); res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != "/signin?next=%2Fruns%3Flimit%3D5" {
		t.Fatalf("without a session: %s to %s", res.Status, res.Header.Get("Location"))
	}
	f, ok := e.begin(at)
	if !ok {
		t.Fatal("the forge gives no code")
	}
	c, res := e.finish(f)
	if c == nil || res.Header.Get("Location") != "/runs" {
		t.Fatalf("no session: %s %s", res.Status, e.body(res))
	}
	if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Domain != "" || c.Path != "/" {
		t.Errorf("the cookie is %v", c)
	}
	page := e.body(e.request("GET", "/", []*http.Cookie{c}, nil, nil))
	form := formToken.FindStringSubmatch(page)
	if form == nil || !strings.Contains(page, "p1") || !strings.Contains(page, "datahub") {
		t.Fatalf("the dashboard:\n%s", page)
	}
	// Two cookies of the name: another host put one there, and none counts.
	if res := e.request("GET", "/", []*http.Cookie{c, {Name: c.Name, Value: strings.Repeat("A", 52)}}, nil, nil); res.StatusCode != http.StatusSeeOther {
		t.Errorf("with two cookies: %s", res.Status)
	}
	// The database opens nothing.
	if e.svc.Store != nil {
		raw := readAll(t, e.svc.Store)
		if strings.Contains(raw, c.Value) || strings.Contains(raw, "hsp_") {
			t.Error("the database holds what opens a session, or a token")
		}
	}
	tokens := func() int {
		page, err := at.Get(e.forge.URL + "/forge/-/settings")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = page.Body.Close() }()
		if page.StatusCode != http.StatusOK {
			t.Fatalf("the account's page: %s", page.Status)
		}
		return len(tokenOfForge.FindAllString(e.body(page), -1))
	}
	if tokens() != 1 {
		t.Errorf("the account has %d tokens, want that of the session", tokens())
	}
	if res := e.request("POST", "/signout", []*http.Cookie{c}, url.Values{"form": {"x"}}, nil); res.StatusCode != http.StatusForbidden {
		t.Errorf("sign out without the form: %s", res.Status)
	}
	if res := e.request("POST", "/signout", []*http.Cookie{c}, url.Values{"form": form[1:]}, nil); res.StatusCode != http.StatusSeeOther {
		t.Errorf("sign out: %s", res.Status)
	}
	if res := e.request("GET", "/", []*http.Cookie{c}, nil, nil); res.StatusCode != http.StatusSeeOther {
		t.Errorf("after signing out: %s", res.Status)
	}
	for range 100 {
		if tokens() == 0 {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Error("the forge's token outlives the session")
}

func readAll(t *testing.T, s *store.Store) string {
	t.Helper()
	var all strings.Builder
	if err := s.EachKept(t.Context(), func(kind, key, body string) { all.WriteString(kind + key + body + "\n") }); err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// Attempts that fail are counted, by the client's address, over a restart.
func TestAttemptsAreBounded(t *testing.T) {
	e := newEntry(t)
	_, at := e.account(model.RoleReviewer)
	for range 20 {
		if res := e.request("GET", signin.CallbackPath+"?code=x&state=y", nil, nil, nil); res.StatusCode != http.StatusBadRequest {
			t.Fatalf("an answer that nobody asked for: %s", res.Status)
		}
	}
	e.restart()
	f, _ := e.begin(at)
	if c, res := e.finish(f); c != nil || res.StatusCode != http.StatusTooManyRequests {
		t.Fatalf("after twenty: %s", res.Status)
	}
	e.now = e.now.Add(11 * time.Minute)
	f, _ = e.begin(at)
	if c, res := e.finish(f); c == nil {
		t.Fatalf("ten minutes later: %s", res.Status)
	}
}

// A stream that somebody reads ends when they may not read it any more.
func TestStreamsEndWithTheSession(t *testing.T) {
	svc := newService(t)
	p := everybody()
	r := serve(t, server.Options{Service: svc, SignIn: door(t, p, svc.Store, "localhost")})
	begin(t, svc, "r1")
	b := r.signIn(t, "write")
	res, err := b.Get("http://" + r.addr + "/api/v1/runs/r1/lines?follow=true")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		t.Fatal(res.Status)
	}
	ended := make(chan struct{})
	go func() { _, _ = io.Copy(io.Discard, res.Body); close(ended) }()
	select {
	case <-ended:
		t.Fatal("it ended by itself")
	case <-time.After(500 * time.Millisecond):
	}
	p.mu.Lock()
	p.may["write"] = forge.Read
	p.mu.Unlock()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("somebody reads on who may not")
	}
}

// Should hubship's cookie ever come along to a hub, it goes no further, and no
// hub sets one.
func TestHubsGetNoSession(t *testing.T) {
	r := serveHub(t, newService(t))
	for _, name := range []string{"hubship_session_00000000", "__Host-hubship_session_00000000", "hubship_signin_00000000", "hubship_forge", "__Host-hubship_forge"} {
		_, body := r.get(t, hubName, "/echo", func(req *http.Request) { req.Header.Set("Cookie", "a=1; "+name+"=secret; b=2; c="+name) })
		if strings.Contains(body, "secret") || !strings.Contains(body, "a=1; b=2; c="+name) {
			t.Errorf("the hub sees %s", body)
		}
		set := url.Values{"set": {"a=1", name + "=x; Path=/forge; Domain=example.org", "= " + name + "=x", " " + name + "=x", "b=" + name}}
		res, _ := r.get(t, hubName, "/echo?"+set.Encode(), nil)
		if got := res.Header["Set-Cookie"]; !slices.Equal(got, []string{"a=1", "b=" + name}) {
			t.Errorf("the hub sets %q", got)
		}
	}
	// Those are the names that there are.
	w := newEntry(t)
	if c := w.request("GET", signin.StartPath, nil, nil, nil).Cookies(); len(c) != 1 || !strings.HasPrefix(c[0].Name, "hubship_") {
		t.Errorf("cookies %v", c)
	}
}
