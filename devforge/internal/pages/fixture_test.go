package pages_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/hubship/hubship/devforge/internal/forgetest"
	"github.com/hubship/hubship/devforge/internal/host"
	"github.com/hubship/hubship/devforge/internal/pages"
	"github.com/hubship/hubship/devforge/internal/store"
	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/git"
)

const password = "correct horse battery"

// hostile is what somebody may write anywhere.
const hostile = `<script>alert(1)</script><img src=x onerror=alert(1)> [x](javascript:alert(1)) "quotes' & ` + "\u202e\u2066 }"

// fixture is a forge with a repository, a maintainer and a contributor.
type fixture struct {
	*forgetest.Forge
	t      *testing.T
	git    *git.Repo
	mia    store.Account
	carl   store.Account
	robot  store.Account // hubship's
	name   forge.Repository
	base   string
	hosted store.Repository
}

func start(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{Forge: forgetest.Start(t), t: t, name: forge.Repository{Owner: "hubs", Name: "deployment"}}
	org := f.Account(store.NewAccount{Login: "hubs", Kind: store.Organization})
	f.mia = f.Account(store.NewAccount{Login: "mia", Role: store.Maintainer, Password: password})
	f.carl = f.Account(store.NewAccount{Login: "carl", Password: password})
	f.robot = f.Account(store.NewAccount{Login: forgetest.Own, Role: store.Maintainer})
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
	people, err := pages.New(pages.Options{
		Host: f.Host, API: f.API, URL: f.URL + "/forge", APIURL: f.URL + "/api/v3", GitURL: f.URL + "/git",
		Repository: f.name.String(), Own: forgetest.Own, Runs: f.URL + "/runs/",
		Log: slog.New(slog.DiscardHandler),
	})
	f.ok(err)
	f.Mount("/forge/", people)
	f.Mount("GET /runs/{id}", http.HandlerFunc(f.run))
	f.ok(f.Host.SetProtection(t.Context(), f.hosted, "staging", &host.Protection{Reviews: &host.RequiredReviews{Count: 1}, EnforceAdmins: true}))
	return f
}

// run stands for hubship's page of a run.
func (f *fixture) run(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'self'")
	_, _ = fmt.Fprintf(w, "<!doctype html><title>Run</title><base target=_top><p>The log of %s, embedded: %v</p>", r.PathValue("id"), r.URL.Query().Has("embed"))
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
	// frames are the addresses of what the page embeds.
	frames []string
}

// frames are the addresses of hubship's pages of runs.
var frames = regexp.MustCompile(`^/runs/[a-z0-9-]+\?embed$`)

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
	if !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") || !strings.Contains(csp, "frame-src 'self'") || strings.Contains(csp, "unsafe") {
		b.t.Errorf("%s has the policy %q", b.at, csp)
	}
	b.frames = nil
	for n := range b.doc.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		if n.Data == "iframe" && frames.MatchString(attr(n, "src")) {
			b.frames = append(b.frames, attr(n, "src"))
		} else if n.Data == "script" && attr(n, "src") == "" || n.Data == "style" || n.Data == "iframe" {
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
