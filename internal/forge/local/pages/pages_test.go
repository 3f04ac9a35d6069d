package pages_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/forge/local/host"
	"github.com/hubship/hubship/internal/forge/local/localtest"
	"github.com/hubship/hubship/internal/forge/local/pages"
	"github.com/hubship/hubship/internal/forge/local/store"
	"github.com/hubship/hubship/internal/git"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/server/web"
)

const password = "correct horse battery"

// hostile is what somebody may write anywhere.
const hostile = `<script>alert(1)</script><img src=x onerror=alert(1)> [x](javascript:alert(1)) "quotes' & ` + "\u202e\u2066 }"

// fixture is a forge with a repository, a maintainer and a contributor.
type fixture struct {
	*localtest.Forge
	t        *testing.T
	git      *git.Repo
	mia      store.Account
	carl     store.Account
	name     forge.Repository
	base     string
	check    *model.Run // that the pages show of every pull request
	lines    []model.Line
	reverted int // number of the pull request that was asked to be taken back
	hosted   store.Repository
}

func start(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{Forge: localtest.Start(t, nil), t: t, name: forge.Repository{Owner: "hubs", Name: "deployment"}}
	org := f.Account(store.NewAccount{Login: "hubs", Kind: store.Organization})
	f.mia = f.Account(store.NewAccount{Login: "mia", Role: store.Maintainer, Password: password})
	f.carl = f.Account(store.NewAccount{Login: "carl", Password: password})
	f.Account(store.NewAccount{Login: "robot", Role: store.Maintainer})
	var err error
	f.hosted, err = f.Host.CreateRepository(t.Context(), org, host.NewRepository{Name: "deployment", DefaultBranch: "staging"})
	f.ok(err)
	f.git, err = f.Host.Git(f.hosted)
	f.ok(err)
	f.base, err = f.git.CommitFiles(t.Context(), "staging", "", map[string][]byte{
		"README.md": []byte("# The hubs\n\n" + hostile + "\n\n- [x] done\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"), "hubs/a.yaml": []byte("a: 1\nb: 2\n"), "bin": {0, 1, 2},
	}, nil, "Begin\n\n"+hostile, git.Identity{Name: "Mia", Email: "mia@localhost"})
	f.ok(err)
	f.ok(f.git.SetBranch(t.Context(), "prod", f.base, ""))
	f.Mount("/assets/", web.Assets())
	people, err := pages.New(pages.Options{
		Host: f.Host, API: f.API, URL: f.URL + "/forge", APIURL: f.URL + "/api/v3", GitURL: f.URL + "/git", Asset: web.Asset,
		Repository: f.name, Own: "robot", RunURL: func(id string) string { return "/runs/" + id }, PlanURL: func(id string) string { return "/runs/" + id + "/plan" },
		Check: func(context.Context, int) (model.Run, bool, error) {
			if f.check == nil {
				return model.Run{}, false, nil
			}
			return *f.check, true, nil
		},
		Lines: func(_ context.Context, _ string, after int64, limit int) ([]model.Line, error) {
			i := slices.IndexFunc(f.lines, func(l model.Line) bool { return l.Seq > after })
			if i < 0 {
				return nil, nil
			}
			return f.lines[i:min(i+limit, len(f.lines))], nil
		},
		Revert: func(_ context.Context, number int, by string) (int, error) {
			if by != "mia" {
				return 0, errors.New("not in the name of who asked")
			}
			f.reverted = number
			return 1, nil
		},
		Log: slog.New(slog.DiscardHandler),
	})
	f.ok(err)
	f.Mount("/forge/", people)
	f.ok(f.Host.SetProtection(t.Context(), f.hosted, "staging", &host.Protection{Reviews: &host.RequiredReviews{Count: 1}, EnforceAdmins: true}))
	return f
}

