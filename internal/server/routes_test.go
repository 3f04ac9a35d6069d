package server

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/server/access"
	"github.com/hubship/hubship/internal/server/signin"
)

// told is a service that has one run of each kind, and secrets in them.
type told struct{ Service }

const (
	inLog   = "the-last-lines-of-a-pod"
	inPlan  = "what-a-deploy-changes"
	hubName = "datahub"
)

func (told) Status(context.Context) (model.Status, error) {
	run := deployRun
	return model.Status{Environments: []model.EnvironmentStatus{{Name: "staging", Active: &run, Releases: []model.ReleaseStatus{{
		Observed: model.Observed{Target: model.Target{Hub: hubName}},
		Evidence: &model.Evidence{Verified: model.Verification{Passed: true, Checks: []model.Check{{Name: "kernel starts", Log: inLog}}}}}}}}}, nil
}

var deployRun = model.Run{ID: "deploy", Kind: model.Deploy, Environment: "staging", State: model.Done, Hubs: []string{hubName}, Releases: []model.ReleaseResult{{
	Log: inLog, Verification: &model.Verification{Checks: []model.Check{{Name: "kernel starts", Log: inLog}}}}}}

var runsOf = map[string]model.Run{"deploy": deployRun, "check": {ID: "check", Kind: model.CheckPull, State: model.Done, Pull: &model.PullCheck{Tests: []model.TestResult{{Name: "t", Log: "of-a-test"}}}}}

func (told) Runs(context.Context, model.RunFilter) ([]model.Run, error) {
	return []model.Run{runsOf["deploy"], runsOf["check"]}, nil
}

func (told) Run(_ context.Context, id string) (model.Run, error) {
	r, ok := runsOf[id]
	if !ok {
		return r, fmt.Errorf("run %s: %w", id, os.ErrNotExist)
	}
	return r, nil
}

func (told) Lines(_ context.Context, id string, after int64, _ int) ([]model.Line, error) {
	if after > 0 {
		return nil, nil
	}
	return []model.Line{{Seq: 1, Text: map[string]string{"deploy": inLog, "check": "of-a-check"}[id]}}, nil
}

func (told) Plan(_ context.Context, id string) ([]byte, error) {
	return []byte(map[string]string{"deploy": inPlan, "check": "plan-of-a-check"}[id]), nil
}

func (told) Evidence(context.Context, string, string) ([]model.EvidenceRecord, error) {
	return nil, nil
}

func (told) Hosts(context.Context) (map[string]Route, error) { return nil, nil }

func foreign(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "foreign") }

// ask sends a request to the server as if over the HTTP port, in the name of
// somebody whom the guard finds.
func ask(s *Server, who access.Who, method, path string, change func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://localhost:8080"+path, strings.NewReader("{}"))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(FormHeader, "form")
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	s.find = func(*http.Request) (signin.Session, error) {
		if !who.SignedIn {
			return signin.Session{}, signin.ErrNone
		}
		return signin.Session{Person: forge.Person{ID: 1, Login: "ada"}, Permission: who.Permission, Age: who.Age, Form: "form"}, nil
	}
	s.Handler().ServeHTTP(w, r)
	return w
}

