package server_test

import (
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
	"github.com/hubship/hubship/internal/forge/github"
	"github.com/hubship/hubship/internal/forge/local/host"
	"github.com/hubship/hubship/internal/forge/local/localtest"
	"github.com/hubship/hubship/internal/forge/local/oauth"
	"github.com/hubship/hubship/internal/forge/local/pages"
	forgestore "github.com/hubship/hubship/internal/forge/local/store"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/server"
	"github.com/hubship/hubship/internal/server/signin"
	"github.com/hubship/hubship/internal/store"
)

const home = "localhost:8080"

// entry is hubship's server in front of a real embedded forge: the flow is the
// one that people walk, over HTTP.
type entry struct {
	t     *testing.T
	forge *localtest.Forge
	way   forge.SignIn
	svc   *service

	handler http.Handler
	now     time.Time
	n       int
}

func newEntry(t *testing.T) *entry {
	e := &entry{t: t, forge: localtest.Start(t, nil), now: time.Now()}
	org := e.forge.Account(forgestore.NewAccount{Login: "hubs", Kind: forgestore.Organization})
	if _, err := e.forge.Host.CreateRepository(t.Context(), org, host.NewRepository{Name: "deployment", DefaultBranch: "staging"}); err != nil {
		t.Fatal(err)
	}
	bot := e.forge.Account(forgestore.NewAccount{Login: "robot", Role: forgestore.Maintainer})
	const secret = "a secret that only the two of them know"
	var err error
	e.way, err = e.forge.Client(bot, forge.Repository{Owner: "hubs", Name: "deployment"}).SignIn(github.OAuthOptions{Web: e.forge.URL + "/forge", ClientID: "hubship", ClientSecret: secret})
	if err != nil {
		t.Fatal(err)
	}
	provider, err := oauth.New("/forge", "/api/v3", oauth.Options{
		Store: e.forge.Host.Store, Client: oauth.Client{ID: "hubship", Secret: secret, Redirect: "http://" + home + signin.CallbackPath},
		Visitor: func(r *http.Request) (oauth.Visitor, error) {
			who, still, err := pages.Visitor(e.forge.Host.Store, false, r)
			return oauth.Visitor{Account: who, Still: still}, err
		},
		SignIn: func(back string) string { return "/forge/-/signin?next=" + url.QueryEscape(back) }, Life: signin.Life,
	})
	if err != nil {
		t.Fatal(err)
	}
	e.forge.Mount("/forge/login/oauth/", provider)
	e.forge.Mount("/api/v3/applications/", provider)
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
// forge knows nobody there.
func (e *entry) begin(forgeSession string) (f flow, ok bool) {
	res := e.request("GET", signin.StartPath+"?next=/runs", nil, nil, nil)
	to, err := res.Location()
	if err != nil {
		e.t.Fatalf("start: %s", res.Status)
	}
	req, err := http.NewRequest(http.MethodGet, to.String(), nil)
	if err != nil {
		e.t.Fatal(err)
	}
	req.AddCookie(&http.Cookie{Name: "hubship_forge", Value: forgeSession})
	back, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		e.t.Fatal(err)
	}
	_ = back.Body.Close()
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

// account makes one, with a session at the forge.
func (e *entry) account(role forgestore.Role) (forgestore.Account, string) {
	e.n++
	a := e.forge.Account(forgestore.NewAccount{Login: fmt.Sprintf("p%d", e.n), Role: role})
	return a, e.visit(a)
}

// visit is a new session of somebody at the forge.
func (e *entry) visit(a forgestore.Account) string {
	_, secret, err := e.forge.Host.Store.StartSession(e.t.Context(), a.ID, nil)
	if err != nil {
		e.t.Fatal(err)
	}
	return secret
}

func (e *entry) body(res *http.Response) string {
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		e.t.Fatal(err)
	}
	return string(raw)
}

var formToken = regexp.MustCompile(`name="form" value="([^"]+)"`)

func TestSignInAndOut(t *testing.T) {
	e := newEntry(t)
	_, at := e.account(forgestore.Reviewer)
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
		a, err := e.forge.Host.Store.AccountByLogin(t.Context(), "p1")
		if err != nil {
			t.Fatal(err)
		}
		list, err := e.forge.Host.Store.Tokens(t.Context(), a.ID)
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
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
	_, at := e.account(forgestore.Reviewer)
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
