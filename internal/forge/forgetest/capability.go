package forgetest

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/hubship/hubship/internal/forge"
)

func testChecks(t *testing.T, w *world) {
	checks := capability[forge.Checks](t, w, w.Maintainer, Checks)
	p := w.propose("numpy")
	started := time.Now().Truncate(time.Second)
	check := forge.Check{Name: "hubship/plan", Commit: p.Head.Commit, ExternalID: "run-1", URL: "https://hubship.example/runs/1", State: forge.CheckInProgress, Started: started}
	done, err := checks.SetCheck(t.Context(), check)
	ok(t, err)
	if done.ID == 0 || done.Name != check.Name || done.Commit != check.Commit || done.State != forge.CheckInProgress || done.Conclusion != "" || !done.Started.Equal(started) {
		t.Errorf("%+v", done)
	}
	check.ID, check.State, check.Conclusion, check.Completed = done.ID, forge.CheckCompleted, forge.CheckFailure, started.Add(time.Second)
	check.Title, check.Summary, check.Text = "120 problems", "# "+hostile, "details"
	for i := range 120 {
		check.Annotations = append(check.Annotations, forge.Annotation{Path: "numpy.yaml", Start: i + 1, End: i + 2, Level: forge.Warning, Title: "Look", Message: fmt.Sprintf("%d %s", i, hostile)})
	}
	done, err = checks.SetCheck(t.Context(), check)
	ok(t, err)
	same(t, "the check's id", done.ID, check.ID)
	runs, err := checks.CheckRuns(t.Context(), p.Head.Commit)
	ok(t, err)
	if len(runs) != 1 {
		t.Fatalf("%+v", runs)
	}
	got := runs[0]
	if !got.Completed.Equal(check.Completed) || got.ID != check.ID || got.ExternalID != "run-1" || got.State != forge.CheckCompleted || got.Conclusion != forge.CheckFailure ||
		got.Title != check.Title || got.Summary != check.Summary || got.Text != check.Text || got.URL != check.URL {
		t.Errorf("%+v", got)
	}
	notes, err := checks.Annotations(t.Context(), check.ID)
	ok(t, err)
	if !slices.Equal(notes, check.Annotations) {
		t.Errorf("%d annotations: %+v", len(notes), notes[:min(2, len(notes))])
	}
	_, err = checks.SetCheck(t.Context(), forge.Check{Name: "x", Commit: unknown, State: forge.CheckQueued})
	wants(t, err, forge.ErrInvalid, forge.ErrNotFound)
	if denied, is := w.Contributor.(forge.Checks); is {
		_, err = denied.SetCheck(t.Context(), forge.Check{Name: "x", Commit: p.Head.Commit, State: forge.CheckQueued})
		wants(t, err, forge.ErrForbidden, forge.ErrNotFound)
	}
}

func testProtection(t *testing.T, w *world) {
	protections := capability[forge.Protections](t, w, w.Maintainer, Protections)
	_, err := protections.Protection(t.Context(), "prod")
	wants(t, err, forge.ErrNotFound)
	want := forge.Protection{Statuses: []string{"hubship/plan", "hubship/policy"}, UpToDate: true, Approvals: 1, DismissStale: true, Admins: true}
	ok(t, protections.Protect(t.Context(), "prod", want))
	got, err := protections.Protection(t.Context(), "prod")
	ok(t, err)
	got.Beyond = nil // what else a forge knows
	same(t, "protection", fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want))
	w.commit("sneak", "Sneak in", map[string]*string{"a.yaml": text("x\n")})
	before, err := w.Maintainer.Branch(t.Context(), "prod")
	ok(t, err)
	for _, refspec := range []string{"sneak:refs/heads/prod", "+sneak:refs/heads/prod", ":refs/heads/prod"} {
		if out, err := w.try(w.Maintainer, w.tree, "push", w.remote(w.Maintainer).URL, refspec); err == nil {
			t.Errorf("push %s to a protected branch: %s", refspec, out)
		}
	}
	after, err := w.Maintainer.Branch(t.Context(), "prod")
	ok(t, err)
	same(t, "prod", after, before)
	w.git(w.Maintainer, w.tree, "push", "--quiet", w.remote(w.Maintainer).URL, "sneak:refs/heads/free")
	// It can be changed as well.
	want = forge.Protection{Approvals: 2}
	ok(t, protections.Protect(t.Context(), "prod", want))
	got, err = protections.Protection(t.Context(), "prod")
	ok(t, err)
	got.Beyond = nil // what else a forge knows
	same(t, "protection", fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want))
}

