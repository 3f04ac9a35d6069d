package server_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/forge/github"
	"github.com/hubship/hubship/internal/forge/local/host"
	"github.com/hubship/hubship/internal/forge/local/localtest"
	"github.com/hubship/hubship/internal/forge/local/oauth"
	"github.com/hubship/hubship/internal/forge/local/pages"
	forgestore "github.com/hubship/hubship/internal/forge/local/store"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/server"
	"github.com/hubship/hubship/internal/server/access"
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

// signedIn is a session as the model knows it.
type signedIn struct {
	cookie        *http.Cookie
	account       *person
	epoch         int // of the account's password
	created, seen time.Time
	over          bool // it was ended, or seen to be over
	unsure        bool // something may have ended it
	confirmed     time.Time
	permission    forge.Permission // at that time
}

type person struct {
	forgestore.Account
	session  string // at the forge
	role     forgestore.Role
	disabled bool
	epoch    int
}

var granted = map[forgestore.Role]forge.Permission{forgestore.Contributor: forge.Read, forgestore.Reviewer: forge.Write, forgestore.Maintainer: forge.Admin}

// Random sequences of what people, operators, attackers and time do. A model of
// its own says who may see what; nobody ever sees more.
func TestNobodySeesMore(t *testing.T) {
	e := newEntry(t)
	rapid.Check(t, func(r *rapid.T) {
		w := &seeing{e: e, r: r}
		for _, role := range []forgestore.Role{forgestore.Contributor, forgestore.Reviewer, forgestore.Maintainer} {
			a, at := e.account(role)
			w.people = append(w.people, &person{Account: a, session: at, role: role})
		}
		e.forge.SetDown(false)
		e.now = e.now.Add(time.Minute)
		r.Repeat(map[string]func(*rapid.T){
			"sign in": w.signIn, "see": w.see, "see again": w.see, "sign out": w.signOut, "role": w.role, "disable": w.disable, "password": w.password,
			"time": w.time, "restart": func(*rapid.T) { e.restart(); w.restarted() }, "forge": w.forge, "steal": w.steal, "replay": w.replay, "other site": w.otherSite, "guess": w.guess,
		})
	})
	e.forge.SetDown(false)
}

type seeing struct {
	e        *entry
	r        *rapid.T
	people   []*person
	sessions []*signedIn
	down     bool
}

func (w *seeing) tick() { w.e.now = w.e.now.Add(time.Second) }

func (w *seeing) person(r *rapid.T) *person { return rapid.SampledFrom(w.people).Draw(r, "person") }

func (w *seeing) some(r *rapid.T) *signedIn {
	if len(w.sessions) == 0 {
		r.Skip("nobody has signed in")
	}
	return rapid.SampledFrom(w.sessions).Draw(r, "session")
}

func (w *seeing) must(err error) {
	if err != nil {
		w.r.Fatal(err)
	}
}

// lasts says whether a session can open anything now.
func (w *seeing) lasts(s *signedIn) bool {
	now := w.e.now
	if s.over || !now.Before(s.created.Add(signin.Life)) || !now.Before(s.seen.Add(signin.Idle)) {
		return false
	}
	if w.down {
		return !s.confirmed.IsZero() && now.Sub(s.confirmed) <= access.Patience
	}
	return !s.account.disabled && s.epoch == s.account.epoch
}

func (w *seeing) permission(s *signedIn) forge.Permission {
	if w.down {
		return s.permission
	}
	return granted[s.account.role]
}

func (w *seeing) signIn(r *rapid.T) {
	w.tick()
	p := w.person(r)
	if w.down {
		r.Skip("the forge is away")
	}
	f, ok := w.e.begin(p.session)
	if ok && p.disabled {
		r.Fatalf("%s is locked out and gets a code", p.Login)
	}
	if !ok {
		return
	}
	var old []*http.Cookie
	var before *signedIn
	if len(w.sessions) > 0 && rapid.Bool().Draw(r, "in a browser with a session") {
		before = rapid.SampledFrom(w.sessions).Draw(r, "old")
		old = append(old, before.cookie)
	}
	c, res := w.e.finish(f, old...)
	if c == nil {
		r.Fatalf("%s is not let in: %s %s", p.Login, res.Status, w.e.body(res))
	}
	if before != nil {
		before.over = true
		if c.Value == before.cookie.Value {
			r.Fatal("the new session is the old one")
		}
	}
	w.sessions = append(w.sessions, &signedIn{cookie: c, account: p, epoch: p.epoch, created: w.e.now, seen: w.e.now, confirmed: w.e.now, permission: granted[p.role]})
}

