// Package pages serves the embedded forge to people: repositories and pull
// requests as pages that work without JavaScript, and keep themselves up to
// date with it. It does to repositories what the API does, by asking the API:
// both have one set of rules.
package pages

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
	"unicode"

	gh "github.com/google/go-github/v89/github"

	"github.com/hubship/hubship/devforge/internal/authority"
	"github.com/hubship/hubship/devforge/internal/host"
	"github.com/hubship/hubship/devforge/internal/markdown"
	"github.com/hubship/hubship/devforge/internal/rest"
	"github.com/hubship/hubship/devforge/internal/store"
	"github.com/hubship/hubship/internal/assets"
	"github.com/hubship/hubship/internal/model"
)

//go:embed templates/*.html
var templateFiles embed.FS

//go:embed assets/forge.css
var style []byte

// Options are the settings of Pages.
type Options struct {
	Host *host.Host
	API  *rest.API
	// URL is what the pages are reached at, such as
	// http://localhost:8080/forge; APIURL that of the API, GitURL that of the
	// repositories, to which OWNER/NAME.git is added. None ends in a slash.
	URL, APIURL, GitURL string
	// Secure: people come over HTTPS, whatever URL says.
	Secure bool

	// Repository is the one that hubship drives, as OWNER/NAME; empty for none.
	// What is below is about it alone.
	Repository string
	// Own is the login of hubship's account, which nobody can ask for a review.
	Own string
	// Runs is what the addresses of hubship's pages of runs begin with, such as
	// http://localhost:8080/runs/, under the name that people know these pages
	// by: the pages of checks embed them. Empty for none.
	Runs string

	// TrustedProxies are the reverse proxies whose X-Forwarded-For is believed:
	// limits of wrong passwords are by the client's address.
	TrustedProxies []netip.Prefix

	Log *slog.Logger // nil for slog.Default
}

// pages serves them.
type pages struct {
	o         Options
	base      *url.URL
	templates map[string]*template.Template
	mux       *http.ServeMux
	guarded   http.Handler
	// patterns are the routes; unruled those that have no rule.
	patterns, unruled []string
}

// New returns the handler of all pages. Paths that it serves begin with that of
// the URL.
func New(o Options) (http.Handler, error) {
	if o.Host == nil || o.API == nil {
		return nil, errors.New("pages of the embedded forge: a host and an API are required")
	}
	base, err := url.Parse(o.URL)
	if err != nil || base.Host == "" || strings.HasSuffix(o.URL, "/") {
		return nil, fmt.Errorf("pages of the embedded forge: %q must be a URL without a trailing slash", o.URL)
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	p := &pages{o: o, base: base, templates: map[string]*template.Template{}, mux: http.NewServeMux()}
	for _, name := range []string{"signin", "repositories", "repository", "file", "edit", "commits", "commit", "branches", "compare", "pulls", "pull", "settings", "message"} {
		t := template.New("layout.html").Funcs(p.functions())
		if p.templates[name], err = t.ParseFS(templateFiles, "templates/layout.html", "templates/parts.html", "templates/"+name+".html"); err != nil {
			return nil, fmt.Errorf("pages of the embedded forge: %w", err)
		}
	}
	p.routes()
	if len(p.unruled) > 0 {
		return nil, fmt.Errorf("pages of the embedded forge: no rule says who may %s", strings.Join(p.unruled, ", "))
	}
	// A form of another site is refused by what browsers say of themselves,
	// before its token is looked at.
	cross := http.NewCrossOriginProtection()
	cross.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.show(w, r, nil, view{}, refuse(http.StatusForbidden, "This form was sent from another site.", "open the page here and submit it again"))
	}))
	p.guarded = cross.Handler(p.mux)
	return p, nil
}

// ServeHTTP serves a page.
func (p *pages) ServeHTTP(w http.ResponseWriter, r *http.Request) { p.guarded.ServeHTTP(w, r) }

