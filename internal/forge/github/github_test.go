package github

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/model"
)

const (
	secretToken = "ghp_0123456789abcdefSECRET"
	commitA     = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
)

var hubs = forge.Repository{Owner: "ada", Name: "hubs"}

// server answers as GitHub's documentation says, and remembers what it was
// asked.
type server struct {
	*httptest.Server
	t   *testing.T
	mux *http.ServeMux

	mu    sync.Mutex
	asked []*http.Request
	said  []string // bodies of the requests
}

func newServer(t *testing.T) *server {
	s := &server{t: t, mux: http.NewServeMux()}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		s.asked, s.said = append(s.asked, r), append(s.said, string(body))
		s.mu.Unlock()
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		s.mux.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *server) requests() []*http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

func (s *server) bodies() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.said)
}

// on answers each request to a pattern with the next of the answers, and with
// the last one from then on.
func (s *server) on(pattern string, answers ...http.HandlerFunc) {
	method, path, _ := strings.Cut(pattern, " ")
	var mu sync.Mutex
	s.mux.HandleFunc(method+" /api/v3/repos/ada/hubs"+path, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		answer := answers[0]
		if len(answers) > 1 {
			answers = answers[1:]
		}
		mu.Unlock()
		answer(w, r)
	})
}

func (s *server) client() *Client {
	s.t.Helper()
	c, err := New(Options{URL: s.URL + "/api/v3/", Repository: hubs, Token: secretToken})
	if err != nil {
		s.t.Fatal(err)
	}
	c.backoff = time.Millisecond
	return c
}