func (f *fixture) ok(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// change puts a commit on a branch of somebody's fork, or of the repository
// itself.
func (f *fixture) change(repo store.Repository, branch string, files map[string][]byte) string {
	f.t.Helper()
	g, err := f.Host.Git(repo)
	f.ok(err)
	f.ok(g.SetBranch(f.t.Context(), branch, f.base, ""))
	head, err := g.CommitFiles(f.t.Context(), branch, f.base, files, nil, "Change a value", git.Identity{Name: "Carl", Email: "carl@localhost"})
	f.ok(err)
	return head
}

// browser is one without JavaScript.
type browser struct {
	t    *testing.T
	f    *fixture
	http *http.Client
	at   string // path of the page that is open
	doc  *html.Node
	text string
}

func (f *fixture) browser() *browser {
	jar, err := cookiejar.New(nil)
	f.ok(err)
	return &browser{t: f.t, f: f, http: &http.Client{Jar: jar}}
}

// signedIn is the browser of somebody who has signed in.
func (f *fixture) signedIn(login string) *browser {
	f.t.Helper()
	b := f.browser()
	b.open("/forge/", http.StatusOK)
	b.send("Sign in", url.Values{"login": {login}, "password": {password}}, http.StatusOK)
	if !strings.Contains(b.text, "Sign out") {
		f.t.Fatalf("%s is not signed in:\n%s", login, b.text)
	}
	return b
}

func (b *browser) read(resp *http.Response, err error, status int) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	b.text, b.at = string(raw), resp.Request.URL.RequestURI()
	if resp.StatusCode != status {
		b.t.Fatalf("%s %s: %s, expected %d\n%s", resp.Request.Method, b.at, resp.Status, status, b.text)
	}
	if b.doc, err = html.Parse(strings.NewReader(b.text)); err != nil {
		b.t.Fatal(err)
	}
	if strings.ContainsAny(b.text, "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069") {
		b.t.Errorf("%s turns the direction of writing", b.at)
	}
	csp := resp.Header.Get("Content-Security-Policy")
	if !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") || strings.Contains(csp, "unsafe") {
		b.t.Errorf("%s has the policy %q", b.at, csp)
	}
	for n := range b.doc.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		if n.Data == "script" && attr(n, "src") == "" || n.Data == "style" || n.Data == "iframe" {
			b.t.Errorf("%s has a %s of somebody's", b.at, n.Data)
		}
		for _, a := range n.Attr {
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" || strings.HasPrefix(strings.ToLower(strings.TrimSpace(a.Val)), "javascript:") {
				b.t.Errorf("%s has <%s %s=%q>", b.at, n.Data, a.Key, a.Val)
			}
		}
	}
}

func attr(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

func (b *browser) open(path string, status int) {
	b.t.Helper()
	resp, err := b.http.Get(b.f.URL + path)
	b.read(resp, err, status)
}

func textOf(n *html.Node) string {
	var s strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			s.WriteString(d.Data)
		}
	}
	return strings.TrimSpace(s.String())
}

// form finds the form that has a button.
func (b *browser) form(button string) (form, pressed *html.Node) {
	b.t.Helper()
	for n := range b.doc.Descendants() {
		if n.Type != html.ElementNode || n.Data != "form" {
			continue
		}
		for d := range n.Descendants() {
			if d.Type == html.ElementNode && d.Data == "button" && textOf(d) == button {
				return n, d
			}
		}
	}
	b.t.Fatalf("%s has no button %q:\n%s", b.at, button, b.text)
	return nil, nil
}

func (b *browser) has(button string) bool {
	return regexp.MustCompile(`<button[^>]*>` + regexp.QuoteMeta(button) + `</button>`).MatchString(b.text)
}