func (p *pages) routes() {
	at := func(pattern string) string {
		method, path, _ := strings.Cut(pattern, " ")
		return method + " " + p.base.Path + path
	}
	serve := func(pattern string, fn http.HandlerFunc) {
		if _, ok := authority.Pages[pattern]; !ok {
			p.unruled = append(p.unruled, pattern)
		}
		p.patterns = append(p.patterns, pattern)
		p.mux.HandleFunc(at(pattern), fn)
	}
	serve("GET /-/style.css", p.style)
	for _, name := range assets.Names() {
		serve("GET /-/assets/"+name, assets.Serve)
	}
	serve("GET /-/signin", p.signInPage)
	serve("POST /-/signin", p.signIn)
	for pattern, fn := range map[string]func(*visit) (view, error){
		"GET /{$}":                                  (*visit).repositories,
		"GET /-/settings":                           (*visit).settings,
		"POST /-/signout":                           (*visit).signOut,
		"POST /-/settings/password":                 (*visit).changePassword,
		"POST /-/settings/tokens":                   (*visit).createToken,
		"POST /-/settings/tokens/{id}/revoke":       (*visit).revokeToken,
		"GET /{owner}":                              (*visit).repositories,
		"GET /{owner}/{repo}":                       (*visit).repository,
		"GET /{owner}/{repo}/tree/{path...}":        (*visit).tree,
		"GET /{owner}/{repo}/blob/{path...}":        (*visit).tree,
		"GET /{owner}/{repo}/edit/{path...}":        (*visit).edit,
		"POST /{owner}/{repo}/edit/{path...}":       (*visit).save,
		"GET /{owner}/{repo}/commits/{path...}":     (*visit).commits,
		"GET /{owner}/{repo}/commits":               (*visit).commits,
		"GET /{owner}/{repo}/commit/{sha}":          (*visit).commit,
		"GET /{owner}/{repo}/branches":              (*visit).branches,
		"GET /{owner}/{repo}/compare":               (*visit).compare,
		"GET /{owner}/{repo}/compare/{spec...}":     (*visit).compare,
		"POST /{owner}/{repo}/fork":                 (*visit).fork,
		"POST /{owner}/{repo}/sync":                 (*visit).sync,
		"GET /{owner}/{repo}/pulls":                 (*visit).pulls,
		"POST /{owner}/{repo}/pulls":                (*visit).openPull,
		"GET /{owner}/{repo}/pull/{number}":         (*visit).pull,
		"GET /{owner}/{repo}/pull/{number}/commits": (*visit).pullCommits,
		"GET /{owner}/{repo}/pull/{number}/files":   (*visit).pullFiles,
		"GET /{owner}/{repo}/pull/{number}/checks":  (*visit).pullChecks,
		"POST /{owner}/{repo}/pull/{number}/{what}": (*visit).act,
	} {
		serve(pattern, p.page(authority.Pages[pattern], fn))
	}
	p.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		p.show(w, r, nil, view{}, refuse(http.StatusNotFound, "This page does not exist.", ""))
	})
}

// visit is one request of somebody who has signed in.
type visit struct {
	*pages
	w       http.ResponseWriter
	r       *http.Request
	ctx     context.Context
	who     store.Account
	session store.Session
	api     *gh.Client

	// Of a path below /{owner}/{repo}.
	owner, name string
	repo        store.Repository
	writes      bool // the visitor may push and merge
}

// view is a page: its template and what that shows.
type view struct {
	Page    string // empty where Text is shown instead
	Title   string
	Tab     string // of a repository or a pull request
	Refresh int    // seconds between two looks; 0 is never
	Goto    string // where to go instead, after something was done
	Status  int    // of HTTP; 0 is 200
	Text    string
	Data    any
}

// shown is what a template gets.
type shown struct {
	view
	Login  string // empty when nobody has signed in
	Form   string // of the session
	Now    time.Time
	Root   string // path of the pages
	Owner  string
	Name   string
	Parent string // OWNER/NAME of what this is a fork of
	Repo   string // path of the repository's page
	Writes bool
	Drives bool   // hubship drives this repository
	Driven string // path of the page of the one that hubship drives
}

