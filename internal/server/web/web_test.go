package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/hubship/hubship/internal/model"
)

// source is a fixed installation.
type source struct {
	status model.Status
	runs   []model.Run
	lines  []model.Line
	err    error
	asked  model.RunFilter

	planned string // the run that has a plan
}

func (s *source) Status(context.Context) (model.Status, error) { return s.status, s.err }

func (s *source) Runs(_ context.Context, f model.RunFilter) ([]model.Run, error) {
	s.asked = f
	return s.runs, s.err
}

func (s *source) Run(_ context.Context, id string) (model.Run, error) {
	for _, r := range s.runs {
		if r.ID == id {
			return r, nil
		}
	}
	return model.Run{}, fmt.Errorf("run %q does not exist: %w", id, fs.ErrNotExist)
}

func (s *source) Plan(_ context.Context, id string) ([]byte, error) {
	if id != s.planned {
		return nil, fs.ErrNotExist
	}
	return []byte("<!doctype html><title>Plan</title><p>the hub restarts"), nil
}

func (s *source) Lines(_ context.Context, _ string, after int64, limit int) ([]model.Line, error) {
	var out []model.Line
	for _, l := range s.lines {
		if l.Seq > after && len(out) < limit {
			out = append(out, l)
		}
	}
	return out, nil
}

const nasty = `<script>alert("x")</script>`

func installation() *source {
	at := time.Now().Add(-10 * time.Minute)
	target := func(env string) model.Target {
		return model.Target{Hub: "datahub", Environment: env, Cluster: "local", Namespace: "datahub-" + env, Release: "datahub-" + env}
	}
	proof := &model.Verification{Passed: true, Finished: at, Checks: []model.Check{{Name: "import emoji", Passed: true, Detail: "2.15.0"}}}
	run := model.Run{ID: "r1", Kind: model.Deploy, Environment: "staging", Hubs: []string{"datahub"}, Commit: "3f2a91c07be4d1a6c1f0c9b1e2d3f4a5b6c7d8e9", Subject: "Add " + nasty, Cause: "push by " + nasty + "\u202e",
		State: model.FailedRun, Reason: "broken: " + nasty, Created: at, Started: at, Finished: at.Add(90 * time.Second),
		Durations: model.Durations{Plan: time.Second, Build: 59 * time.Second, Deploy: 20 * time.Second, Verify: 10 * time.Second},
		Images:    []model.Built{{ID: "datahub/user", Tag: "u-1", Size: 500 << 20, Rebuilt: true}, {ID: "datahub/hub", Tag: "h-1"}},
		Releases: []model.ReleaseResult{{Target: target("staging"), State: model.FailedRun, Reason: "import failed", Revision: 8, RolledBackTo: 7, Log: "pod/hub: " + nasty,
			Verification: &model.Verification{Checks: []model.Check{{Name: "import emoji", Detail: nasty, Log: "\x1b[31mTraceback\x1b[0m\nsecond line"}, {Name: "other apps", Skipped: true}}}}}}
	active := run
	active.ID, active.Environment, active.State, active.Finished = "r2", "prod", model.Running, time.Time{}
	check := model.Run{ID: "r3", Kind: model.CheckPull, State: model.Running, Commit: run.Commit, Cause: "opened by carl", Created: at, Started: at,
		Pull: &model.PullCheck{
			PullRequest: model.PullRequest{Number: 12, Title: "Add " + nasty, Author: "carl", URL: "http://localhost:8080/forge/hubs/deployment/pull/12", Head: run.Commit,
				HeadOwner: "carl", HeadBranch: "add-emoji", Fork: true, Base: "staging", BaseCommit: strings.Repeat("b", 40), AwaitingApproval: "an approval"},
			Merged: strings.Repeat("c", 40),
			Parts: []model.Part{
				{Name: model.PartPolicy, State: model.PartFailed, Summary: "a credential " + nasty, Took: time.Second, Problems: []model.Remark{{Path: "a/" + nasty, Line: 7, Message: nasty, Hint: "take it out"}, {Message: "about all"}}},
				{Name: model.PartPlan, State: model.PartPassed, Summary: "1 release changes"},
				{Name: model.PartTests, State: model.PartRunning, Summary: "1 of 2"}, {Name: model.PartImages, State: model.PartWaiting, Summary: "waits for its turn"}},
			Tests: []model.TestResult{{Name: "lint", Passed: true, Cached: true}, {Name: "unit", Reason: "exit status 1", Log: "\x1b[31mFAILED\x1b[0m " + nasty}, {Name: "docs", Skipped: "touches no docs"}},
			Images: []model.ImageCheck{{ID: "datahub/user", Built: model.Built{Tag: "u-2", Size: 600 << 20, Rebuilt: true}, Before: 500 << 20, Took: time.Minute,
				Smoke: &model.SmokeResult{Checks: []model.Check{{Name: "import emoji", Passed: true, Detail: "2.15.0"}}}}, {ID: "datahub/hub", Reason: "broken " + nasty}},
		}}
	return &source{
		runs: []model.Run{active, run, check},
		lines: []model.Line{{Seq: 1, Time: at, Level: model.LevelInfo, Scope: "plan", Text: nasty},
			{Seq: 2, Time: at, Level: model.LevelDebug, Scope: "image datahub/user", Text: "\x1b[1;32mCollecting\x1b[0m emoji\x07\u009b\u2066"}},
		status: model.Status{Version: "v1", Forge: &model.ForgeStatus{Repository: "hubs/deployment", URL: "http://localhost:8080/forge/hubs/deployment", Open: 3, Polled: at, Trouble: "no route: " + nasty}, Repository: "http://localhost:8080/git/deployment.git", Problems: []string{"cluster campus: " + nasty},
			Environments: []model.EnvironmentStatus{
				{Name: "staging", Branch: "staging", Commit: run.Commit, Subject: nasty, Releases: []model.ReleaseStatus{
					{Observed: model.Observed{Target: target("staging"), Status: model.Deployed, Revision: 7, Commit: run.Commit, Ready: true, Updated: at}, URL: "http://datahub-staging.localhost:8080/",
						Evidence: &model.Evidence{Commit: run.Commit, Run: "r1", Verified: *proof}, Halt: &model.Halt{Hub: "datahub", Reason: nasty, Run: "r1", Since: at}}}},
				{Name: "prod", Branch: "prod", After: "staging", Active: &active, Releases: []model.ReleaseStatus{
					{Observed: model.Observed{Target: target("prod"), Status: model.PendingUpgrade, Waiting: []string{nasty}}, URL: "javascript:alert(1)", Error: nasty}}},
			}},
	}
}

