package host

import (
	"errors"
	"io/fs"
	"os/exec"
	"strings"
	"testing"

	"github.com/hubship/hubship/devforge/internal/store"
	"github.com/hubship/hubship/internal/git"
)

// deciding makes a bench whose staging leaves a file to maintainers, and takes
// merges that are green.
func deciding(t *testing.T) (b *bench, green func(p store.Pull)) {
	t.Helper()
	b = newBench(t)
	b.put(t, b.repo, "staging", "process", "approvals: 2\n")
	if _, err := b.Sync(t.Context(), b.fork, "staging", b.ada); err != nil {
		t.Fatal(err)
	}
	b.protect(t, "staging", Protection{EnforceAdmins: true, Maintained: []string{"process"}, Checks: &RequiredChecks{Contexts: []string{"hubship/process"}, Merge: true}})
	return b, func(p store.Pull) {
		t.Helper()
		s := store.Status{Repository: b.repo.ID, SHA: p.HeadSHA, Creator: b.ben.ID, Context: "hubship/process", State: "success", BaseRef: p.BaseRef, BaseSHA: p.TestBase}
		if _, err := b.Store.AddStatus(t.Context(), &s, false); err != nil {
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
	green(p) // it leaves the process alone
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
	b.put(t, b.fork, "x", "notes", "a note\n")
	b.put(t, b.fork, "x", "process", "approvals: 0\n")
	b.put(t, b.repo, "staging", "process", "approvals: 0\n") // a maintainer's
	p, err := b.OpenPull(ctx, b.repo, b.ada, NewPull{Title: "A note", Base: "staging", Head: "ada:x"})
	if err != nil {
		t.Fatal(err)
	}
	green(p)                                                 // it alters nothing
	b.put(t, b.repo, "staging", "process", "approvals: 2\n") // taken back
	if _, err := b.Merge(ctx, b.repo, p.Number, b.ben, MergeOptions{}); !errors.Is(err, ErrNotMergeable) || !strings.Contains(err.Error(), "has not been checked yet") {
		t.Errorf("merged by a reviewer: %v", err)
	}
	if got := b.process(t); got != "approvals: 2\n" {
		t.Errorf("the process is %q now", got)
	}
	if p, err = b.Look(ctx, b.repo, p.Number); err != nil {
		t.Fatal(err)
	}
	green(p) // as a maintainer approved
	if _, err := b.Merge(ctx, b.repo, p.Number, b.ben, MergeOptions{}); err != nil {
		t.Errorf("merged as it was checked: %v", err)
	}
}

// Statuses that are required of a merge let nothing in that was not checked as it
// is: neither by those of the commit into another branch, nor of the commit alone,
// nor of a check run.
func TestMergedAsChecked(t *testing.T) {
	b, green := deciding(t)
	ctx := t.Context()
	p := b.propose(t, "x")
	refused := func(what string) {
		t.Helper()
		_, err := b.Merge(ctx, b.repo, p.Number, b.ben, MergeOptions{})
		if !errors.Is(err, ErrNotMergeable) || !strings.Contains(err.Error(), "has not been checked yet") {
			t.Errorf("%s: %v", what, err)
		}
	}
	other := p
	other.BaseRef = "prod"
	green(other)
	refused("green into another branch")
	other = p
	other.BaseRef, other.TestBase = "", ""
	green(other)
	refused("green as a commit")
	if err := b.Store.AddCheck(ctx, &store.Check{Repository: b.repo.ID, SHA: p.HeadSHA, Name: "hubship/process", Status: "completed", Conclusion: "success", Creator: b.ben.ID}); err != nil {
		t.Fatal(err)
	}
	refused("green by a check run")
	green(p)
	b.put(t, b.repo, "staging", "other", "1")
	refused("the base moved")
	p, err := b.Look(ctx, b.repo, p.Number)
	if err != nil {
		t.Fatal(err)
	}
	green(p)
	if _, err := b.Merge(ctx, b.repo, p.Number, b.ben, MergeOptions{}); err != nil {
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

// Where a branch may be pushed to, a reviewer changes its files there, but for
// those that are left to maintainers.
func TestMaintainedFiles(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	mia := b.account(t, "mia", store.Maintainer)
	old := b.put(t, b.repo, "staging", "process", "approvals: 2\n")
	b.protect(t, "staging", Protection{AllowPush: true, AllowDeletions: true, Reviews: &RequiredReviews{Count: 1}, Maintained: []string{"process", "hubs/*/where"}})
	g, err := b.Git(b.repo)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		by   store.Account
		file string
		says string // empty for a push that is taken
	}{
		{b.ben, "README", ""}, {b.ben, "hubs/math/values", ""}, {b.ben, "sub/process", ""},
		{b.ben, "process", "only maintainers decide about (process)"}, {b.ben, "hubs/math/where", "only maintainers decide about (hubs/math/where)"},
		{mia, "process", ""}, {mia, "hubs/math/where", ""},
	} {
		id, err := g.FilesCommit(ctx, old, map[string][]byte{c.file: []byte(c.by.Login + "\n")}, nil, "Change", git.Identity{Name: "A", Email: "a@example.org"})
		if err != nil {
			t.Fatal(err)
		}
		refused, err := b.Push(ctx, b.repo, c.by, []RefMove{{"refs/heads/staging", old, id}})
		if err != nil {
			t.Fatal(err)
		}
		if got := refused["refs/heads/staging"]; (got == "") != (c.says == "") || !strings.Contains(got, c.says) {
			t.Errorf("%s pushes %s: %q, want %q", c.by.Login, c.file, got, c.says)
		}
		if c.says == "" {
			old = id
		}
	}
	b.put(t, b.repo, "other", "other", "1")
	b.protect(t, "other", Protection{AllowDeletions: true, AllowPush: true, Maintained: []string{"process"}})
	head, err := g.Head(ctx, "other")
	if err != nil {
		t.Fatal(err)
	}
	if refused, err := b.Push(ctx, b.repo, b.ben, []RefMove{{"refs/heads/other", head, ""}}); err != nil || len(refused) == 0 {
		t.Errorf("a reviewer removes the files with their branch: %v, %v", refused, err)
	}
}