func (w *seeing) see(r *rapid.T) {
	w.tick()
	s := w.some(r)
	path := rapid.SampledFrom([]string{"/", "/runs", "/runs/r1", "/api/v1/status", "/api/v1/runs", "/runs/r1/log", "/api/v1/runs/r1/lines"}).Draw(r, "path")
	least := forge.Read
	if strings.HasSuffix(path, "/log") || strings.HasSuffix(path, "/lines") {
		least = forge.Write
	}
	res := w.e.request("GET", path, []*http.Cookie{s.cookie}, nil, nil)
	got := res.StatusCode == http.StatusOK
	lasts := w.lasts(s)
	if got && !(lasts && w.permission(s).Includes(least)) {
		r.Fatalf("%s as %s (%s, disabled %v): seen, and must not be: %+v", path, s.account.Login, s.account.role, s.account.disabled, s)
	}
	sure := !s.unsure && w.e.now.Sub(s.seen) < signin.Idle-2*time.Minute
	if !got && lasts && sure && !w.down && w.permission(s).Includes(least) {
		r.Fatalf("%s as %s (%s): %s %s", path, s.account.Login, s.account.role, res.Status, w.e.body(res))
	}
	if !got && strings.Contains(w.e.body(res), "datahub") {
		r.Fatalf("%s tells of the installation", path)
	}
	switch {
	case !lasts && !w.down:
		s.over = true // it was seen to be over, and does not begin again
	case lasts && !w.down:
		s.seen, s.confirmed, s.permission = w.e.now, w.e.now, granted[s.account.role]
	case lasts:
		s.seen = w.e.now
	}
}

func (w *seeing) signOut(r *rapid.T) {
	w.tick()
	s := w.some(r)
	form := formToken.FindStringSubmatch(w.e.body(w.e.request("GET", "/runs", []*http.Cookie{s.cookie}, nil, nil)))
	if form == nil {
		return // over already, or not known now
	}
	w.e.request("POST", "/signout", []*http.Cookie{s.cookie}, url.Values{"form": form[1:]}, nil)
	s.over = true
}

func (w *seeing) role(r *rapid.T) {
	w.tick()
	p := w.person(r)
	p.role = rapid.SampledFrom([]forgestore.Role{forgestore.Contributor, forgestore.Reviewer, forgestore.Maintainer}).Draw(r, "role")
	w.must(w.e.forge.Host.Store.SetRole(w.e.t.Context(), p.ID, p.role))
}

func (w *seeing) disable(r *rapid.T) {
	w.tick()
	p := w.person(r)
	p.disabled = !p.disabled
	w.must(w.e.forge.Host.Store.SetDisabled(w.e.t.Context(), p.ID, p.disabled))
	if !p.disabled {
		p.session = w.e.visit(p.Account)
	}
	w.doubt(p)
}

// doubt marks sessions that may have ended by what happened to their account.
func (w *seeing) doubt(p *person) {
	for _, s := range w.sessions {
		if s.account == p {
			s.unsure = true
		}
	}
}

func (w *seeing) password(r *rapid.T) {
	w.tick()
	p := w.person(r)
	w.must(w.e.forge.Host.Store.SetPassword(w.e.t.Context(), p.ID, "correct horse battery"))
	p.epoch++
	if !p.disabled {
		p.session = w.e.visit(p.Account)
	}
}

func (w *seeing) time(r *rapid.T) {
	w.e.now = w.e.now.Add(rapid.SampledFrom([]time.Duration{30 * time.Second, 10 * time.Minute, 5 * time.Hour, 13 * time.Hour, 8 * 24 * time.Hour}).Draw(r, "passes"))
}

// restarted forgets what the server remembered of the forge's words.
func (w *seeing) restarted() {
	for _, s := range w.sessions {
		s.confirmed = time.Time{}
	}
}