func open(t *testing.T, s Source, path string) (*http.Response, string) {
	t.Helper()
	w := httptest.NewRecorder()
	mux := http.NewServeMux()
	for _, r := range New(s, "v1", slog.New(slog.DiscardHandler)).Routes() {
		mux.Handle(r.Pattern, r.Handler)
	}
	mux.ServeHTTP(w, httptest.NewRequestWithContext(WithViewer(t.Context(), Viewer{Login: "ada", Form: "f"}), http.MethodGet, path, nil))
	res := w.Result()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

var space = regexp.MustCompile(`\s+`)

// text is what a person reads of a page.
func text(t *testing.T, page string) string {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for n := range doc.Descendants() {
		if n.Type == html.TextNode && n.Parent.Data != "script" && n.Parent.Data != "style" {
			b.WriteString(n.Data)
		}
	}
	return space.ReplaceAllString(b.String(), " ")
}

func TestPages(t *testing.T) {
	for path, want := range map[string][]string{
		"/": {"staging", "prod", "accepts only what staging has verified", "3f2a91c07b", "halted", "hubship resume --env staging --hub datahub", "passed", "unknown", "This status is incomplete",
			"http://localhost:8080/git/deployment.git", "Deploy to prod", "3 open in hubs/deployment read 10 min ago", "no route: ", "datahub-staging on local", "does not exist yet"},
		"/runs": {"Deploy to staging", "Deploy to prod", "broken: " + nasty, "1 min 30 s", "10 min ago"},
		"/runs/r1": {"Deploy to staging", "failed", "datahub in staging", "cluster local, namespace datahub-staging, release datahub-staging, revision 8, rolled back to revision 7",
			"import emoji", "Traceback second line", "built by this run", "already built", "500 MiB", "plan 1.0 s, build 59 s, deploy 20 s, verify 10 s", "Collecting emoji", "skipped"},
		"/runs/r2": {"Deploy to prod", "running", "Environmentprod"},
		"/runs/r3": {"Check of #12", "#12 Add", "by carl", "carl:add-emoji a fork into staging at bbbbbbbbbb, test merge cccccccccc", "an approval", "failed policy a credential", "line 7: ", "take it out", "about all",
			"running tests 1 of 2", "waiting images", "lint passed before on the same content", "exit status 1", "FAILED", "touches no docs", "600 MiB (+100 MiB), took 1 min 00 s", "import emoji 2.15.0", "broken "},
	} {
		res, body := open(t, installation(), path)
		if res.StatusCode != http.StatusOK {
			t.Errorf("%s: %s\n%s", path, res.Status, body)
		}
		seen := text(t, body)
		for _, w := range want {
			if !strings.Contains(seen, w) {
				t.Errorf("%s lacks %q:\n%s", path, w, seen)
			}
		}
		if strings.ContainsAny(body, "\u202e\u2066\u009b") {
			t.Errorf("%s turns the direction of writing", path)
		}
		if strings.Contains(body, nasty) || strings.Contains(body, `href="javascript:`) {
			t.Errorf("%s: what others wrote gets into the page as it is", path)
		}
	}
}

// What the content security policy forbids must not be needed.
func TestPagesHoldNothingInline(t *testing.T) {
	for _, path := range []string{"/", "/runs", "/runs/r1", "/runs/r2", "/runs/r3", "/nothing", "/runs/r2?embed"} {
		res, body := open(t, installation(), path)
		policy := res.Header.Get("Content-Security-Policy")
		if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") || res.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: headers %v", path, res.Header)
		}
		doc, err := html.Parse(strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		labels := map[string]int{}
		for n := range doc.Descendants() {
			if n.Type != html.ElementNode {
				continue
			}
			labels[n.Data]++
			for _, a := range n.Attr {
				if a.Key == "style" || strings.HasPrefix(a.Key, "on") {
					t.Errorf("%s: <%s> has an attribute %s", path, n.Data, a.Key)
				}
				if (a.Key == "src" || (a.Key == "href" && n.Data == "link")) && !strings.HasPrefix(a.Val, "/assets/") {
					t.Errorf("%s: <%s> loads %s", path, n.Data, a.Val)
				}
				if a.Key == "lang" {
					labels["lang"]++
				}
			}
			if (n.Data == "script" || n.Data == "style") && n.FirstChild != nil {
				t.Errorf("%s: inline <%s>", path, n.Data)
			}
		}
		around := 1
		if strings.HasSuffix(path, "?embed") {
			around = 0
		}
		// The script says in this element that hubship does not answer.
		if !strings.Contains(body, `id="offline"`) || labels["header"] != around || labels["footer"] != around || labels["form"] > 0 && around == 0 {
			t.Errorf("%s: what is around it: %v", path, labels)
		}
		if labels["lang"] != 1 || labels["main"] != 1 || labels["h1"] != 1 || labels["title"] < 1 || labels["nav"] != around {
			t.Errorf("%s: landmarks %v", path, labels)
		}
	}
}