// send fills a form in and presses its button, as the page has it.
func (b *browser) send(button string, values url.Values, status int) {
	b.t.Helper()
	form, pressed := b.form(button)
	all := url.Values{}
	for n := range form.Descendants() {
		if n.Type != html.ElementNode || attr(n, "name") == "" {
			continue
		}
		switch n.Data {
		case "input":
			if attr(n, "type") != "checkbox" {
				all.Set(attr(n, "name"), attr(n, "value"))
			}
		case "textarea":
			all.Set(attr(n, "name"), textOf(n))
		case "select":
			for o := range n.Descendants() {
				if o.Type == html.ElementNode && o.Data == "option" && !all.Has(attr(n, "name")) {
					value := attr(o, "value")
					if value == "" {
						value = textOf(o)
					}
					all.Set(attr(n, "name"), value)
				}
			}
		}
	}
	if attr(pressed, "name") != "" {
		all.Set(attr(pressed, "name"), attr(pressed, "value"))
	}
	for k, v := range values {
		all[k] = v
	}
	to := attr(form, "action")
	if a := attr(pressed, "formaction"); a != "" {
		to = a
	}
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.f.URL+to, strings.NewReader(all.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	req.Header.Set("Referer", b.f.URL+b.at)
	resp, err := b.http.Do(req)
	b.read(resp, err, status)
}

func (b *browser) says(texts ...string) {
	b.t.Helper()
	shown := strings.Join(strings.Fields(textOf(b.doc)), " ")
	for _, text := range texts {
		if !strings.Contains(shown, text) {
			b.t.Errorf("%s does not say %q: %s", b.at, text, shown)
		}
	}
}

// The whole way, with forms alone.
func TestWalkWithoutJavaScript(t *testing.T) {
	f := start(t)
	carl := f.signedIn("carl")
	carl.says("hubs/deployment")
	carl.open("/forge/hubs/deployment", http.StatusOK)
	carl.says("The hubs", "README.md", "hubs/")
	if !strings.Contains(carl.text, f.URL+"/git/hubs/deployment.git") {
		t.Error("the page does not say what to clone")
	}
	carl.send("Fork", nil, http.StatusOK)
	carl.says("carl", "fork of", "Contribute")
	if carl.at != "/forge/carl/deployment" {
		t.Errorf("the fork is at %s", carl.at)
	}
	fork, err := f.Host.Find(t.Context(), "carl", "deployment")
	f.ok(err)
	f.change(fork, "more/memory", map[string][]byte{"hubs/a.yaml": []byte("a: 1\nb: 3\n"), "new & <odd>.txt": []byte("x\n")})

	carl.open("/forge/hubs/deployment/compare/staging...carl:more/memory", http.StatusOK)
	carl.says("1 commit", "Change a value", "hubs/a.yaml")
	carl.send("Open pull request", url.Values{"title": {"More <b>memory</b> " + hostile}, "body": {"Closes #1 and\n\n" + hostile}}, http.StatusOK)
	if carl.at != "/forge/hubs/deployment/pull/1" {
		t.Fatalf("it is at %s", carl.at)
	}
	carl.says("More <b>memory</b>", "carl wants to merge 1 commit into staging from carl:more/memory", "This cannot be merged yet", "Somebody who may write")
	if !strings.Contains(carl.text, "<option>mia</option>") || strings.Contains(carl.text, "<option>robot</option>") {
		t.Error("not the people who may be asked for a review")
	}
	if carl.has("Merge") || carl.has("Approve") {
		t.Error("a contributor sees buttons that they may not use")
	}
	if !strings.Contains(carl.text, `href="/forge/hubs/deployment/pull/1"`) {
		t.Error("#1 is no link")
	}
	carl.send("Comment", url.Values{"body": {"A comment " + hostile}}, http.StatusOK)
	carl.says("A comment")
	for _, page := range []string{"files", "commits", "checks"} {
		carl.open("/forge/hubs/deployment/pull/1/"+page, http.StatusOK)
	}
	carl.open("/forge/hubs/deployment/pull/1/files", http.StatusOK)
	carl.says("b: 2", "b: 3", "new & <odd>.txt")

	for suffix, want := range map[string]string{".diff": "+b: 3", ".patch": "Subject: [PATCH] Change a value"} {
		resp, err := carl.http.Get(f.URL + "/forge/hubs/deployment/pull/1" + suffix)
		f.ok(err)
		text, err := io.ReadAll(resp.Body)
		f.ok(err)
		resp.Body.Close()
		if !strings.Contains(string(text), want) || resp.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
			t.Errorf("%s: %s %s", suffix, resp.Header.Get("Content-Type"), text)
		}
	}

	mia := f.signedIn("mia")
	mia.open("/forge/hubs/deployment/pulls", http.StatusOK)
	mia.says("#1 by carl", "carl:more/memory → staging")
	mia.open("/forge/hubs/deployment/pull/1", http.StatusOK)
	mia.send("Ask for changes", url.Values{"body": {"Less, please."}}, http.StatusOK)
	mia.says("asks for changes", "Less, please.")
	mia.send("Merge", nil, http.StatusMethodNotAllowed)
	mia.open("/forge/hubs/deployment/pull/1", http.StatusOK)
	mia.send("Approve", nil, http.StatusOK)
	mia.says("Everything that staging asks for is there.")
	mia.send("Merge", url.Values{"method": {"squash"}}, http.StatusOK)
	mia.says("merged", "It was merged.")
	carl.open("/forge/hubs/deployment/pull/1", http.StatusOK)
	if carl.has("Revert") {
		t.Error("a contributor may take back what was merged")
	}
	mia.send("Revert", nil, http.StatusOK)
	if f.reverted != 1 {
		t.Error("nothing was taken back")
	}
	mia.open("/forge/hubs/deployment/commits", http.StatusOK)
	mia.says("Begin")
	mia.open("/forge/hubs/deployment/branches", http.StatusOK)
	mia.says("protected", "Needs 1 approval.")
	carl.open("/forge/carl/deployment", http.StatusOK)
	carl.send("Sync fork", nil, http.StatusOK)
	carl.open("/forge/hubs/deployment/blob/staging/hubs/a.yaml", http.StatusOK)
	carl.says("b: 3")
	carl.open("/forge/hubs/deployment/blob/staging/bin", http.StatusOK)
	carl.says("binary")
	carl.open("/forge/hubs/deployment/commit/"+f.base, http.StatusOK)
	for _, gone := range []string{"/forge/hubs/nothing", "/forge/nobody", "/forge/hubs/deployment/pull/99", "/forge/hubs/deployment/pull/x", "/forge/hubs/deployment/blob/staging/none",
		"/forge/hubs/deployment/blob/staging/../../etc/passwd", "/forge/hubs/deployment/commit/zzz", "/forge/hubs/deployment/tree/--output=x"} {
		resp, err := carl.http.Get(f.URL + gone)
		f.ok(err)
		resp.Body.Close()
		if resp.StatusCode < 400 || resp.StatusCode >= 500 {
			t.Errorf("%s: %s", gone, resp.Status)
		}
	}
}