func (w *seeing) forge(*rapid.T) {
	w.down = !w.down
	w.e.forge.SetDown(w.down)
	w.e.now = w.e.now.Add(11 * time.Second)
}

// steal takes somebody's way in to another browser, or alters it.
func (w *seeing) steal(r *rapid.T) {
	w.tick()
	if w.down {
		r.Skip("the forge is away")
	}
	f, ok := w.e.begin(w.person(r).session)
	if !ok {
		return
	}
	q := f.callback.Query()
	switch rapid.IntRange(0, 3).Draw(r, "how") {
	case 0:
		f.cookies = nil
	case 1:
		q.Set("state", q.Get("state")+"A")
	case 2:
		q.Del("state")
	case 3:
		other, _ := w.e.begin(w.people[0].session)
		f.cookies = other.cookies
	}
	f.callback.RawQuery = q.Encode()
	w.now10(f, r)
}

// now10 expects that a way in leads nowhere, and lets the count of failed
// attempts end.
func (w *seeing) now10(f flow, r *rapid.T) {
	if c, _ := w.e.finish(f); c != nil {
		r.Fatal("somebody was let in who did not ask for it")
	}
	w.e.now = w.e.now.Add(11 * time.Minute)
}

// replay uses a code a second time, from a browser that has begun a way in of
// its own.
func (w *seeing) replay(r *rapid.T) {
	w.tick()
	if w.down {
		r.Skip("the forge is away")
	}
	p := w.person(r)
	f, ok := w.e.begin(p.session)
	if !ok {
		return
	}
	c, res := w.e.finish(f)
	if c == nil {
		r.Fatalf("the first use: %s %s", res.Status, w.e.body(res))
	}
	w.now10(f, r) // the very same
	other, ok := w.e.begin(w.people[0].session)
	if ok {
		q := other.callback.Query()
		q.Set("code", f.callback.Query().Get("code"))
		other.callback.RawQuery = q.Encode()
		w.now10(other, r)
	}
	// What the code opened ended when it came twice.
	w.tick()
	if res := w.e.request("GET", "/", []*http.Cookie{c}, nil, nil); res.StatusCode == http.StatusOK {
		r.Fatal("a session whose code was used twice lasts")
	}
}

func (w *seeing) otherSite(r *rapid.T) {
	w.tick()
	s := w.some(r)
	header := rapid.SampledFrom([]map[string]string{
		{"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"}, {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors", "Origin": "http://evil.example"},
		{"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
	}).Draw(r, "header")
	if res := w.e.request("GET", "/api/v1/status", []*http.Cookie{s.cookie}, nil, header); res.StatusCode == http.StatusOK {
		r.Fatal("another site reads")
	}
	if res := w.e.request("POST", "/signout", []*http.Cookie{s.cookie}, url.Values{"form": {"guess"}}, header); res.StatusCode != http.StatusForbidden {
		r.Fatalf("another site writes: %s", res.Status)
	}
	for _, path := range []string{"/api/v1/runs", "/api/v1/promote", "/api/v1/resume", "/api/v1/accounts"} {
		if res := w.e.request("POST", path, []*http.Cookie{s.cookie}, nil, nil); res.StatusCode < 400 {
			r.Fatalf("%s over the port: %s", path, res.Status)
		}
	}
	// Refused as they were, these asked whose session it is.
	if w.lasts(s) && !w.down {
		s.seen, s.confirmed, s.permission, s.unsure = w.e.now, w.e.now, granted[s.account.role], true
	}
}

func (w *seeing) guess(r *rapid.T) {
	w.tick()
	value := rapid.SampledFrom([]string{"", "x", strings.Repeat("A", 52), strings.Repeat("A", 53), filepath.Join("..", "x")}).Draw(r, "value")
	name := "hubship_session_00000000"
	if len(w.sessions) > 0 {
		s := w.some(r)
		name = s.cookie.Name
		if rapid.Bool().Draw(r, "near") {
			value = s.cookie.Value[:51] + "="
		}
	}
	if res := w.e.request("GET", "/", []*http.Cookie{{Name: name, Value: value}}, nil, nil); res.StatusCode == http.StatusOK {
		r.Fatalf("%q opens a session", value)
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
