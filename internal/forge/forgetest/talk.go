package forgetest

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/hubship/hubship/internal/forge"
)

// unknown is the id of no commit.
const unknown = "1234567890123456789012345678901234567890"

func testReviews(t *testing.T, w *world) {
	p := w.propose("numpy")
	_, err := w.Contributor.Review(t.Context(), p.Number, forge.NewReview{State: forge.Approved})
	wants(t, err, forge.ErrInvalid)
	_, err = w.Contributor.Review(t.Context(), p.Number, forge.NewReview{State: forge.ChangesRequested, Body: "no"})
	wants(t, err, forge.ErrInvalid)
	_, err = w.Maintainer.Review(t.Context(), p.Number, forge.NewReview{State: forge.ChangesRequested})
	wants(t, err, forge.ErrInvalid)
	states := []string{forge.Commented, forge.ChangesRequested, forge.Approved}
	for _, state := range states {
		r, err := w.Maintainer.Review(t.Context(), p.Number, forge.NewReview{State: state, Body: "About " + state + hostile, Commit: p.Head.Commit})
		ok(t, err)
		if r.ID == 0 || r.State != state || r.Author != w.login(w.Maintainer) || r.Body != "About "+state+hostile || r.Commit != p.Head.Commit || time.Since(r.Submitted) > time.Hour {
			t.Errorf("%+v", r)
		}
	}
	got, err := w.Contributor.Reviews(t.Context(), p.Number)
	ok(t, err)
	if len(got) != len(states) {
		t.Fatalf("%+v", got)
	}
	for i, r := range got {
		same(t, "state", r.State, states[i])
	}
	// A push leaves the review with the commit that was looked at.
	w.commit("numpy", "More", map[string]*string{"more.yaml": text("x\n")})
	w.push("numpy")
	got, err = w.Maintainer.Reviews(t.Context(), p.Number)
	ok(t, err)
	same(t, "the approved commit", got[2].Commit, p.Head.Commit)
	if v := forge.Verdicts(got); len(v) != 1 || v[0].State != forge.Approved {
		t.Errorf("%+v", v)
	}
	now, err := w.Maintainer.Review(t.Context(), p.Number, forge.NewReview{State: forge.Approved})
	ok(t, err)
	same(t, "the commit approved without naming it", now.Commit, w.git(w.Fork, w.tree, "rev-parse", "numpy"))
}

func testRequests(t *testing.T, w *world) {
	p := w.propose("numpy")
	ok(t, w.Maintainer.RequestReview(t.Context(), p.Number, w.login(w.Maintainer)))
	ok(t, w.Maintainer.RequestReview(t.Context(), p.Number, w.login(w.Maintainer)))
	wants(t, w.Maintainer.RequestReview(t.Context(), p.Number, w.login(w.Contributor)), forge.ErrInvalid)
	wants(t, w.Maintainer.RequestReview(t.Context(), p.Number, "nobody-of-this-name"), forge.ErrInvalid)
}

func testComments(t *testing.T, w *world) {
	p := w.propose("numpy")
	const n = 105 // more than a page
	var first forge.Comment
	for i := range n {
		c, err := w.Maintainer.Comment(t.Context(), p.Number, fmt.Sprintf("%d %s", i, hostile))
		ok(t, err)
		if i == 0 {
			first = c
		}
	}
	if first.ID == 0 || first.Author != w.login(w.Maintainer) || first.URL == "" || time.Since(first.Created) > time.Hour {
		t.Errorf("%+v", first)
	}
	edited, err := w.Maintainer.EditComment(t.Context(), first.ID, "edited")
	ok(t, err)
	same(t, "edited comment", edited.ID, first.ID)
	same(t, "edited text", edited.Body, "edited")
	got, err := w.Contributor.Comments(t.Context(), p.Number)
	ok(t, err)
	if len(got) != n || got[0].Body != "edited" || got[1].Body != "1 "+hostile || got[n-1].Body != fmt.Sprintf("%d %s", n-1, hostile) {
		t.Errorf("%d comments: %+v", len(got), got[:min(2, len(got))])
	}
	_, err = w.Contributor.EditComment(t.Context(), first.ID, "mine now")
	wants(t, err, forge.ErrForbidden, forge.ErrNotFound)
	_, err = w.Maintainer.EditComment(t.Context(), first.ID+1_000_000, "x")
	wants(t, err, forge.ErrNotFound)
	_, err = w.Contributor.Comment(t.Context(), p.Number, "")
	wants(t, err, forge.ErrInvalid)
	long := strings.Repeat("ü", forge.MaxBody)
	c, err := w.Contributor.Comment(t.Context(), p.Number, long)
	ok(t, err)
	same(t, "length of the longest comment", utf8.RuneCountInString(c.Body), forge.MaxBody)
	_, err = w.Contributor.Comment(t.Context(), p.Number, long+"ü")
	wants(t, err, forge.ErrInvalid)
}

