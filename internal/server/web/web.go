// Package web holds the pages that people look at. Everything works without
// JavaScript; with it, pages keep themselves up to date.
package web

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/hubship/hubship/internal/assets"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/server/access"
)

//go:embed templates/*.html
var templateFiles embed.FS

const (
	shownLines = 2000 // of a log on its page; the whole of it is one link away
	pageLines  = 1000 // that are read at once
	recentRuns = 8
)

// Source is what pages show.
type Source interface {
	Status(ctx context.Context) (model.Status, error)
	Runs(ctx context.Context, f model.RunFilter) ([]model.Run, error)
	Run(ctx context.Context, id string) (model.Run, error)
	Lines(ctx context.Context, id string, after int64, limit int) ([]model.Line, error)
	Plan(ctx context.Context, id string) ([]byte, error)
}

// ErrWithheld is matched by the errors of a Source for what is not for who asks.
var ErrWithheld = errors.New("you do not have permission for this")

// Viewer is who looks at a page. The zero value is somebody who has not signed
// in, or does not need to.
type Viewer struct {
	Login string
	Form  string // what the session's forms repeat
	Note  string // what has to be said on every page
}

type viewerKey struct{}

// WithViewer says to pages who looks at them.
func WithViewer(ctx context.Context, v Viewer) context.Context {
	return context.WithValue(ctx, viewerKey{}, v)
}

// Site serves the pages.
type Site struct {
	source  Source
	version string
	log     *slog.Logger
	pages   map[string]*template.Template
}

// New returns the pages.
func New(source Source, version string, log *slog.Logger) *Site {
	s := &Site{source: source, version: version, log: log, pages: map[string]*template.Template{}}
	for _, page := range []string{"dashboard", "runs", "run", "message", "signin", "signfirst"} {
		s.pages[page] = parse(template.FuncMap{"asset": func(name string) string { return assets.URL("/assets", name) }}, "layout", page)
	}
	return s
}

// Route is one of the pages, with the action that looking at it is.
type Route struct {
	Pattern string
	Action  access.Action
	Handler http.HandlerFunc
}

// Routes are all pages but those of signing in.
func (s *Site) Routes() []Route {
	return []Route{
		{"GET /{$}", access.SeeStatus, s.page(s.dashboard)},
		{"GET /runs", access.SeeStatus, s.page(s.runs)},
		{runPattern, access.SeeStatus, s.page(s.run)},
		{"GET /runs/{id}/log", access.SeeChecks, s.wholeLog}, // and more, as the kind of the run says
		{"GET /runs/{id}/plan", access.SeeChecks, s.plan},
		{"GET /assets/{name}", access.Public, assets.Serve},
		{"/", access.SeeStatus, s.NotFound},
	}
}

// runPattern is the route of a run's page.
const runPattern = "GET /runs/{id}"

// Embedded says that a request is for the page of a run as a part of another
// page, such as one of the embedded forge's: /runs/ID?embed. It comes without
// what is around it, its links lead out of the frame, and it has no form. It
// is the only page that may be embedded, and only in pages of the same origin.
func Embedded(r *http.Request) bool {
	return r.Pattern == runPattern && r.URL.Query().Has("embed")
}

// NotFound answers where there is no page.
func (s *Site) NotFound(w http.ResponseWriter, r *http.Request) {
	s.page(func(*http.Request) (view, error) {
		return view{}, fmt.Errorf("there is no such page: %w", fs.ErrNotExist)
	})(w, r)
}

// SignIn is what the door says.
type SignIn struct {
	Title string // of the forge: "GitHub"
	Start string // path that leads there
	Next  string // where to go then
	SetUp string // why nobody can sign in yet; empty when people can
}

// SignIn shows the door.
func (s *Site) SignIn(w http.ResponseWriter, r *http.Request, data SignIn) {
	s.page(func(*http.Request) (view, error) { return view{Page: "signin", Title: "Sign in", Data: data}, nil })(w, r)
}

// SignFirst shows, in place of an embedded page, where to sign in.
func (s *Site) SignFirst(w http.ResponseWriter, r *http.Request, at string) {
	s.page(func(*http.Request) (view, error) {
		return view{Page: "signfirst", Status: http.StatusUnauthorized, Title: "Sign in", Data: at}, nil
	})(w, r)
}

// Message shows a page that only says something.
func (s *Site) Message(w http.ResponseWriter, r *http.Request, status int, err error) {
	s.page(func(*http.Request) (view, error) {
		return view{Page: "message", Status: status, Title: http.StatusText(status), Data: message{Text: err.Error(), Hint: model.HintOf(err)}}, nil
	})(w, r)
}