// answer is a fixed one. Headers are given as "Name: value".
func answer(status int, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for _, h := range headers {
			name, value, _ := strings.Cut(h, ": ")
			w.Header().Add(name, value)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

const onePull = `{"number": 7, "state": "open", "title": "Add numpy", "user": {"login": "ada"}, "updated_at": "2026-03-01T10:00:00Z",
	"merged": false, "merged_at": null, "merge_commit_sha": "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
	"head": {"ref": "numpy", "sha": "` + commitA + `", "repo": null}, "base": {"ref": "staging", "sha": "` + commitA + `", "repo": {"name": "hubs", "owner": {"login": "ada"}}}}`

func TestPullRequestOfADeletedFork(t *testing.T) {
	s := newServer(t)
	s.on("GET /pulls/7", answer(200, onePull))
	p, err := s.client().PullRequest(t.Context(), 7)
	if err != nil {
		t.Fatal(err)
	}
	if p.Head.Repository != (forge.Repository{}) || !p.FromFork() || p.Head.Commit != commitA || p.Base.Repository != hubs || p.Mergeable != nil || p.Merged || p.MergeCommit != "" {
		t.Errorf("%+v", p)
	}
	r := s.requests()[0]
	if got := r.Header.Get("Authorization"); got != "Bearer "+secretToken {
		t.Errorf("Authorization: %q", got)
	}
	if got := r.Header.Get("X-Github-Api-Version"); got == "" {
		t.Error("no version of the API was asked for")
	}
}

func TestErrorsAreOfAKind(t *testing.T) {
	hour := strconv.FormatInt(time.Now().Add(time.Hour).Unix(), 10)
	for _, test := range []struct {
		name   string
		answer http.HandlerFunc
		want   error
		says   string
	}{
		{"hidden", answer(404, `{"message": "Not Found"}`), forge.ErrNotFound, "Not Found"},
		{"gone", answer(410, `{"message": "Issues are disabled"}`), forge.ErrNotFound, "disabled"},
		{"bad token", answer(401, `{"message": "Bad credentials"}`), forge.ErrForbidden, "Bad credentials"},
		{"no permission", answer(403, `{"message": "Resource not accessible by integration"}`, "X-RateLimit-Remaining: 4000"), forge.ErrForbidden, "accessible"},
		{"not mergeable", answer(405, `{"message": "Pull Request is not mergeable"}`), forge.ErrConflict, "mergeable"},
		{"head moved", answer(409, `{"message": "Head branch was modified. Review and try the merge again."}`), forge.ErrConflict, "Head branch"},
		{"not valid", answer(422, `{"message": "Validation Failed", "errors": [{"resource": "PullRequest", "field": "base", "code": "invalid"}]}`), forge.ErrInvalid, "base of PullRequest: invalid"},
		{"errors as text", answer(422, `{"message": "Unprocessable Entity", "errors": ["Can not approve your own pull request"]}`), forge.ErrInvalid, "approve your own"},
		{"exists", answer(422, `{"message": "Validation Failed", "errors": [{"resource": "PullRequest", "code": "custom", "message": "A pull request already exists for ada:numpy."}]}`), forge.ErrConflict, "already exists"},
		{"down", answer(503, `<html>unicorn`), forge.ErrUnavailable, "503"},
		{"not GitHub", answer(200, `<html>Log in to the network</html>`), forge.ErrUnavailable, "not what GitHub's API answers"},
		{"cut off", answer(200, `{"number": 7`), forge.ErrUnavailable, "not what GitHub's API answers"},
		{"control characters", answer(404, `{"message": "a\u001b[31m\nb\u202eé"}`), forge.ErrNotFound, "a [31m b é"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newServer(t)
			s.on("GET /pulls/7", test.answer)
			_, err := s.client().PullRequest(t.Context(), 7)
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) || !strings.HasPrefix(err.Error(), "read pull request ada/hubs#7: ") {
				t.Errorf("%v, expected %v and %q", err, test.want, test.says)
			}
			if model.HintOf(err) == "" {
				t.Error("there is no hint")
			}
			if strings.ContainsAny(err.Error(), "\x1b\n\u202e") {
				t.Errorf("%q would command a terminal", err)
			}
		})
	}
	for name, a := range map[string]http.HandlerFunc{
		"primary":              answer(403, `{"message": "API rate limit exceeded"}`, "X-RateLimit-Remaining: 0", "X-RateLimit-Reset: "+hour),
		"primary, new status":  answer(429, `{"message": "API rate limit exceeded"}`, "X-RateLimit-Remaining: 0", "X-RateLimit-Reset: "+hour),
		"secondary":            answer(403, `{"message": "You have exceeded a secondary rate limit", "documentation_url": "https://docs.github.com/rest/overview/rate-limits-for-the-rest-api#about-secondary-rate-limits"}`, "Retry-After: 3600"),
		"secondary, unnamed":   answer(403, `{"message": "slow down"}`, "Retry-After: 3600"),
		"secondary, no header": answer(429, `{"message": "slow down"}`),
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			s.on("GET /pulls/7", a)
			began := time.Now()
			_, err := s.client().PullRequest(t.Context(), 7)
			until, ok := forge.Temporary(err)
			if !ok || until.Before(began.Add(50*time.Second)) || until.After(began.Add(61*time.Minute)) {
				t.Errorf("%v: until %v", err, until)
			}
			if n := len(s.requests()); n != 1 || time.Since(began) > 10*time.Second {
				t.Errorf("%d requests in %v for a limit that is longer than the patience", n, time.Since(began))
			}
		})
	}
}

func TestWhatIsTriedAgain(t *testing.T) {
	soon := answer(403, `{"message": "x", "documentation_url": "https://docs.github.com/x#about-secondary-rate-limits"}`, "Retry-After: 1")
	read := func(ctx context.Context, c *Client) error { _, err := c.PullRequest(ctx, 7); return err }
	say := func(ctx context.Context, c *Client) error { _, err := c.Comment(ctx, 7, "x"); return err }
	status := func(ctx context.Context, c *Client) error {
		return c.SetStatus(ctx, commitA, forge.Status{State: forge.Success, Context: "hubship/plan"})
	}
	for _, test := range []struct {
		name    string
		do      func(context.Context, *Client) error
		answers []http.HandlerFunc
		want    error
		asked   int
	}{
		{"reading", read, []http.HandlerFunc{answer(502, ""), answer(500, ""), answer(200, onePull)}, nil, 3},
		{"reading in vain", read, []http.HandlerFunc{answer(502, "")}, forge.ErrUnavailable, attempts},
		{"reading what is not there", read, []http.HandlerFunc{answer(404, "{}")}, forge.ErrNotFound, 1},
		{"a status", status, []http.HandlerFunc{answer(502, ""), answer(201, "{}")}, nil, 2},
		{"a comment that may be there", say, []http.HandlerFunc{answer(502, ""), answer(201, "{}")}, forge.ErrUnavailable, 1},
		{"a comment that was put off", say, []http.HandlerFunc{soon, answer(201, "{}")}, nil, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			for _, pattern := range []string{"GET /pulls/7", "POST /issues/7/comments", "POST /statuses/" + commitA} {
				s.on(pattern, test.answers...)
			}
			began := time.Now()
			if err := test.do(t.Context(), s.client()); !errors.Is(err, test.want) {
				t.Errorf("%v, expected %v", err, test.want)
			}
			if n := len(s.requests()); n != test.asked {
				t.Errorf("%d requests, expected %d", n, test.asked)
			}
			if strings.Contains(test.name, "put off") && time.Since(began) < time.Second {
				t.Error("Retry-After was not respected")
			}
		})
	}
}