// Every route, for every permission and for nobody: what happens is what the
// table says, and every route is in it.
func TestEveryRouteForEverybody(t *testing.T) {
	s, err := New(Options{Service: told{}, Addr: "127.0.0.1:0", Forge: http.HandlerFunc(foreign), Hooks: http.HandlerFunc(foreign), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if len(s.registered) < 25 {
		t.Fatalf("only %d routes are registered", len(s.registered))
	}
	everyone := map[string]access.Who{"nobody": {}}
	for _, p := range []forge.Permission{forge.None, forge.Read, forge.Triage, forge.Write, forge.Maintain, forge.Admin} {
		everyone[string(p)] = access.Who{SignedIn: true, Permission: p}
		everyone[string(p)+", asked long ago"] = access.Who{SignedIn: true, Permission: p, Age: access.Patience + 1}
	}
	for _, route := range s.registered {
		row, ok := access.Find(route.action)
		if !ok {
			t.Errorf("%s is %q, which the table does not have", route.pattern, route.action)
			continue
		}
		method, path, ok := strings.Cut(route.pattern, " ")
		if !ok {
			method, path = http.MethodGet, route.pattern
		}
		path = strings.NewReplacer("{$}", "", "{id}", "check", "{login}", "carl", "{number}", "7", "{name}", "style.css").Replace(path)
		for name, who := range everyone {
			w := ask(s, who, method, path, nil)
			allowed := w.Code != http.StatusUnauthorized && w.Code != http.StatusForbidden && !(w.Code == http.StatusServiceUnavailable && row.Least != "")
			if path == "/" && method == http.MethodGet && route.action == access.Foreign {
				continue // the catch-all, which asks the guard itself: "GET /{$}" is walked as well
			}
			if want := access.Decide(who, route.action) == access.Allowed; allowed != want {
				t.Errorf("%s %s as %s: %d, allowed is to be %v\n%.200s", method, path, name, w.Code, want, w.Body)
			}
			if allowed && !row.Everybody && !who.Permission.Includes(row.Least) {
				t.Errorf("%s %s is open to %s", method, path, name)
			}
			if !allowed && strings.Contains(w.Body.String(), hubName) {
				t.Errorf("%s %s tells %s of the installation:\n%s", method, path, name, w.Body)
			}
			for _, header := range []string{"X-Content-Type-Options", "X-Frame-Options", "Referrer-Policy", "Content-Security-Policy", "Cross-Origin-Resource-Policy"} {
				if route.action != access.Foreign && w.Header().Get(header) == "" {
					t.Errorf("%s %s as %s has no %s", method, path, name, header)
				}
			}
		}
	}
	// What has no route is behind the guard as well.
	for _, path := range []string{"/nothing", "/runs/check/nothing", "/api/v1/nothing", "/api/v2/x"} {
		if w := ask(s, access.Who{}, http.MethodGet, path, nil); w.Code != http.StatusUnauthorized {
			t.Errorf("%s for nobody: %d", path, w.Code)
		}
	}
	if w := ask(s, access.Who{}, http.MethodGet, "/api/v1/status", nil); strings.Contains(w.Body.String(), hubName) {
		t.Error("nobody is told of a hub")
	}
}

// What only some may see is in no answer to the others, whatever is asked for.
func TestLogsOfDeploysAreForWriters(t *testing.T) {
	s, err := New(Options{Service: told{}, Addr: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	paths := []string{"/", "/runs", "/runs/deploy", "/runs/deploy/log", "/runs/deploy/plan", "/api/v1/status", "/api/v1/runs", "/api/v1/runs/deploy", "/api/v1/runs/deploy/lines"}
	for _, p := range []forge.Permission{forge.Read, forge.Triage, forge.Write, forge.Maintain, forge.Admin} {
		who, seen := access.Who{SignedIn: true, Permission: p}, 0
		for _, path := range paths {
			body := ask(s, who, http.MethodGet, path, nil).Body.String()
			if strings.Contains(body, inLog) || strings.Contains(body, inPlan) {
				seen++
				if !p.Includes(forge.Write) {
					t.Errorf("%s shows the log or plan of a deploy to %s:\n%s", path, p, body)
				}
			}
		}
		if p.Includes(forge.Write) && seen < 4 {
			t.Errorf("%s sees logs in %d places only", p, seen)
		}
		for path, want := range map[string]string{"/runs/check/log": "of-a-check", "/runs/check/plan": "plan-of-a-check", "/api/v1/runs/check/lines": "of-a-check", "/api/v1/runs/check": "of-a-test"} {
			if body := ask(s, who, http.MethodGet, path, nil).Body.String(); !strings.Contains(body, want) {
				t.Errorf("%s does not show %q to %s:\n%s", path, want, p, body)
			}
		}
	}
	// What is withheld is withheld from a copy: the service's own stays whole.
	if deployRun.Releases[0].Log != inLog || deployRun.Releases[0].Verification.Checks[0].Log != inLog {
		t.Error("the run itself was changed")
	}
}

// A request that another site makes a browser send is refused, whoever's cookie
// it carries.
func TestOtherSites(t *testing.T) {
	s, err := New(Options{Service: told{}, Addr: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	admin := access.Who{SignedIn: true, Permission: forge.Admin}
	for name, c := range map[string]struct {
		method, path string
		header       http.Header
		want         int
	}{
		"a script on another site":       {"GET", "/api/v1/status", http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"cors"}}, 403},
		"a script on a hub":              {"GET", "/api/v1/runs/check/lines", http.Header{"Sec-Fetch-Site": {"same-site"}, "Sec-Fetch-Mode": {"no-cors"}, "Sec-Fetch-Dest": {"script"}}, 403},
		"a frame on a hub":               {"GET", "/", http.Header{"Sec-Fetch-Site": {"same-site"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"iframe"}}, 403},
		"a link on a hub":                {"GET", "/", http.Header{"Sec-Fetch-Site": {"same-site"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}}, 200},
		"a form on a hub":                {"POST", "/signout", http.Header{"Sec-Fetch-Site": {"same-site"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}}, 403},
		"a form of an old browser":       {"POST", "/signout", http.Header{"Origin": {"http://datahub.localhost:8080"}}, 403},
		"another port":                   {"POST", "/signout", http.Header{"Origin": {"http://localhost:9999"}}, 403},
		"a form without its token":       {"POST", "/signout", http.Header{"Sec-Fetch-Site": {"same-origin"}}, 403},
		"the API without a form's token": {"POST", "/api/v1/runs", http.Header{"Sec-Fetch-Site": {"same-origin"}}, 403},
	} {
		w := ask(s, admin, c.method, c.path, func(r *http.Request) {
			r.Header.Del(FormHeader)
			for k, v := range c.header {
				r.Header[k] = v
			}
		})
		if w.Code != c.want {
			t.Errorf("%s: %d, want %d\n%.200s", name, w.Code, c.want, w.Body)
		}
	}
}

// The page of a run may be embedded in pages of the same origin, with the rights
// of who looks at it, and no other page may.
func TestEmbeddedRun(t *testing.T) {
	s, err := New(Options{Service: told{}, Addr: "127.0.0.1:0", Forge: http.HandlerFunc(foreign), PublicURL: "https://ship.example.org", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	page := func(from string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set("Accept", "text/html")
			r.Header.Set("Referer", from)
			r.Header.Set("Sec-Fetch-Site", "same-origin")
			r.Header.Set("Sec-Fetch-Mode", "navigate")
			r.Header.Set("Sec-Fetch-Dest", "iframe")
		}
	}
	framed := func(w *httptest.ResponseRecorder) bool {
		return strings.Contains(w.Header().Get("Content-Security-Policy"), "frame-ancestors 'self'") || w.Header().Get("X-Frame-Options") != "DENY"
	}
	const checks = "http://localhost:8080/forge/hubs/deployment/pull/1/checks"
	reader := access.Who{SignedIn: true, Permission: forge.Read}
	for path, want := range map[string]string{"/runs/check?embed": "of-a-check", "/runs/deploy?embed": "you need the permission write", "/runs/nothing?embed": "run nothing"} {
		w := ask(s, reader, http.MethodGet, path, page(checks))
		if body := w.Body.String(); !framed(w) || !strings.Contains(body, want) || strings.Contains(body, inLog) || strings.Contains(body, "<form") || strings.Contains(body, "<nav") || !strings.Contains(body, `<base target="_top">`) {
			t.Errorf("%s: %d %v\n%s", path, w.Code, w.Header(), body)
		}
	}
	for _, path := range []string{"/", "/?embed", "/runs", "/runs?embed", "/runs/check", "/runs/check/plan?embed", "/runs/check/log?embed", "/signin?embed", "/nothing?embed", "/assets/app.js?embed"} {
		for name, who := range map[string]access.Who{"nobody": {}, "a reader": reader} {
			if w := ask(s, who, http.MethodGet, path, page(checks)); framed(w) {
				t.Errorf("%s for %s may be embedded: %d %v", path, name, w.Code, w.Header())
			}
		}
	}
	// Who has not signed in comes back to where they were.
	for from, next := range map[string]string{
		checks: "/forge/hubs/deployment/pull/1/checks",
		"https://ship.example.org/forge/hubs/deployment/pull/1/checks?x=y": "/forge/hubs/deployment/pull/1/checks?x=y",
		"": "/runs/check", "http://localhost:8080/runs/check?embed": "/runs/check", "http://evil.example/forge/": "/runs/check", "http://localhost:8080//evil.example/": "/",
	} {
		w := ask(s, access.Who{}, http.MethodGet, "/runs/check?embed", page(from))
		link := `href="/signin/start?` + strings.ReplaceAll(url.Values{"next": {next}}.Encode(), "&", "&amp;") + `"`
		if body := w.Body.String(); w.Code != http.StatusUnauthorized || !framed(w) || !strings.Contains(body, "Sign in to hubship to see the log") || !strings.Contains(body, link) || strings.Contains(body, "of-a-check") {
			t.Errorf("from %q: %d, want %s\n%s", from, w.Code, link, body)
		}
	}
	// A frame on a hub gets nothing, and may show nothing.
	w := ask(s, reader, http.MethodGet, "/runs/check?embed", func(r *http.Request) { page("")(r); r.Header.Set("Sec-Fetch-Site", "same-site") })
	if w.Code != http.StatusForbidden || strings.Contains(w.Body.String(), "of-a-check") {
		t.Errorf("a frame on a hub: %d\n%s", w.Code, w.Body)
	}
}

// There is one way to add a route, and it asks for an action.
func TestRoutesAreAddedInOneWay(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	handles := regexp.MustCompile(`\.Handle(Func)?\(`)
	found := 0
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		src, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		found += len(handles.FindAll(src, -1))
	}
	if found != 1 {
		t.Errorf("routes are registered in %d places, want the one in add", found)
	}
}