// parse reads templates that are part of the program: an error in one is
// found by any test that opens the page.
func parse(extra template.FuncMap, names ...string) *template.Template {
	t := template.New(names[0] + ".html").Funcs(functions).Funcs(extra)
	files := make([]string, len(names))
	for i, n := range names {
		files[i] = "templates/" + n + ".html"
	}
	return template.Must(t.ParseFS(templateFiles, append(files, "templates/parts.html")...))
}

// view is what a page's template gets.
type view struct {
	Page    string // template
	Status  int    // of HTTP; 0 is 200
	Title   string
	Nav     string // entry of the navigation that it belongs to
	Version string
	Viewer  Viewer
	Door    bool // nobody has signed in: nothing of the installation is shown around the page
	Embed   bool // it is a part of another page
	Refresh int  // seconds between two looks of a browser without JavaScript; 0 is never
	Now     time.Time
	Gated   map[string]bool // environments that take only what another proved
	Forge   string          // where the pull requests are; empty when there is no forge
	Data    any
}

// page wraps a handler with headers, errors and the writing.
func (s *Site) page(h func(*http.Request) (view, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		policy, embed := "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; ", Embedded(r)
		if embed {
			header.Set("Content-Security-Policy", policy+"form-action 'none'; frame-ancestors 'self'")
			header.Set("X-Frame-Options", "SAMEORIGIN")
		} else {
			header.Set("Content-Security-Policy", policy+"form-action 'self'; frame-ancestors 'none'")
		}
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "same-origin")
		header.Set("Cross-Origin-Opener-Policy", "same-origin")
		header.Set("Cross-Origin-Resource-Policy", "same-origin")
		header.Set("Cache-Control", "no-store")
		v, err := h(r)
		status := max(v.Status, http.StatusOK)
		if err != nil {
			if r.Context().Err() != nil {
				return // nobody waits any more
			}
			status = http.StatusInternalServerError
			if errors.Is(err, fs.ErrNotExist) {
				status = http.StatusNotFound
			} else if errors.Is(err, ErrWithheld) {
				status = http.StatusForbidden
			} else {
				s.log.Error("a page failed", "path", r.URL.Path, "error", err)
			}
			v = view{Page: "message", Title: http.StatusText(status), Data: message{Text: err.Error(), Hint: model.HintOf(err)}}
		}
		v.Version, v.Now, v.Embed = s.version, time.Now(), embed
		v.Viewer, _ = r.Context().Value(viewerKey{}).(Viewer)
		v.Door = v.Viewer.Login == ""
		var body bytes.Buffer
		if err := s.pages[v.Page].Execute(&body, v); err != nil {
			s.log.Error("a page's template failed", "path", r.URL.Path, "error", err)
			http.Error(w, "hubship: this page failed; the server's log says why", http.StatusInternalServerError)
			return
		}
		header.Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(status)
		_, _ = w.Write(bytes.Map(visible, body.Bytes())) // the browser may be gone
	}
}

// message is a page that only says something.
type message struct{ Text, Hint string }

// dashboardData is what the first page shows.
type dashboardData struct {
	Status model.Status
	Recent []model.Run
	Failed string // why runs cannot be listed
}

func (s *Site) dashboard(r *http.Request) (view, error) {
	status, err := s.source.Status(r.Context())
	if err != nil {
		return view{}, err
	}
	d := dashboardData{Status: status}
	if d.Recent, err = s.source.Runs(r.Context(), model.RunFilter{Limit: recentRuns}); err != nil {
		d.Failed = err.Error()
	}
	return view{Page: "dashboard", Title: "Dashboard", Nav: "dashboard", Refresh: 5, Gated: gated(status), Forge: forgeOf(status), Data: d}, nil
}

// gated finds the environments that other environments guard.
func gated(s model.Status) map[string]bool {
	g := map[string]bool{}
	for _, e := range s.Environments {
		g[e.Name] = e.After != ""
	}
	return g
}

// forgeOf is where the pull requests are.
func forgeOf(s model.Status) string {
	if s.Forge == nil {
		return ""
	}
	return s.Forge.URL
}

// runsData is a list of runs and what it was narrowed to.
type runsData struct {
	Runs             []model.Run
	Environment, Hub string
	Environments     []string
	Hubs             []string
	More             int // limit of the next longer list; 0 when this is all
}

func (s *Site) runs(r *http.Request) (view, error) {
	q := r.URL.Query()
	limit, err := strconv.Atoi(q.Get("limit"))
	if err != nil || limit < 1 || limit > 1000 {
		limit = 50
	}
	d := runsData{Environment: q.Get("env"), Hub: q.Get("hub")}
	d.Runs, err = s.source.Runs(r.Context(), model.RunFilter{Environment: d.Environment, Hub: d.Hub, Limit: limit})
	if err != nil {
		return view{}, err
	}
	if len(d.Runs) == limit && limit < 1000 {
		d.More = min(limit*4, 1000)
	}
	v := view{Page: "runs", Title: "Runs", Nav: "runs", Refresh: 5}
	if status, err := s.source.Status(r.Context()); err == nil {
		v.Gated, v.Forge = gated(status), forgeOf(status)
		seen := map[string]bool{}
		for _, e := range status.Environments {
			d.Environments = append(d.Environments, e.Name)
			for _, rel := range e.Releases {
				if hub := rel.Observed.Target.Hub; !seen[hub] {
					seen[hub] = true
					d.Hubs = append(d.Hubs, hub)
				}
			}
		}
	}
	v.Data = d
	return v, nil
}

