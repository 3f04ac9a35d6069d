package host

import (
	"context"
	"errors"
	"io/fs"
	"os/exec"
	"strings"
	"testing"

	"github.com/hubship/hubship/internal/forge/local/store"
)

// deciding makes a bench whose staging says in a file how changes are shipped,
// and takes what is green.
func deciding(t *testing.T) (b *bench, green func(sha string)) {
	t.Helper()
	b = newBench(t)
	b.opts.Alters = func(ctx context.Context, repo store.Repository, branch, old, new string) (bool, string, error) {
		if repo.ID != b.repo.ID || branch != "staging" {
			return false, "", nil
		}
		g, err := b.Git(repo)
		if err != nil {
			return false, "", err
		}
		before, err := g.Tree(ctx, old)
		if err != nil {
			return false, "", err
		}
		after, err := g.Tree(ctx, new)
		if err != nil {
			return false, "", err
		}
		return before.Hash("process") != after.Hash("process"), "process", nil
	}
	b.put(t, b.repo, "staging", "process", "approvals: 2\n")
	if _, err := b.Sync(t.Context(), b.fork, "staging", b.ada); err != nil {
		t.Fatal(err)
	}
	b.protect(t, "staging", Protection{EnforceAdmins: true, Checks: &RequiredChecks{Contexts: []string{"hubship/process"}}})
	return b, func(sha string) {
		t.Helper()
		if _, err := b.Store.AddStatus(t.Context(), &store.Status{Repository: b.repo.ID, SHA: sha, Creator: b.ben.ID, Context: "hubship/process", State: "success"}); err != nil {
			t.Fatal(err)
		}
	}
}