func testStatuses(t *testing.T, w *world) {
	p := w.propose("numpy")
	set := func(context, state, description string) {
		t.Helper()
		ok(t, w.Maintainer.SetStatus(t.Context(), p.Head.Commit, forge.Status{Context: context, State: state, Description: description, URL: "https://hubship.example/runs/1"}))
	}
	none, err := w.Maintainer.Statuses(t.Context(), p.Head.Commit)
	ok(t, err)
	same(t, "number of statuses", len(none), 0)
	set("hubship/tests", forge.Pending, "")
	set("hubship/plan", forge.Pending, "planning")
	set("hubship/plan", forge.Success, strings.Repeat("long ", 100))
	set("hubship/images", forge.Errored, hostile)
	set("hubship/tests", forge.Failure, "2 of 3")
	got, err := w.Contributor.Statuses(t.Context(), p.Head.Commit)
	ok(t, err)
	if len(got) != 3 {
		t.Fatalf("%+v", got)
	}
	for i, want := range []forge.Status{
		{Context: "hubship/images", State: forge.Errored, Description: hostile},
		{Context: "hubship/plan", State: forge.Success, Description: forge.Shorten(strings.Repeat("long ", 100), forge.MaxDescription)},
		{Context: "hubship/tests", State: forge.Failure, Description: "2 of 3"},
	} {
		if time.Since(got[i].Updated) > time.Hour {
			t.Errorf("%+v", got[i])
		}
		want.URL, got[i].Updated = "https://hubship.example/runs/1", time.Time{}
		same(t, want.Context, got[i], want)
	}
	for i := range 110 { // more than a page
		set(fmt.Sprintf("many/%03d", i), forge.Success, "")
	}
	got, err = w.Maintainer.Statuses(t.Context(), p.Head.Commit)
	ok(t, err)
	same(t, "number of statuses", len(got), 113)
	err = w.Maintainer.SetStatus(t.Context(), unknown, forge.Status{Context: "x", State: forge.Success})
	wants(t, err, forge.ErrInvalid, forge.ErrNotFound)
}

func testNotThere(t *testing.T, w *world) {
	const number = 4711
	_, err := w.Contributor.PullRequest(t.Context(), number)
	wants(t, err, forge.ErrNotFound)
	_, err = w.Contributor.Files(t.Context(), number)
	wants(t, err, forge.ErrNotFound)
	_, err = w.Contributor.Commits(t.Context(), number)
	wants(t, err, forge.ErrNotFound)
	_, err = w.Contributor.Comments(t.Context(), number)
	wants(t, err, forge.ErrNotFound)
	_, err = w.Contributor.Reviews(t.Context(), number)
	wants(t, err, forge.ErrNotFound)
	_, err = w.Contributor.Comment(t.Context(), number, "x")
	wants(t, err, forge.ErrNotFound)
	_, err = w.Maintainer.Merge(t.Context(), number, forge.Merge{Head: unknown})
	wants(t, err, forge.ErrNotFound)
	_, err = w.Maintainer.Review(t.Context(), number, forge.NewReview{State: forge.Approved})
	wants(t, err, forge.ErrNotFound)
	_, err = w.Contributor.Branch(t.Context(), "no/such-branch")
	wants(t, err, forge.ErrNotFound)
	_, err = w.Maintainer.Permission(t.Context(), "nobody-of-this-name")
	wants(t, err, forge.ErrNotFound)
}

func testNotAllowed(t *testing.T, w *world) {
	p := w.propose("numpy")
	denied := []error{forge.ErrForbidden, forge.ErrNotFound}
	wants(t, w.Contributor.SetStatus(t.Context(), p.Head.Commit, forge.Status{Context: "hubship/plan", State: forge.Success}), denied...)
	got, err := w.Maintainer.Statuses(t.Context(), p.Head.Commit)
	ok(t, err)
	same(t, "number of statuses", len(got), 0)
	for _, branch := range []string{"staging", "prod", "new"} {
		if out, err := w.try(w.Contributor, w.tree, "push", w.remote(w.Contributor).URL, "numpy:refs/heads/"+branch); err == nil {
			t.Errorf("a contributor pushed to %s: %s", branch, out)
		}
	}
	// What somebody else opened is not the contributor's to change.
	w.git(w.Maintainer, w.tree, "push", "--quiet", w.remote(w.Maintainer).URL, "numpy:refs/heads/theirs")
	other, err := w.Maintainer.Open(t.Context(), forge.NewPullRequest{Title: "Theirs", Head: "theirs", Base: "prod"})
	ok(t, err)
	same(t, "from a fork", other.FromFork(), false)
	closed := forge.Closed
	_, err = w.Contributor.Update(t.Context(), other.Number, forge.Change{State: &closed})
	wants(t, err, denied...)
}