// A change that changes nothing is a text without a word.
func TestEmptyDiff(t *testing.T) {
	f := start(t)
	f.change(f.hosted, "nothing", map[string][]byte{"hubs/a.yaml": []byte("a: 1\nb: 2\n")})
	mia := f.signedIn("mia")
	mia.open("/forge/hubs/deployment/compare/staging...nothing", http.StatusOK)
	mia.send("Open pull request", url.Values{"title": {"Nothing"}}, http.StatusOK)
	mia.open("/forge/hubs/deployment/pull/1.diff", http.StatusOK)
	if mia.doc == nil || strings.TrimSpace(textOf(mia.doc)) != "" {
		t.Errorf("the difference is %q", mia.text)
	}
	mia.open("/forge/hubs/deployment/pull/99.diff", http.StatusNotFound)
	mia.open("/forge/hubs/deployment/pull/x.patch", http.StatusNotFound)
}

func TestSessionsAndForms(t *testing.T) {
	f := start(t)
	b := f.browser()
	b.open("/forge/hubs/deployment/pulls?state=all", http.StatusOK)
	b.says("Sign in")
	b.send("Sign in", url.Values{"login": {"carl"}, "password": {"wrong"}}, http.StatusForbidden)
	b.send("Sign in", url.Values{"login": {"carl"}, "password": {password}}, http.StatusOK)
	if b.at != "/forge/hubs/deployment/pulls?state=all" {
		t.Errorf("after signing in it is at %s", b.at)
	}
	u, _ := url.Parse(f.URL + "/forge/")
	cookies := b.http.Jar.Cookies(u)
	if len(cookies) != 1 {
		t.Fatalf("cookies %v", cookies)
	}
	other, _ := url.Parse(f.URL + "/")
	if len(b.http.Jar.Cookies(other)) > 0 {
		t.Error("the session goes to pages that are not the forge's")
	}

	// A form without its token, with another's, or from another site.
	post := func(values url.Values, headers ...string) int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.URL+"/forge/hubs/deployment/fork", strings.NewReader(values.Encode()))
		f.ok(err)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for i := 0; i < len(headers); i += 2 {
			req.Header.Set(headers[i], headers[i+1])
		}
		resp, err := b.http.Do(req)
		f.ok(err)
		resp.Body.Close()
		return resp.StatusCode
	}
	b.open("/forge/hubs/deployment", http.StatusOK)
	form, _ := b.form("Fork")
	token := ""
	for n := range form.Descendants() {
		if attr(n, "name") == "form" {
			token = attr(n, "value")
		}
	}
	for what, got := range map[string]int{
		"no token":      post(url.Values{}),
		"wrong token":   post(url.Values{"form": {token + "x"}}),
		"another site":  post(url.Values{"form": {token}}, "Sec-Fetch-Site", "cross-site"),
		"another host":  post(url.Values{"form": {token}}, "Origin", "http://evil.example"),
		"a hub's pages": post(url.Values{"form": {token}}, "Sec-Fetch-Site", "same-site"),
	} {
		if got != http.StatusForbidden {
			t.Errorf("%s: %d", what, got)
		}
	}

	// Tokens are shown once; a new password ends the other sessions.
	second := f.signedIn("carl")
	b.open("/forge/-/settings", http.StatusOK)
	b.send("Make a token", url.Values{"name": {"git " + hostile}, "scope": {store.ScopeRepo}, "days": {"1"}}, http.StatusOK)
	secret := regexp.MustCompile(`<pre class="secret">([^<]+)</pre>`).FindStringSubmatch(b.text)
	if secret == nil {
		t.Fatalf("no token is shown:\n%s", b.text)
	}
	if who, _, err := f.Host.Store.Bearer(t.Context(), secret[1]); err != nil || who.Login != "carl" {
		t.Errorf("the token opens %q, %v", who.Login, err)
	}
	b.open("/forge/-/settings", http.StatusOK)
	if strings.Contains(b.text, secret[1]) {
		t.Error("a token is shown again")
	}
	b.send("Revoke", nil, http.StatusOK)
	if _, _, err := f.Host.Store.Bearer(t.Context(), secret[1]); err == nil {
		t.Error("a revoked token still opens")
	}
	b.send("Change it", url.Values{"old": {"wrong"}, "new": {password + "2"}, "again": {password + "2"}}, http.StatusForbidden)
	b.open("/forge/-/settings", http.StatusOK)
	b.send("Change it", url.Values{"old": {password}, "new": {password + "2"}, "again": {password + "2"}}, http.StatusOK)
	b.says("Settings of carl")
	second.open("/forge/-/settings", http.StatusOK)
	second.says("Sign in")
	b.send("Sign out", nil, http.StatusOK)
	b.open("/forge/", http.StatusOK)
	b.says("Sign in")

	// Where to go next is never another site.
	for _, next := range []string{"https://evil.example/", "//evil.example", "/\\evil.example", "/forge/../x", "javascript:alert(1)"} {
		c := f.browser()
		c.open("/forge/-/signin?next="+url.QueryEscape(next), http.StatusOK)
		c.send("Sign in", url.Values{"login": {"mia"}, "password": {password}}, http.StatusOK)
		if !strings.HasPrefix(c.at, "/forge/") {
			t.Errorf("%s leads to %s", next, c.at)
		}
	}

	// Guessing ends.
	g := f.browser()
	g.open("/forge/-/signin", http.StatusOK)
	for range 10 {
		g.send("Sign in", url.Values{"login": {"mia"}, "password": {"wrong"}}, http.StatusForbidden)
	}
	g.send("Sign in", url.Values{"login": {"mia"}, "password": {password}}, http.StatusTooManyRequests)
}

