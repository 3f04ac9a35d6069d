package ship_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/ship"
)

// pull is a change of staging as a pull request.
func pull(w *world, files map[string]string) model.PullRequest {
	var base string
	w.set(func() {
		base = w.branches["staging"]
		w.branches["change"] = base
	})
	head := w.commit("change", "a change", files)
	return model.PullRequest{Number: 7, Title: "A change", Author: "carl", Head: head, HeadOwner: "carl", HeadBranch: "change", Fork: true,
		Base: "staging", BaseCommit: base, Trusted: true}
}

// checked runs a check to its end.
func checked(t *testing.T, e *ship.Engine, p model.PullRequest) model.Run {
	t.Helper()
	r, err := e.Check(t.Context(), p, "push")
	if err != nil {
		t.Fatal(err)
	}
	settle(t, e)
	if r, err = e.Run(t.Context(), r.ID); err != nil {
		t.Fatal(err)
	}
	return r
}

// states are the states of a check's parts, in order.
func states(r model.Run) string {
	var all []string
	for _, p := range r.Pull.Parts {
		all = append(all, string(p.State))
	}
	return strings.Join(all, " ")
}

func TestCheckOfAPullRequest(t *testing.T) {
	w, e := live(t, t.TempDir())
	w.set(func() {
		w.tests = []model.Test{
			{Name: "lint", Image: "python", Command: []string{"lint"}},
			{Name: "docs", Image: "python", Command: []string{"docs"}, Paths: []string{"docs/**"}},
			{Name: "image", Image: "python", Command: []string{"look"}, Paths: []string{"image/*.txt"}},
		}
	})
	change := map[string]string{"image/requirements.txt": "numpy==2\nemoji==2\n"}
	r := checked(t, e, pull(w, change))
	if r.State != model.Done || states(r) != "passed passed passed passed passed" {
		t.Fatalf("%s %s: %+v", r.State, r.Reason, r.Pull.Parts)
	}
	if r.Pull.Merged == "" || len(r.Pull.Images) != 1 || !r.Pull.Images[0].Built.Rebuilt {
		t.Fatalf("%+v", r.Pull)
	}
	if s := r.Pull.Images[0].Smoke; s == nil || !s.Passed || len(s.Checks) != 1 || s.Checks[0].Name != "import emoji" {
		t.Errorf("smoke %+v", s)
	}
	if !slices.Contains(w.untrusted, r.Pull.Images[0].Built.Source) {
		t.Error("a fork's image was built as if it were ours")
	}
	if got := w.tested["image"]; len(got) != 1 || got[0] != "image/requirements.txt" {
		t.Errorf("the test saw %q", got)
	}
	if len(w.tested["docs"]) != 0 || r.Pull.Tests[1].Skipped == "" {
		t.Errorf("a test ran that is not concerned: %+v", r.Pull.Tests)
	}
	if got := w.releases["data@staging"]; len(got) != 1 {
		t.Error("a check deployed something")
	}

	// Once more: nothing is built, and what passed is known.
	builds := len(w.builds)
	r = checked(t, e, pull(w, change))
	if r.State != model.Done || len(w.builds) != builds || !r.Pull.Tests[0].Cached || len(w.tested["lint"]) != 1 {
		t.Errorf("%s: %d builds, tests %+v", r.State, len(w.builds)-builds, r.Pull.Tests)
	}
	list, err := e.Runs(t.Context(), model.RunFilter{Kind: model.CheckPull, Pull: 7})
	if err != nil || len(list) != 2 {
		t.Errorf("%d checks of the pull request, %v", len(list), err)
	}
	if list, err = e.Runs(t.Context(), model.RunFilter{Kind: model.Deploy}); err != nil || len(list) != 2 {
		t.Errorf("%d deploys, %v", len(list), err)
	}
}