// page wraps what answers a request: who is it, may they, and which repository.
func (p *pages) page(rule authority.Rule, fn func(*visit) (view, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v := &visit{pages: p, w: w, r: r, ctx: r.Context()}
		out, err := v.begin()
		if err == nil && out.Goto == "" {
			err = v.ask(rule)
		}
		if err == nil && out.Goto == "" {
			out, err = fn(v)
		}
		p.show(w, r, v, out, err)
	}
}

// maxForm bounds what a form may send, in bytes.
const maxForm = 1 << 20

func (v *visit) begin() (view, error) {
	err := error(store.ErrDenied)
	if secret := secretOf(v.r, v.o.Secure); secret != "" {
		v.who, v.session, err = v.o.Host.Store.Session(v.ctx, secret)
	}
	if err != nil {
		if !errors.Is(err, store.ErrDenied) {
			return view{}, err
		}
		v.who = store.Account{}
		if v.r.Method != http.MethodGet {
			return view{}, refuse(http.StatusForbidden, "You have been signed out.", "sign in and try again")
		}
		return view{Goto: v.base.Path + "/-/signin?next=" + url.QueryEscape(v.r.URL.RequestURI())}, nil
	}
	if v.r.Method == http.MethodPost {
		v.r.Body = http.MaxBytesReader(v.w, v.r.Body, maxForm)
		if err := v.r.ParseForm(); err != nil {
			return view{}, refuse(http.StatusRequestEntityTooLarge, "The form is too large or malformed.", "")
		}
		if !same(v.r.PostForm.Get("form"), v.session.Form) {
			return view{}, refuse(http.StatusForbidden, "This form is out of date.", "reload the page and submit it again")
		}
	}
	at := v.o.APIURL + "/"
	if v.api, err = gh.NewClient(gh.WithTransport(v.o.API.As(v.who)), gh.WithURLs(&at, &at), gh.WithUserAgent("hubship")); err != nil {
		return view{}, fmt.Errorf("ask the forge: %w", err)
	}
	if v.r.PathValue("repo") == "" {
		return view{}, nil
	}
	v.owner, v.name = v.r.PathValue("owner"), v.r.PathValue("repo")
	if v.repo, err = v.o.Host.Find(v.ctx, v.owner, v.name); err != nil {
		return view{}, err
	}
	role, err := v.o.Host.Role(v.who, v.repo)
	v.writes = host.Writes(role)
	return view{}, err
}

// ask asks the page's rule.
func (v *visit) ask(rule authority.Rule) error {
	a := authority.Asker{Role: authority.Contributor, Own: v.o.Host.IsOwn(v.who), Fork: v.repo.Parent != nil}
	if v.repo.ID != 0 {
		var err error
		if a.Role, err = v.o.Host.Role(v.who, v.repo); err != nil {
			return err
		}
	}
	if why := rule.Refuses(a); why != "" {
		return refuse(http.StatusForbidden, why, "")
	}
	return nil
}

// path is the path of the repository's page.
func (v *visit) path(more ...string) string {
	return strings.Join(append([]string{v.base.Path, v.owner, v.name}, more...), "/")
}

// markdown renders what somebody wrote about the repository.
func (v *visit) markdown(text string) template.HTML {
	return markdown.HTML(v.path(), v.path("blob", escaped(v.repo.DefaultBranch)), text)
}

// drives says that hubship drives the repository.
func (v *visit) drives() bool {
	return strings.EqualFold(v.owner+"/"+v.name, v.o.Repository)
}

// refusal is an error whose text is for the person who asked.
type refusal struct {
	status     int
	text, hint string
}

func (e *refusal) Error() string { return e.text }

func refuse(status int, text, hint string) error { return &refusal{status, text, hint} }

// message is a page that only says something.
type message struct{ Text, Hint, Back string }