func TestRefreshWithoutJavaScript(t *testing.T) {
	for path, want := range map[string]bool{"/": true, "/runs": true, "/runs/r2": true, "/runs/r3": true, "/runs/r1": false} {
		_, body := open(t, installation(), path)
		if got := strings.Contains(body, `<noscript><meta http-equiv="refresh"`); got != want {
			t.Errorf("%s refreshes: %v, want %v", path, got, want)
		}
		if got := strings.Contains(body, "data-follow"); got != (path == "/runs/r2" || path == "/runs/r3") {
			t.Errorf("%s follows: %v", path, got)
		}
	}
}

func TestLongLog(t *testing.T) {
	s := installation()
	s.lines = nil
	for i := range 4500 {
		s.lines = append(s.lines, model.Line{Seq: int64(i + 1), Level: model.LevelInfo, Text: fmt.Sprintf("line %d.", i+1)})
	}
	_, body := open(t, s, "/runs/r1")
	seen := text(t, body)
	if !strings.Contains(seen, "2500 earlier lines") || strings.Contains(seen, "line 2500.") || !strings.Contains(seen, "line 2501.") || !strings.Contains(body, `data-after="4500"`) {
		t.Errorf("the end of a long log is not what is shown:\n%.500s", seen)
	}
	res, body := open(t, s, "/runs/r1/log")
	if n := strings.Count(body, "\n"); n != 4501 || res.Header.Get("Content-Type") != "text/plain; charset=utf-8" || res.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("the log as text has %d lines, headers %v", n, res.Header)
	}
}