func TestACommentIsSentWhenNobodyHeardIt(t *testing.T) {
	s := newServer(t)
	s.on("POST /issues/7/comments", answer(201, `{"id": 1}`))
	c := s.client()
	address := s.Listener.Addr().String()
	s.Close() // nobody listens: the request was certainly not carried out
	_, err := c.Comment(t.Context(), 7, "x")
	if !errors.Is(err, forge.ErrUnavailable) || strings.Contains(err.Error(), "http://") {
		t.Errorf("%v", err)
	}
	if f := classify(err, c.auth.redact); !f.unsent {
		t.Errorf("a refused connection to %s counts as sent", address)
	}
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	s := newServer(t)
	s.on("GET /pulls/7", answer(429, "{}", "Retry-After: 20"))
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := s.client().PullRequest(ctx, 7)
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 5*time.Second {
		t.Errorf("%v after %v", err, time.Since(began))
	}
}

func TestAnnotationsGoInParts(t *testing.T) {
	s := newServer(t)
	s.on("POST /check-runs", answer(201, `{"id": 5, "name": "hubship/plan"}`))
	s.on("PATCH /check-runs/5", answer(200, `{"id": 5, "name": "hubship/plan"}`))
	check := forge.Check{Name: "hubship/plan", Commit: commitA, State: forge.CheckCompleted, Conclusion: forge.CheckFailure, Title: "3 problems", Summary: "see"}
	for i := range 120 {
		check.Annotations = append(check.Annotations, forge.Annotation{Path: "a.yaml", Start: i + 1, Level: forge.Problem, Message: strconv.Itoa(i)})
	}
	done, err := s.client().SetCheck(t.Context(), check)
	if err != nil || done.ID != 5 {
		t.Fatalf("%+v, %v", done, err)
	}
	var sizes []int
	next := 0
	for _, body := range s.bodies() {
		var got struct {
			Conclusion string
			Output     struct {
				Title       string
				Annotations []struct {
					StartLine int `json:"start_line"`
					EndLine   int `json:"end_line"`
				}
			}
		}
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatal(err)
		}
		for _, a := range got.Output.Annotations {
			if next++; a.StartLine != next || a.EndLine != next {
				t.Fatalf("annotation of lines %d to %d in the place of %d", a.StartLine, a.EndLine, next)
			}
		}
		if got.Conclusion != forge.CheckFailure || got.Output.Title != "3 problems" {
			t.Errorf("a part would change the report: %s", body)
		}
		sizes = append(sizes, len(got.Output.Annotations))
	}
	if !slices.Equal(sizes, []int{50, 50, 20}) {
		t.Errorf("parts of %v", sizes)
	}
}