func TestCheckStops(t *testing.T) {
	long := strings.Repeat("x", 500)
	for _, c := range []struct {
		name   string
		files  map[string]string
		edit   func(*world, *model.PullRequest)
		state  model.RunState
		parts  string
		reason string
		ran    bool // something of the change was executed
	}{
		{name: "base prod", edit: func(_ *world, p *model.PullRequest) { p.Base = "prod" }, state: model.FailedRun,
			parts: "failed failed failed failed failed", reason: "policy: prod accepts only what staging has proved: change the base"},
		{name: "base prod from a fork's staging", edit: func(_ *world, p *model.PullRequest) { p.Base, p.HeadBranch = "prod", "staging" }, state: model.FailedRun,
			parts: "failed failed failed failed failed", reason: "policy: prod accepts only"},
		{name: "another base", edit: func(_ *world, p *model.PullRequest) { p.Base = "work" }, state: model.Done, parts: "passed passed passed passed passed"},
		{name: "a credential", files: map[string]string{"secret": "x"}, state: model.FailedRun, parts: "failed failed failed failed failed", reason: "policy: 1 credential"},
		{name: "a stranger", edit: func(_ *world, p *model.PullRequest) { p.Trusted, p.AwaitingApproval = false, "waits for a maintainer" }, state: model.Refused,
			parts: "passed waiting waiting waiting waiting", reason: "waits for a maintainer"},
		{name: "a conflict", files: map[string]string{"conflict": "x"}, state: model.FailedRun, parts: "passed failed failed failed failed", reason: "plan: conflicts"},
		{name: "an error in the plan", files: map[string]string{"wrong": "x"}, state: model.FailedRun, parts: "passed failed passed passed passed", reason: "plan: 1 error", ran: true},
		{name: "a build that fails", edit: func(w *world, _ *model.PullRequest) { w.failBuild = true }, state: model.FailedRun, parts: "passed passed passed passed failed",
			reason: "images: user: RUN pip install: exit code 1", ran: true},
		{name: "an image that does not work", files: map[string]string{"image/requirements.txt": "broken==1\n"}, state: model.FailedRun,
			parts: "passed passed passed passed failed", reason: "images: user: import broken failed", ran: true},
		{name: "a test that fails", edit: func(w *world, _ *model.PullRequest) {
			w.tests = []model.Test{{Name: long[:60], Command: []string{"fail"}}}
		}, state: model.FailedRun, parts: "passed passed passed failed passed", reason: "tests: " + long[:60] + ": exit code 2", ran: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, e := live(t, t.TempDir())
			builds := len(w.builds)
			files := map[string]string{"image/requirements.txt": "numpy==2\nemoji==2\n"}
			for k, v := range c.files {
				files[k] = v
			}
			p := pull(w, files)
			if c.edit != nil {
				w.set(func() { c.edit(w, &p) })
			}
			r := checked(t, e, p)
			if r.State != c.state || states(r) != c.parts || !strings.HasPrefix(r.Reason, c.reason) {
				t.Errorf("%s %q, parts %s: %+v", r.State, r.Reason, states(r), r.Pull.Parts)
			}
			if !c.ran && (len(w.builds) != builds || len(w.tested) > 0) {
				t.Error("something of the change was executed")
			}
			for _, part := range r.Pull.Parts {
				if len([]rune(part.Summary)) > 140 || part.Summary == "" || strings.Contains(part.Summary, "\n") {
					t.Errorf("part %s says %q", part.Name, part.Summary)
				}
			}
		})
	}
}

// A promotion is planned for the environment that it enters, and nothing is
// executed: staging proved it.
func TestCheckOfAPromotion(t *testing.T) {
	w, e := live(t, t.TempDir())
	var base string
	w.set(func() { base = w.branches["prod"] })
	head := w.commit("staging", "add emoji", map[string]string{"image/requirements.txt": "numpy==2\nemoji==2\n"})
	push(t, e, "staging", head)
	builds := len(w.builds)
	r := checked(t, e, model.PullRequest{Number: 8, Author: "hubship", Head: head, HeadOwner: "hubs", HeadBranch: "staging", Base: "prod", BaseCommit: base, Trusted: true})
	if r.State != model.Done || states(r) != "passed passed passed passed passed" || len(w.builds) != builds || len(r.Pull.Images) > 0 {
		t.Errorf("%s %s: %+v", r.State, r.Reason, r.Pull)
	}
}

// A newer check of the same pull request ends the older one, in the middle of
// a test.
func TestCheckIsSuperseded(t *testing.T) {
	w, e := live(t, t.TempDir())
	w.set(func() {
		w.tests = []model.Test{{Name: "slow", Command: []string{"slow"}}}
		w.held, w.holding = make(chan struct{}), make(chan struct{})
	})
	first, err := e.Check(t.Context(), pull(w, map[string]string{"common": "2"}), "push")
	if err != nil {
		t.Fatal(err)
	}
	<-w.holding
	second, err := e.Check(t.Context(), pull(w, map[string]string{"common": "3"}), "another push")
	if err != nil {
		t.Fatal(err)
	}
	<-w.holding // the second one's test has begun: the first is over
	close(w.held)
	settle(t, e)
	one, _ := e.Run(t.Context(), first.ID)
	two, _ := e.Run(t.Context(), second.ID)
	if one.State != model.Superseded || !strings.Contains(one.Reason, second.ID) || two.State != model.Done {
		t.Errorf("the first is %s (%s), the second %s (%s)", one.State, one.Reason, two.State, two.Reason)
	}
	if err := e.Supersede(t.Context(), second.ID, "late"); err != nil {
		t.Error(err)
	}
	if two, _ = e.Run(t.Context(), second.ID); two.State != model.Done {
		t.Errorf("what had ended is %s now", two.State)
	}
}