// runData is one run with the end of its log.
type runData struct {
	Run    model.Run
	Lines  []model.Line
	Before int64  // lines that are not shown
	After  int64  // Seq of the last line shown
	Plan   bool   // it has a page that says what it changes
	Others string // why the log is not shown: who reads may not see it
}

func (s *Site) run(r *http.Request) (view, error) {
	run, err := s.source.Run(r.Context(), r.PathValue("id"))
	if err != nil {
		return view{}, err
	}
	d := runData{Run: run}
	_, err = s.source.Plan(r.Context(), run.ID)
	d.Plan = err == nil
	err = s.eachPage(r.Context(), run.ID, func(lines []model.Line) error {
		d.Lines = append(d.Lines, lines...)
		if over := len(d.Lines) - shownLines; over > 0 {
			d.Before += int64(over)
			d.Lines = append(d.Lines[:0], d.Lines[over:]...)
		}
		return nil
	})
	if errors.Is(err, ErrWithheld) {
		d.Others = err.Error()
	} else if err != nil {
		return view{}, err
	}
	if n := len(d.Lines); n > 0 {
		d.After = d.Lines[n-1].Seq
	}
	v := view{Page: "run", Title: titleOf(run), Nav: "runs", Data: d}
	if status, err := s.source.Status(r.Context()); err == nil {
		v.Gated, v.Forge = gated(status), forgeOf(status)
	} // without it, only colours and a link are missing
	if !run.State.Final() {
		v.Refresh = 3
	}
	return v, nil
}

// plan serves what a run was about to change: a page of its own, without
// scripts and with its style inside.
func (s *Site) plan(w http.ResponseWriter, r *http.Request) {
	run, err := s.source.Run(r.Context(), r.PathValue("id"))
	var page []byte
	if err == nil {
		page, err = s.source.Plan(r.Context(), run.ID)
	}
	if err != nil {
		s.page(func(*http.Request) (view, error) {
			if errors.Is(err, ErrWithheld) {
				return view{}, err
			}
			return view{}, fmt.Errorf("the run has no plan: %w", err)
		})(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	_, _ = w.Write(page) // the browser may be gone
}

// eachPage reads a whole log, a page at a time.
func (s *Site) eachPage(ctx context.Context, id string, fn func([]model.Line) error) error {
	var after int64
	for {
		lines, err := s.source.Lines(ctx, id, after, pageLines)
		if err != nil {
			return err
		}
		if len(lines) > 0 {
			after = lines[len(lines)-1].Seq
			if err := fn(lines); err != nil {
				return err
			}
		}
		if len(lines) < pageLines {
			return nil
		}
	}
}

// wholeLog is the log as plain text.
func (s *Site) wholeLog(w http.ResponseWriter, r *http.Request) {
	run, err := s.source.Run(r.Context(), r.PathValue("id"))
	if err == nil {
		_, err = s.source.Lines(r.Context(), run.ID, 0, 1) // whether it is for who asks
	}
	if err != nil {
		status := http.StatusInternalServerError
		switch {
		case errors.Is(err, fs.ErrNotExist):
			status = http.StatusNotFound
		case errors.Is(err, ErrWithheld):
			status = http.StatusForbidden
		}
		http.Error(w, "hubship: "+err.Error(), status)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cross-Origin-Resource-Policy", "same-origin")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = fmt.Fprintf(w, "%s, run %s: %s\n", titleOf(run), run.ID, run.State)
	err = s.eachPage(r.Context(), run.ID, func(lines []model.Line) error {
		var b strings.Builder
		for _, l := range lines {
			fmt.Fprintf(&b, "%s %-5s %s%s\n", l.Time.UTC().Format("2006-01-02T15:04:05.000Z"), l.Level, scopePrefix(l.Scope), plain(l.Text))
		}
		_, err := w.Write([]byte(b.String()))
		return err
	})
	if err != nil && r.Context().Err() == nil {
		s.log.Warn("a log broke off", "run", run.ID, "error", err)
		_, _ = fmt.Fprintln(w, "… the log ends here, because the rest could not be read")
	}
}

func scopePrefix(scope string) string {
	if scope == "" {
		return ""
	}
	return "[" + scope + "] "
}