func TestNonsenseIsNotSent(t *testing.T) {
	s := newServer(t)
	c := s.client()
	long := strings.Repeat("é", forge.MaxBody+1)
	for name, do := range map[string]func() error{
		"long comment": func() error { _, err := c.Comment(t.Context(), 1, long); return err },
		"long edit":    func() error { _, err := c.EditComment(t.Context(), 1, long); return err },
		"long review": func() error {
			_, err := c.Review(t.Context(), 1, forge.NewReview{State: forge.Approved, Body: long})
			return err
		},
		"long body":         func() error { _, err := c.Update(t.Context(), 1, forge.Change{Body: &long}); return err },
		"unknown review":    func() error { _, err := c.Review(t.Context(), 1, forge.NewReview{State: forge.Dismissed}); return err },
		"short commit":      func() error { return c.SetStatus(t.Context(), "abc", forge.Status{State: forge.Success, Context: "x"}) },
		"unknown status":    func() error { return c.SetStatus(t.Context(), commitA, forge.Status{State: "great", Context: "x"}) },
		"merge of anything": func() error { _, err := c.Merge(t.Context(), 1, forge.Merge{}); return err },
		"unknown method": func() error {
			_, err := c.Merge(t.Context(), 1, forge.Merge{Head: commitA, Method: "octopus"})
			return err
		},
		"login with slash": func() error { _, err := c.Permission(t.Context(), "../../user"); return err },
		"reviewer":         func() error { return c.RequestReview(t.Context(), 1, "a b") },
		"branch":           func() error { _, err := c.Branch(t.Context(), "a/../b"); return err },
		"label":            func() error { return c.RemoveLabel(t.Context(), 1, "..") },
		"check": func() error {
			_, err := c.SetCheck(t.Context(), forge.Check{Name: "x", Commit: commitA, State: forge.CheckCompleted})
			return err
		},
		"approvals": func() error { return c.Protect(t.Context(), "prod", forge.Protection{Approvals: 7}) },
	} {
		if err := do(); !errors.Is(err, forge.ErrInvalid) || model.HintOf(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := len(s.requests()); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}

func TestNamesStayInTheirPlace(t *testing.T) {
	s := newServer(t)
	s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodDelete {
			w.WriteHeader(http.StatusOK)
			return
		}
		_, _ = io.WriteString(w, `{"name": "feature/ü#1%2F", "commit": {"sha": "`+commitA+`"}}`)
	})
	c := s.client()
	if _, err := c.Branch(t.Context(), "feature/ü#1%2F"); err != nil {
		t.Error(err)
	}
	if err := c.RemoveLabel(t.Context(), 7, "a/b?c"); err != nil {
		t.Error(err)
	}
	want := []string{"/api/v3/repos/ada/hubs/branches/feature%2F%C3%BC%231%252F", "/api/v3/repos/ada/hubs/issues/7/labels/a%2Fb%3Fc"}
	for i, r := range s.requests() {
		if got := r.URL.EscapedPath(); got != want[i] || r.URL.RawQuery != "" {
			t.Errorf("asked for %s, expected %s", got, want[i])
		}
	}
	if _, err := c.Branch(t.Context(), "old-name"); !errors.Is(err, forge.ErrNotFound) {
		t.Errorf("a branch that was renamed: %v", err)
	}
}

func TestLongDescriptionsAreShortened(t *testing.T) {
	s := newServer(t)
	s.on("POST /statuses/"+commitA, answer(201, "{}"))
	if err := s.client().SetStatus(t.Context(), commitA, forge.Status{State: forge.Failure, Context: "x", Description: strings.Repeat("ü", 200)}); err != nil {
		t.Fatal(err)
	}
	var sent struct{ Description string }
	if err := json.Unmarshal([]byte(s.bodies()[0]), &sent); err != nil || sent.Description != strings.Repeat("ü", 139)+"…" {
		t.Errorf("%q, %v", sent.Description, err)
	}
}

func TestProtectionIsNotOverwritten(t *testing.T) {
	const mine = `{"required_status_checks": {"strict": true, "contexts": ["b", "a"], "checks": [{"context": "b", "app_id": null}, {"context": "a", "app_id": 1}]},
		"enforce_admins": {"enabled": true}, "required_pull_request_reviews": {"required_approving_review_count": 2, "dismiss_stale_reviews": true}}`
	s := newServer(t)
	s.on("GET /branches/prod/protection", answer(404, `{"message": "Branch not protected"}`), answer(200, mine),
		answer(200, strings.Replace(mine, "{", `{"required_linear_history": {"enabled": true}, `, 1)))
	s.on("PUT /branches/prod/protection", answer(200, mine))
	c := s.client()
	want := forge.Protection{Statuses: []string{"a", "b"}, UpToDate: true, Approvals: 2, DismissStale: true, Admins: true}
	if err := c.Protect(t.Context(), "prod", want); err != nil {
		t.Fatal(err)
	}
	var sent map[string]any
	if err := json.Unmarshal([]byte(s.bodies()[1]), &sent); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"required_status_checks", "enforce_admins", "required_pull_request_reviews", "restrictions"} {
		if _, ok := sent[key]; !ok {
			t.Errorf("%s, which GitHub requires, was not sent", key)
		}
	}
	if got, err := c.Protection(t.Context(), "prod"); err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%+v, %v", got, err)
	}
	if err := c.Protect(t.Context(), "prod", want); !errors.Is(err, forge.ErrConflict) || !strings.Contains(err.Error(), "linear history") {
		t.Errorf("%v", err)
	}
}