// process is what staging says of it.
func (b *bench) process(t *testing.T) string {
	t.Helper()
	g, err := b.Git(b.repo)
	if err != nil {
		t.Fatal(err)
	}
	head, err := g.Head(t.Context(), "staging")
	if err != nil {
		t.Fatal(err)
	}
	tree, err := g.Tree(t.Context(), head)
	if err != nil {
		t.Fatal(err)
	}
	text, err := fs.ReadFile(tree.FS(), "process")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A rebase leaves merges out. A head that takes back in a merge what it alters
// before looks as if it altered nothing.
func TestRebaseBringsWhatWasChecked(t *testing.T) {
	b, green := deciding(t)
	ctx := t.Context()
	mia := b.account(t, "mia", store.Maintainer)
	start := b.put(t, b.fork, "x", "notes", "a note\n")
	loosened := b.put(t, b.fork, "x", "process", "approvals: 0\n")
	g, err := b.Git(b.fork)
	if err != nil {
		t.Fatal(err)
	}
	side := b.put(t, b.fork, "side", "more", "a note\n")
	tree, err := g.TreeOf(ctx, start) // where the process is as it was
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(ctx, "git", "-C", b.Path(b.fork), "-c", "user.name=A", "-c", "user.email=a@example.org",
		"commit-tree", "-m", "Merge side", "-p", loosened, "-p", side, tree).Output()
	if err != nil {
		t.Fatal(err)
	}
	evil := strings.TrimSpace(string(out))
	if err := g.SetRef(ctx, "refs/heads/x", evil, loosened); err != nil {
		t.Fatal(err)
	}
	p, err := b.OpenPull(ctx, b.repo, b.ada, NewPull{Title: "A note", Base: "staging", Head: "ada:x"})
	if err != nil {
		t.Fatal(err)
	}
	green(p.HeadSHA) // it leaves the process alone
	for _, by := range []store.Account{b.ben, mia} {
		if _, err := b.Merge(ctx, b.repo, p.Number, by, MergeOptions{Method: "rebase"}); !errors.Is(err, ErrNotMergeable) || !strings.Contains(err.Error(), "different files") {
			t.Errorf("rebased by %s: %v", by.Login, err)
		}
	}
	if _, err := b.Merge(ctx, b.repo, p.Number, b.ben, MergeOptions{Method: "squash"}); err != nil {
		t.Errorf("squashed: %v", err)
	}
	if got := b.process(t); got != "approvals: 2\n" {
		t.Errorf("the process is %q now", got)
	}
}

// What was judged was judged on top of the base as it was. A reviewer who is
// faster than the next look alters nothing.
func TestGreenIsOfTheBaseThatWas(t *testing.T) {
	b, green := deciding(t)
	ctx := t.Context()
	mia := b.account(t, "mia", store.Maintainer)
	b.put(t, b.fork, "x", "notes", "a note\n")
	b.put(t, b.fork, "x", "process", "approvals: 0\n")
	b.put(t, b.repo, "staging", "process", "approvals: 0\n") // a maintainer's
	p, err := b.OpenPull(ctx, b.repo, b.ada, NewPull{Title: "A note", Base: "staging", Head: "ada:x"})
	if err != nil {
		t.Fatal(err)
	}
	green(p.HeadSHA)                                         // it alters nothing
	b.put(t, b.repo, "staging", "process", "approvals: 2\n") // taken back
	if _, err := b.Merge(ctx, b.repo, p.Number, b.ben, MergeOptions{}); !errors.Is(err, ErrForbidden) {
		t.Errorf("merged by a reviewer: %v", err)
	}
	if got := b.process(t); got != "approvals: 2\n" {
		t.Errorf("the process is %q now", got)
	}
	if err := b.Store.AddReview(ctx, &store.Review{Pull: p.ID, Author: mia.ID, State: store.Approved, SHA: p.HeadSHA, Submitted: store.Now()}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Merge(ctx, b.repo, p.Number, b.ben, MergeOptions{}); err != nil {
		t.Errorf("merged as a maintainer approved: %v", err)
	}
}

// Statuses are a commit's. They let nothing in that was not checked as it is.
func TestMergedAsChecked(t *testing.T) {
	b, green := deciding(t)
	ctx := t.Context()
	checked := map[int64]string{}
	b.opts.Checked = func(_ context.Context, _ store.Repository, p store.Pull) (string, error) {
		if checked[p.Number] != p.BaseRef+p.TestBase+p.HeadSHA {
			return "not checked so", nil
		}
		return "", nil
	}
	pass := func(p store.Pull) { checked[p.Number] = p.BaseRef + p.TestBase + p.HeadSHA }
	p := b.propose(t, "x")
	green(p.HeadSHA)
	merge := func() error {
		_, err := b.Merge(ctx, b.repo, p.Number, b.ben, MergeOptions{})
		return err
	}
	if err := merge(); !errors.Is(err, ErrNotMergeable) || !strings.Contains(err.Error(), "not checked so") {
		t.Errorf("green by another pull request of the same commit: %v", err)
	}
	pass(p)
	b.put(t, b.repo, "staging", "other", "1")
	if err := merge(); !errors.Is(err, ErrNotMergeable) {
		t.Errorf("the base moved: %v", err)
	}
	p, err := b.Look(ctx, b.repo, p.Number)
	if err != nil {
		t.Fatal(err)
	}
	pass(p)
	if err := merge(); err != nil {
		t.Errorf("checked: %v", err)
	}
}

// Approvals end with the branch that they were for, whoever changes it and how:
// also one that comes in while it changes.
func TestApprovalsEndWithTheBase(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	b.put(t, b.repo, "other", "other", "1")
	b.protect(t, "other", Protection{Reviews: &RequiredReviews{Count: 1}})
	p := b.propose(t, "x")
	approve := func() {
		t.Helper()
		if err := b.Store.AddReview(ctx, &store.Review{Pull: p.ID, Author: b.ben.ID, State: store.Approved, SHA: p.HeadSHA, Submitted: store.Now()}); err != nil {
			t.Fatal(err)
		}
	}
	approve()
	calls := 0
	if _, err := b.EditPull(ctx, b.repo, p.Number, func(p *store.Pull) error {
		if calls++; calls == 2 && p.BaseRef == "other" {
			t.Error("it goes there before the approvals end")
		}
		p.BaseRef = "other"
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Merge(ctx, b.repo, p.Number, b.ben, MergeOptions{}); !errors.Is(err, ErrNotMergeable) {
		t.Errorf("merged by an approval for another branch: %v", err)
	}
	approve()
	if _, err := b.EditPull(ctx, b.repo, p.Number, func(p *store.Pull) error { p.Title = "New"; return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Merge(ctx, b.repo, p.Number, b.ben, MergeOptions{}); err != nil {
		t.Errorf("a new title ended an approval: %v", err)
	}
}