func TestFiltersAndErrors(t *testing.T) {
	s := installation()
	open(t, s, "/runs?env=prod&hub=datahub&limit=10")
	if s.asked != (model.RunFilter{Environment: "prod", Hub: "datahub", Limit: 10}) {
		t.Errorf("asked for %+v", s.asked)
	}
	open(t, s, "/runs?limit=99999999")
	if s.asked.Limit != 50 {
		t.Errorf("asked for %+v", s.asked)
	}
	for _, path := range []string{"/runs/unknown", "/runs/unknown/log", "/runs/unknown/plan", "/runs/r2/plan", "/nothing", "/assets/nothing.js", "/assets/..%2fweb.go"} {
		if res, _ := open(t, s, path); res.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %s", path, res.Status)
		}
	}
	s.err = model.WithHint(errors.New("the database is gone"), "look for it")
	res, body := open(t, s, "/")
	if seen := text(t, body); res.StatusCode != http.StatusInternalServerError || !strings.Contains(seen, "the database is gone") || !strings.Contains(seen, "look for it") {
		t.Errorf("%s\n%s", res.Status, seen)
	}
	if res, _ = open(t, s, "/runs/r1"); res.StatusCode != http.StatusOK {
		t.Errorf("a run's page needs the status: %s", res.Status)
	}
	if res, _ = open(t, &source{}, "/"); res.StatusCode != http.StatusOK {
		t.Errorf("an empty installation: %s", res.Status)
	}
}

func TestAssets(t *testing.T) {
	_, body := open(t, installation(), "/")
	found := regexp.MustCompile(`"(/assets/[^"]+)"`).FindAllStringSubmatch(body, -1)
	if len(found) != 3 {
		t.Fatalf("assets %v", found)
	}
	for _, f := range found {
		res, content := open(t, installation(), f[1])
		if res.StatusCode != http.StatusOK || len(content) < 100 || !strings.Contains(res.Header.Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %s, %d bytes", f[1], res.Status, len(content))
		}
	}
}

func TestWords(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "–", 42 * time.Millisecond: "42 ms", 4300 * time.Millisecond: "4.3 s", 59 * time.Second: "59 s", 61 * time.Second: "1 min 01 s", 125 * time.Minute: "2 h 05 min"} {
		if got := span(d); got != want {
			t.Errorf("span(%s) = %q, want %q", d, got, want)
		}
	}
	now := time.Now()
	for d, want := range map[time.Duration]string{time.Second: "just now", 30 * time.Second: "30 s ago", 3 * time.Minute: "3 min ago", 3 * time.Hour: "3 h ago", 72 * time.Hour: "3 days ago"} {
		if got := ago(now, now.Add(-d)); got != want {
			t.Errorf("ago(%s) = %q, want %q", d, got, want)
		}
	}
	total := 0
	for _, p := range shareOf(model.Durations{Plan: 1, Build: 1, Verify: 1}) {
		if p.Start != total {
			t.Errorf("%s starts at %d, want %d", p.Name, p.Start, total)
		}
		total += p.Percent
	}
	if total != 100 {
		t.Errorf("the phases fill %d %%", total)
	}
	if got := plain("a\x1b]0;title\x07b\x1b[2K\x1b[1Ac\td\re\x00"); got != "abc\tde" {
		t.Errorf("plain() = %q", got)
	}
}

func TestLinkToPullRequests(t *testing.T) {
	const link = `<a href="http://localhost:8080/forge/hubs/deployment">Pull requests</a>`
	for _, path := range []string{"/", "/runs", "/runs/r1"} {
		s := installation()
		if _, body := open(t, s, path); !strings.Contains(body, link) {
			t.Errorf("%s does not link to the pull requests", path)
		}
		s.status.Forge = nil
		if _, body := open(t, s, path); strings.Contains(body, "Pull requests") {
			t.Errorf("%s links to pull requests where there is no forge", path)
		}
	}
}

func TestPlan(t *testing.T) {
	s := installation()
	s.planned = "r1"
	res, body := open(t, s, "/runs/r1/plan")
	if res.StatusCode != http.StatusOK || !strings.Contains(body, "the hub restarts") || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/html") ||
		!strings.HasPrefix(res.Header.Get("Content-Security-Policy"), "default-src 'none'; style-src 'unsafe-inline'") {
		t.Errorf("%d %v\n%s", res.StatusCode, res.Header, body)
	}
	for path, want := range map[string]bool{"/runs/r1": true, "/runs/r2": false} {
		if _, body := open(t, s, path); strings.Contains(body, path+"/plan") != want {
			t.Errorf("%s: a link to a plan, %v expected:\n%s", path, want, body)
		}
	}
}