// What a check found out is on its page, with its log.
func TestChecks(t *testing.T) {
	f := start(t)
	head := f.change(f.hosted, "checked", map[string][]byte{"hubs/a.yaml": []byte("a: 2\n")})
	c := f.Client(f.mia, f.name)
	_, err := c.Open(t.Context(), forge.NewPullRequest{Title: "Checked", Head: "checked", Base: "staging"})
	f.ok(err)
	c = f.Client(f.Account(store.NewAccount{Login: localtest.Own, Role: store.Maintainer}), f.name)
	f.ok(c.SetStatus(t.Context(), head, forge.Status{State: forge.Failure, Context: "hubship/tests", Description: "lint: " + hostile, URL: "http://localhost/runs/r1"}))
	_, err = c.SetCheck(t.Context(), forge.Check{Name: "hubship", Commit: head, State: forge.CheckCompleted, Conclusion: forge.CheckFailure, Title: "Not ready", Summary: "x", Annotations: []forge.Annotation{
		{Path: "hubs/a.yaml", Start: 1, Level: forge.Problem, Title: "hubship schema", Message: "no such key " + hostile + "\nremove it"},
		{Path: "hubs/a.yaml", Start: 77, Level: forge.Warning, Title: "hubship parity", Message: "staging and prod differ"},
		{Path: "elsewhere.yaml", Start: 3, Level: forge.Notice, Title: "hubship chart", Message: "a newer one is there"},
	}})
	f.ok(err)
	b := f.signedIn("mia")
	b.open("/forge/hubs/deployment/pull/1/files", http.StatusOK)
	b.says("error hubship schema no such key", "remove it", "line 77: warning hubship parity staging and prod differ")
	if strings.Contains(b.text, "elsewhere.yaml") {
		t.Error("a file is shown that the change does not touch")
	}
	b.open("/forge/hubs/deployment/pull/1/checks", http.StatusOK)
	b.says("No check has begun yet", "hubship/tests", "hubs/a.yaml:1", "elsewhere.yaml:3 notice hubship chart a newer one is there")
	f.check = &model.Run{ID: "r1", Kind: model.CheckPull, Commit: head, State: model.FailedRun, Cause: "push to carl:x " + hostile, Reason: "tests: lint " + hostile, Created: time.Now(), Pull: &model.PullCheck{
		PullRequest: model.PullRequest{Number: 1}, Merged: head,
		Parts:  []model.Part{{Name: "policy", State: model.PartPassed, Summary: "fine"}, {Name: "tests", State: model.PartFailed, Summary: hostile, Problems: []model.Remark{{Path: "a.yaml", Line: 3, Message: hostile, Hint: hostile}}}},
		Tests:  []model.TestResult{{Name: "lint", Reason: hostile, Log: "line\x1b[31m red" + hostile}, {Name: "docs", Passed: true, Cached: true}, {Name: "more", Skipped: "not concerned"}},
		Images: []model.ImageCheck{{ID: "user", Before: 2e6, Built: model.Built{Size: 3e6, Rebuilt: true}, Smoke: &model.SmokeResult{Checks: []model.Check{{Name: "import emoji", Detail: hostile, Log: hostile}}}}, {ID: "hub", Reason: hostile}},
	}}
	for i := range 1500 {
		f.lines = append(f.lines, model.Line{Seq: int64(i + 1), Time: time.Now(), Level: model.LevelDebug, Scope: "image", Text: fmt.Sprint("line ", i, " ", hostile)})
	}
	b.open("/forge/hubs/deployment/pull/1/checks", http.StatusOK)
	b.says("fine", "import emoji", "before 2.0 MB", "now 3.0 MB", "on the same content before", "not concerned", "line 1499", "Earlier lines are in the whole log")
	if strings.Contains(b.text, "\x1b") || !strings.Contains(b.text, `data-after="1500"`) || !strings.Contains(b.text, `href="/runs/r1/plan"`) {
		t.Error("the log is not as it should be")
	}
	b.open("/forge/hubs/deployment/pull/1", http.StatusOK)
	b.says("hubship/tests", "failure")
}

