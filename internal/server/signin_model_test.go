package server_test

import (
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/server/access"
	"github.com/hubship/hubship/internal/server/signin"
)

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
	login    string
	atForge  *http.Client // signed in there, once that is needed
	first    string       // role at the beginning of each sequence
	role     string
	disabled bool
	ended    bool // the session at the forge
	epoch    int
}

var granted = map[string]forge.Permission{model.RoleContributor: forge.Read, model.RoleReviewer: forge.Write, model.RoleMaintainer: forge.Admin}

// Random sequences of what people, operators, attackers and time do. A model of
// its own says who may see what; nobody ever sees more.
func TestNobodySeesMore(t *testing.T) {
	e := newEntry(t)
	// They are the same people in all sequences: passwords cost time.
	var people []*person
	for _, role := range model.AccountRoles {
		login, at := e.account(role)
		people = append(people, &person{login: login, atForge: at, first: role, role: role})
	}
	rapid.Check(t, func(r *rapid.T) {
		w := &seeing{e: e, r: r, people: people}
		e.forge.SetDown(false)
		for _, p := range people {
			w.sets(p, p.first)
			if p.disabled {
				w.locks(p, false)
			}
		}
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
	f, ok := w.begin(p)
	if ok && p.disabled {
		r.Fatalf("%s is locked out and gets a code", p.login)
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
		r.Fatalf("%s is not let in: %s %s", p.login, res.Status, w.e.body(res))
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
		r.Fatalf("%s as %s (%s, disabled %v): seen, and must not be: %+v", path, s.account.login, s.account.role, s.account.disabled, s)
	}
	sure := !s.unsure && w.e.now.Sub(s.seen) < signin.Idle-2*time.Minute
	if !got && lasts && sure && !w.down && w.permission(s).Includes(least) {
		r.Fatalf("%s as %s (%s): %s %s", path, s.account.login, s.account.role, res.Status, w.e.body(res))
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
	w.sets(w.person(r), rapid.SampledFrom(model.AccountRoles).Draw(r, "role"))
}

func (w *seeing) sets(p *person, role string) {
	_, err := w.e.forge.Admin.SetAccountRole(w.e.t.Context(), p.login, role)
	w.must(err)
	p.role = role
}

func (w *seeing) disable(r *rapid.T) {
	w.tick()
	p := w.person(r)
	w.locks(p, !p.disabled)
	w.doubt(p)
}

// locks locks somebody out, or lets them in again.
func (w *seeing) locks(p *person, out bool) {
	_, err := w.e.forge.Admin.SetAccountDisabled(w.e.t.Context(), p.login, out)
	w.must(err)
	p.disabled, p.ended = out, p.ended || out
}

// begin is the way in of somebody, who has signed in to the forge anew if a
// session there ended and they can.
func (w *seeing) begin(p *person) (flow, bool) {
	if p.ended && !p.disabled {
		p.atForge, p.ended = w.e.forge.SignIn(p.login, password), false
	}
	return w.e.begin(p.atForge)
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
	w.must(w.e.forge.Admin.SetAccountPassword(w.e.t.Context(), p.login, password))
	p.epoch++
	p.ended = true
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
	f, ok := w.begin(w.person(r))
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
		other, _ := w.begin(w.people[0])
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
	f, ok := w.begin(p)
	if !ok {
		return
	}
	c, res := w.e.finish(f)
	if c == nil {
		r.Fatalf("the first use: %s %s", res.Status, w.e.body(res))
	}
	w.now10(f, r) // the very same
	other, ok := w.begin(w.people[0])
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