// A process that ends in the middle of a check goes on with it at the next
// start, and leaves no folder behind.
func TestCheckResumes(t *testing.T) {
	dir := t.TempDir()
	w, e := live(t, dir)
	w.set(func() {
		w.tests = []model.Test{{Name: "slow", Command: []string{"slow"}}}
		w.held, w.holding = make(chan struct{}), make(chan struct{}, 2)
	})
	r, err := e.Check(t.Context(), pull(w, map[string]string{"image/requirements.txt": "numpy==2\nemoji==2\n"}), "push")
	if err != nil {
		t.Fatal(err)
	}
	<-w.holding
	w.endContext()
	if err := e.Stop(5 * time.Second); err != nil {
		t.Log(err)
	}
	close(w.held)
	e = w.start(t, dir)
	settle(t, e)
	if r, err = e.Run(t.Context(), r.ID); err != nil || r.State != model.Done {
		t.Errorf("%s %s, %v", r.State, r.Reason, err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "work", "*")); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "work")); errors.Is(err, os.ErrNotExist) {
		t.Error("there never was a work folder")
	}
}

func TestChangedIsTold(t *testing.T) {
	w := newWorld()
	var seen []model.RunState
	w.changed = func(r model.Run) {
		if r.Kind == model.CheckPull {
			w.mu.Lock()
			seen = append(seen, r.State)
			w.mu.Unlock()
		}
	}
	w.branches["prod"] = w.commit("staging", "start", map[string]string{"common": "1"})
	e := w.start(t, t.TempDir())
	settle(t, e)
	checked(t, e, pull(w, map[string]string{"common": "2"}))
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(seen) < 3 || seen[0] != model.Queued || seen[len(seen)-1] != model.Done {
		t.Errorf("told of %v", seen)
	}
}

// TestChecksOfBothVersions runs what a change takes away, too: a change cannot
// empty the checks that judge it.
func TestChecksOfBothVersions(t *testing.T) {
	w, e := live(t, t.TempDir())
	p := pull(w, map[string]string{"common": "2"})
	w.set(func() {
		w.testsAt = map[string][]model.Test{
			p.BaseCommit: {{Name: "lint", Image: "python", Command: []string{"fail"}}, {Name: "same", Image: "python", Command: []string{"x"}}},
			p.Head:       {{Name: "lint", Image: "python", Command: []string{"true"}}, {Name: "same", Image: "python", Command: []string{"x"}}},
		}
	})
	r := checked(t, e, p)
	var names []string
	for _, one := range r.Pull.Tests {
		names = append(names, one.Name)
	}
	if r.State != model.FailedRun || strings.Join(names, ", ") != "lint, same, lint (base)" || !strings.HasPrefix(r.Reason, "tests: lint (base): exit code 2") {
		t.Errorf("%s %s: %v", r.State, r.Reason, names)
	}
}

// TestCheckOfTheProcess waits for a maintainer where the process is altered and
// decided.
func TestCheckOfTheProcess(t *testing.T) {
	for name, c := range map[string]struct {
		proposal model.Proposal
		decides  bool
		state    model.PartState
		run      model.RunState
	}{
		"altered":        {model.Proposal{Decides: true, Changes: []model.ProcessChange{{Path: "x", Words: "w"}}}, true, model.PartWaiting, model.Done},
		"broken":         {model.Proposal{Decides: true, Broken: "no YAML"}, true, model.PartFailed, model.FailedRun},
		"decided apart":  {model.Proposal{Changes: []model.ProcessChange{{Path: "x", Words: "w"}}}, false, model.PartPassed, model.Done},
		"tests, no more": {model.Proposal{Decides: true, Tests: []model.ProcessChange{{Path: "checks.x"}}}, true, model.PartPassed, model.Done},
	} {
		t.Run(name, func(t *testing.T) {
			w, e := live(t, t.TempDir())
			p := pull(w, map[string]string{"common": "2"})
			p.Decides = c.decides
			w.set(func() { w.proposal = &c.proposal })
			r := checked(t, e, p)
			if got := r.Pull.Part(model.PartProcess); got.State != c.state || r.State != c.run {
				t.Errorf("%s: %+v", r.State, got)
			}
		})
	}
}