// show writes a page, or leads to another one.
func (p *pages) show(w http.ResponseWriter, r *http.Request, v *visit, out view, err error) {
	if r.Context().Err() != nil {
		return // nobody waits any more
	}
	header := w.Header()
	policy := "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
	if p.o.Runs != "" {
		policy += "; frame-src 'self'"
	}
	header.Set("Content-Security-Policy", policy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "same-origin")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("Cache-Control", "no-store")
	if err == nil && out.Goto != "" {
		http.Redirect(w, r, out.Goto, http.StatusSeeOther)
		return
	}
	if err == nil && out.Page == "" {
		header.Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, out.Text) // the browser may be gone
		return
	}
	status := max(out.Status, http.StatusOK)
	if err != nil {
		var text, hint string
		status, text, hint = p.explain(r, err)
		out = view{Page: "message", Title: http.StatusText(status), Data: message{text, hint, back(r)}}
	}
	s := shown{view: out, Now: time.Now(), Root: p.base.Path}
	if p.o.Repository != "" {
		s.Driven = p.base.Path + "/" + p.o.Repository + "/pulls"
	}
	if v != nil {
		s.Login, s.Form, s.Owner, s.Name, s.Writes = v.who.Login, v.session.Form, v.owner, v.name, v.writes
		if v.repo.ID != 0 {
			s.Repo, s.Drives = v.path(), v.drives()
			if v.repo.Parent != nil {
				s.Parent = p.fullName(r.Context(), *v.repo.Parent)
			}
		}
	}
	var body bytes.Buffer
	if err := p.templates[out.Page].Execute(&body, s); err != nil {
		p.o.Log.Error("a page's template failed", "path", r.URL.Path, "error", err)
		http.Error(w, "hubship: this page failed; the forge's log says why", http.StatusInternalServerError)
		return
	}
	page := body.Bytes()
	if out.Page != "edit" { // which sends a file's text back as it is
		page = bytes.Map(visible, page)
	}
	header.Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(page) // the browser may be gone
}

// visible shows a dot for what turns the direction of writing: with it a line of
// a change reads as another one than it is. See https://trojansource.codes
func visible(r rune) rune {
	if unicode.Is(unicode.Bidi_Control, r) {
		return '·'
	}
	return r
}

// explain turns an error into what a person is told.
func (p *pages) explain(r *http.Request, err error) (status int, text, hint string) {
	var refused *refusal
	var answered *gh.ErrorResponse
	switch {
	case errors.As(err, &refused):
		return refused.status, refused.text, refused.hint
	case errors.As(err, &answered) && answered.Response != nil:
		text = answered.Message
		for _, e := range answered.Errors {
			if e.Message != "" {
				text += " " + e.Message
			}
		}
		return answered.Response.StatusCode, text, ""
	case errors.Is(err, store.ErrNotFound):
		return http.StatusNotFound, "This does not exist, or no longer exists.", ""
	case errors.Is(err, host.ErrForbidden):
		return http.StatusForbidden, err.Error(), model.HintOf(err)
	case errors.Is(err, host.ErrInvalid), errors.Is(err, host.ErrConflict), errors.Is(err, host.ErrNotMergeable), model.ExitCodeOf(err) == model.ExitUsage:
		return http.StatusConflict, err.Error(), model.HintOf(err)
	}
	p.o.Log.Error("a page of the forge failed", "path", r.URL.Path, "error", err)
	return http.StatusInternalServerError, err.Error(), model.HintOf(err)
}

// back is where somebody came from, if it was from here.
func back(r *http.Request) string {
	u, err := url.Parse(r.Referer())
	if err != nil || u.Host != r.Host || r.Method == http.MethodGet {
		return ""
	}
	return u.RequestURI()
}

func (p *pages) style(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-cache")
	_, _ = w.Write(style)
}

// fullName is a repository's name with that of its owner.
func (p *pages) fullName(ctx context.Context, id int64) string {
	r, err := p.o.Host.Store.Repository(ctx, id)
	if err != nil {
		return ""
	}
	owner, err := p.o.Host.Store.Account(ctx, r.Owner)
	if err != nil {
		return ""
	}
	return owner.Login + "/" + r.Name
}