func TestAMergeThatWasNone(t *testing.T) {
	s := newServer(t)
	s.on("PUT /pulls/7/merge", answer(200, `{"merged": false, "message": "not now"}`))
	id, err := s.client().Merge(t.Context(), 7, forge.Merge{Head: commitA})
	if !errors.Is(err, forge.ErrConflict) || id != "" || !strings.Contains(err.Error(), "not now") {
		t.Errorf("%q, %v", id, err)
	}
}

func TestAnnotationsAreNotSentTwice(t *testing.T) {
	s := newServer(t)
	s.on("PATCH /check-runs/5", answer(502, ""))
	check := forge.Check{ID: 5, Name: "x", Commit: commitA, State: forge.CheckInProgress, Title: "x", Summary: "x"}
	c := s.client()
	for _, want := range []int{attempts, attempts + 1} { // without, and then with annotations
		if _, err := c.SetCheck(t.Context(), check); !errors.Is(err, forge.ErrUnavailable) {
			t.Errorf("%v", err)
		}
		if n := len(s.requests()); n != want {
			t.Errorf("%d requests, expected %d", n, want)
		}
		check.Annotations = []forge.Annotation{{Path: "a", Start: 1, Level: forge.Notice, Message: "x"}}
	}
}

func TestDraftsOfReviewsAreNone(t *testing.T) {
	s := newServer(t)
	s.on("GET /pulls/7/reviews", answer(200, `[{"id": 1, "state": "PENDING", "user": {"login": "bob"}}, {"id": 2, "state": "APPROVED", "user": null}]`))
	got, err := s.client().Reviews(t.Context(), 7)
	if err != nil || len(got) != 1 || got[0].ID != 2 || got[0].Author != "ghost" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestDeploymentsAreRecordedOnly(t *testing.T) {
	s := newServer(t)
	s.on("POST /deployments", answer(201, `{"id": 42}`))
	s.on("POST /deployments/42/statuses", answer(201, `{"id": 1}`))
	c := s.client()
	id, err := c.StartDeployment(t.Context(), forge.Deployment{Commit: commitA, Environment: "prod", Description: strings.Repeat("x", 200), Production: true})
	if err != nil || id != 42 {
		t.Fatalf("%d, %v", id, err)
	}
	if err := c.SetDeployment(t.Context(), id, forge.DeploymentStatus{State: forge.Success, URL: "https://hubship.example/runs/1", Site: "https://hub.example"}); err != nil {
		t.Fatal(err)
	}
	var started, status map[string]any
	for i, into := range []*map[string]any{&started, &status} {
		if err := json.Unmarshal([]byte(s.bodies()[i]), into); err != nil {
			t.Fatal(err)
		}
	}
	// The forge merges nothing for it, and asks for no statuses of its own.
	required, sent := started["required_contexts"].([]any)
	if started["auto_merge"] != false || !sent || len(required) != 0 || started["ref"] != commitA || started["environment"] != "prod" || started["production_environment"] != true ||
		len([]rune(started["description"].(string))) != forge.MaxDescription {
		t.Errorf("%v", started)
	}
	if status["state"] != "success" || status["log_url"] != "https://hubship.example/runs/1" || status["environment_url"] != "https://hub.example" {
		t.Errorf("%v", status)
	}
	if _, err := c.StartDeployment(t.Context(), forge.Deployment{Commit: "main"}); !errors.Is(err, forge.ErrInvalid) {
		t.Errorf("%v", err)
	}
}