// A file is changed in the browser: in the contributor's fork, on a branch of
// its own, and from there by pull request.
func TestEdit(t *testing.T) {
	f := start(t)
	carl := f.signedIn("carl")
	carl.open("/forge/hubs/deployment/edit/staging/hubs/a.yaml", http.StatusForbidden)
	carl.open("/forge/hubs/deployment", http.StatusOK)
	carl.send("Fork", nil, http.StatusOK)
	carl.open("/forge/hubs/deployment/blob/staging/hubs/a.yaml", http.StatusOK)
	if !strings.Contains(carl.text, `href="/forge/carl/deployment/edit/staging/hubs/a.yaml"`) {
		t.Fatalf("there is no way to edit:\n%s", carl.text)
	}
	at := "/forge/carl/deployment/edit/staging/hubs/a.yaml"
	carl.open(at, http.StatusOK)
	carl.send("Commit", url.Values{"text": {"a: 1\r\nb: 2\r\n"}}, http.StatusUnprocessableEntity) // as it was
	carl.open(at, http.StatusOK)
	carl.send("Commit", url.Values{"text": {"a: 1\r\nb: 4 # <b>\r\n"}, "message": {"More b " + hostile}}, http.StatusOK)
	if carl.at != "/forge/hubs/deployment/compare/staging...carl:carl-patch-1" {
		t.Fatalf("after the commit it is at %s", carl.at)
	}
	carl.says("1 commit", "b: 4 # <b>")
	carl.send("Open pull request", nil, http.StatusOK)
	if carl.at != "/forge/hubs/deployment/pull/1" {
		t.Errorf("it is at %s", carl.at)
	}
	fork, err := f.Host.Find(t.Context(), "carl", "deployment")
	f.ok(err)
	g, err := f.Host.Git(fork)
	f.ok(err)
	tree, err := g.Tree(t.Context(), "carl-patch-1")
	f.ok(err)
	if data, err := fs.ReadFile(tree.FS(), "hubs/a.yaml"); err != nil || string(data) != "a: 1\nb: 4 # <b>\n" {
		t.Errorf("the file is %q, %v", data, err)
	}
	// Once more on the same branch; and not over what somebody else wrote.
	carl.open("/forge/carl/deployment/edit/carl-patch-1/hubs/a.yaml", http.StatusOK)
	stale := carl.doc
	carl.send("Commit", url.Values{"text": {"a: 1\nb: 5\n"}, "message": {"Still more"}}, http.StatusOK)
	carl.doc, carl.at = stale, "/forge/carl/deployment/edit/carl-patch-1/hubs/a.yaml"
	carl.send("Commit", url.Values{"text": {"a: 1\nb: 6\n"}, "message": {"Over it"}}, http.StatusConflict)
	for path, status := range map[string]int{"/edit/staging/bin": 422, "/edit/staging/hubs": 422, "/edit/staging/none": 404, "/edit/nothing/hubs/a.yaml": 404} {
		carl.open("/forge/carl/deployment"+path, status)
	}
	carl.open(at, http.StatusOK)
	carl.send("Commit", url.Values{"text": {"x\n"}, "branch": {"-x y..z"}, "message": {"odd"}}, http.StatusUnprocessableEntity)

	// Nobody gets around the protection.
	mia := f.signedIn("mia")
	mia.open("/forge/hubs/deployment/edit/staging/hubs/a.yaml", http.StatusOK)
	mia.send("Commit", url.Values{"text": {"a: 9\n"}, "branch": {"staging"}, "message": {"Straight in"}}, http.StatusForbidden)
}

// A change of 500 files is shown within bounds.
func TestLargeChange(t *testing.T) {
	f := start(t)
	files := map[string][]byte{"long.txt": []byte(strings.Repeat("a line\n", 3000))}
	for i := range 620 {
		files[fmt.Sprintf("many/%03d.yaml", i)] = []byte("a: 1\n")
	}
	f.change(f.hosted, "large", files)
	c := f.Client(f.mia, f.name)
	_, err := c.Open(t.Context(), forge.NewPullRequest{Title: "Large", Head: "large", Base: "staging"})
	f.ok(err)
	b := f.signedIn("mia")
	b.open("/forge/hubs/deployment/pull/1/files", http.StatusOK)
	b.says("more file", "many/000.yaml")
	if len(b.text) > 4<<20 {
		t.Errorf("the page has %d bytes", len(b.text))
	}
}