func testRequiredStatuses(t *testing.T, w *world) {
	protections := capability[forge.Protections](t, w, w.Maintainer, Protections)
	p := w.propose("numpy")
	w.mergeable(p.Number)
	ok(t, protections.Protect(t.Context(), "staging", forge.Protection{Statuses: []string{"hubship/plan"}, Approvals: 1, Admins: true}))
	merge := func() error {
		_, err := w.Maintainer.Merge(t.Context(), p.Number, forge.Merge{Head: p.Head.Commit})
		return err
	}
	set := func(state string) {
		ok(t, w.Maintainer.SetStatus(t.Context(), p.Head.Commit, forge.Status{Context: "hubship/plan", State: state}))
	}
	review := func(state string) {
		_, err := w.Maintainer.Review(t.Context(), p.Number, forge.NewReview{State: state, Body: "x"})
		ok(t, err)
	}
	wants(t, merge(), forge.ErrConflict) // neither
	set(forge.Success)
	wants(t, merge(), forge.ErrConflict) // no review
	review(forge.Approved)
	set(forge.Failure)
	wants(t, merge(), forge.ErrConflict) // no success any more
	set(forge.Success)
	review(forge.ChangesRequested)
	wants(t, merge(), forge.ErrConflict) // no approval any more
	review(forge.Approved)
	review(forge.Commented) // which takes nothing back
	ok(t, merge())
}

func testDeployments(t *testing.T, w *world) {
	deployments := capability[forge.Deployments](t, w, w.Maintainer, Deployments)
	head, err := w.Maintainer.Branch(t.Context(), "staging")
	ok(t, err)
	id, err := deployments.StartDeployment(t.Context(), forge.Deployment{Commit: head, Environment: "staging", Description: "datahub"})
	ok(t, err)
	for _, state := range []string{forge.InProgress, forge.Success} {
		ok(t, deployments.SetDeployment(t.Context(), id, forge.DeploymentStatus{State: state, URL: "https://hubship.example/runs/1"}))
	}
	wants(t, deployments.SetDeployment(t.Context(), id+1000, forge.DeploymentStatus{State: forge.Success}), forge.ErrNotFound)
}

func testLabels(t *testing.T, w *world) {
	labels := capability[forge.Labels](t, w, w.Maintainer, Labels)
	p := w.propose("numpy")
	ok(t, labels.AddLabels(t.Context(), p.Number, "hub: data8", "a/b ü?"))
	ok(t, labels.AddLabels(t.Context(), p.Number, "hub: data8"))
	now, err := w.Contributor.PullRequest(t.Context(), p.Number)
	ok(t, err)
	slices.Sort(now.Labels)
	if !slices.Equal(now.Labels, []string{"a/b ü?", "hub: data8"}) {
		t.Errorf("%q", now.Labels)
	}
	ok(t, labels.RemoveLabel(t.Context(), p.Number, "a/b ü?"))
	ok(t, labels.RemoveLabel(t.Context(), p.Number, "a/b ü?"))
	now, err = w.Contributor.PullRequest(t.Context(), p.Number)
	ok(t, err)
	if !slices.Equal(now.Labels, []string{"hub: data8"}) {
		t.Errorf("%q", now.Labels)
	}
	wants(t, labels.RemoveLabel(t.Context(), 4711, "x"), forge.ErrNotFound)
}

// testForks asks for a fork that is there, which is brought up to date.
func testForks(t *testing.T, w *world) {
	forks := capability[forge.Forks](t, w, w.Contributor, Forks)
	p := w.propose("numpy")
	merged, err := w.Maintainer.Merge(t.Context(), p.Number, forge.Merge{Head: p.Head.Commit})
	ok(t, err)
	for range 2 {
		got, err := forks.Fork(t.Context(), "staging")
		ok(t, err)
		if want := w.Fork.Repository(); got != want {
			t.Errorf("the fork is %s, want %s", got, want)
		}
		at, err := w.Fork.Branch(t.Context(), "staging")
		ok(t, err)
		if at != merged {
			t.Errorf("its branch is at %s, want %s", at, merged)
		}
	}
	if _, err := forks.Fork(t.Context(), "nothing"); !errors.Is(err, forge.ErrNotFound) {
		t.Errorf("of a branch that is not there: %v", err)
	}
}
