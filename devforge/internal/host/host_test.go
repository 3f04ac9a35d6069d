package host

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/hubship/hubship/devforge/internal/store"
	"github.com/hubship/hubship/internal/git"
)

// bench is a host with an organization's repository, a fork of it by ada, and
// the accounts ada (contributor) and ben (reviewer).
type bench struct {
	*Host
	dir        string
	repo, fork store.Repository
	ada, ben   store.Account

	mu     sync.Mutex
	events []Event
}

// told counts the events so far.
func (b *bench) told() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.events)
}

var somebody = git.Identity{Name: "A", Email: "a@example.org"}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{dir: t.TempDir()}
	b.start(t)
	ctx := t.Context()
	make := func(n store.NewAccount) store.Account {
		a, err := b.Store.CreateAccount(ctx, n)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	org := make(store.NewAccount{Login: "hub", Kind: store.Organization})
	b.ada, b.ben = make(store.NewAccount{Login: "ada"}), make(store.NewAccount{Login: "ben", Role: store.Reviewer})
	var err error
	if b.repo, err = b.CreateRepository(ctx, org, NewRepository{Name: "deployment", DefaultBranch: "staging"}); err != nil {
		t.Fatal(err)
	}
	b.put(t, b.repo, "staging", "README.md", "1")
	if b.fork, err = b.Fork(ctx, b.repo, b.ada, ""); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bench) start(t *testing.T) {
	t.Helper()
	var err error
	if b.Host, err = Open(context.WithoutCancel(t.Context()), Options{Root: filepath.Join(b.dir, "git"), Database: filepath.Join(b.dir, "forge.db")}); err != nil {
		t.Fatal(err)
	}
	b.Subscribe(func(_ context.Context, e Event) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.events = append(b.events, e)
	})
	t.Cleanup(func() { _ = b.Close() })
}

// put commits a file on a branch, made from the default branch if it is new.
func (b *bench) put(t *testing.T, repo store.Repository, branch, name, content string) string {
	t.Helper()
	g, err := b.Git(repo)
	if err != nil {
		t.Fatal(err)
	}
	head, err := g.Head(t.Context(), branch)
	if err != nil {
		t.Fatal(err)
	}
	if start, _ := g.Head(t.Context(), repo.DefaultBranch); head == "" && start != "" {
		if err := g.SetBranch(t.Context(), branch, start, ""); err != nil {
			t.Fatal(err)
		}
		head = start
	}
	id, err := g.CommitFiles(t.Context(), branch, head, map[string][]byte{name: []byte(content)}, nil, "Change "+name, somebody)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (b *bench) propose(t *testing.T, branch string) store.Pull {
	t.Helper()
	b.put(t, b.fork, branch, branch, "x")
	p, err := b.OpenPull(t.Context(), b.repo, b.ada, NewPull{Title: "Add " + branch, Base: "staging", Head: "ada:" + branch})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A process that ends between the move of the branch and the note of it leaves
// a pull request that the next look finds merged, by whom and as what it was.
func TestMergeCutOff(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	for _, method := range []string{"merge", "squash", "rebase"} {
		p := b.propose(t, method)
		g, err := b.Git(b.repo)
		if err != nil {
			t.Fatal(err)
		}
		commit, err := b.mergeCommit(ctx, b.repo, g, p, b.ben, MergeOptions{Method: method})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Store.EditPull(ctx, b.repo.ID, p.Number, func(p *store.Pull) error {
			p.MergeSHA, p.MergedBy = commit, &b.ben.ID
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if err := g.SetRef(ctx, "refs/heads/staging", commit, p.TestBase); err != nil {
			t.Fatal(err)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		b.start(t)
		p, err = b.Look(ctx, b.repo, p.Number)
		if err != nil || p.Merged.IsZero() || p.MergeSHA != commit || *p.MergedBy != b.ben.ID {
			t.Errorf("%s: merged %v as %s, %v", method, !p.Merged.IsZero(), p.MergeSHA, err)
		}
	}
	// Before the move, it is as if nothing had been begun.
	p := b.propose(t, "again")
	if _, err := b.Store.EditPull(ctx, b.repo.ID, p.Number, func(p *store.Pull) error {
		p.MergeSHA, p.MergedBy = strings.Repeat("1", 40), &b.ben.ID
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if p, err := b.Look(ctx, b.repo, p.Number); err != nil || !p.Open() || p.MergeSHA != "" {
		t.Errorf("begun and not done: open %v, %q, %v", p.Open(), p.MergeSHA, err)
	}
	if p, err := b.Merge(ctx, b.repo, p.Number, b.ben, MergeOptions{}); err != nil || p.Merged.IsZero() {
		t.Errorf("merged then: %v", err)
	}
}

// A fork that is damaged takes nothing with it but its own pull requests.
func TestDamagedFork(t *testing.T) {
	b := newBench(t)
	p := b.propose(t, "x")
	if err := os.Rename(b.Path(b.fork), b.Path(b.fork)+".away"); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b.start(t)
	if got, err := b.Look(t.Context(), b.repo, p.Number); err != nil || !got.Open() || got.HeadSHA != p.HeadSHA {
		t.Errorf("a look: %+v, %v", got, err)
	}
	if _, err := b.Merge(t.Context(), b.repo, p.Number, b.ben, MergeOptions{}); err == nil {
		t.Error("it was merged unseen")
	}
}

// What branches do while nobody tells is found by the next look.
func TestLook(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	p := b.propose(t, "x")
	g, err := b.Git(b.repo)
	if err != nil {
		t.Fatal(err)
	}
	next := b.put(t, b.fork, "x", "more", "y")
	base := b.put(t, b.repo, "staging", "other", "z")
	p, err = b.Look(ctx, b.repo, p.Number)
	if err != nil || p.HeadSHA != next || p.BaseSHA != base || p.TestSHA == "" {
		t.Fatalf("head %s, base %s, %v", p.HeadSHA, p.BaseSHA, err)
	}
	for name, want := range map[string]string{HeadRef(1): next, MergeRef(1): p.TestSHA} {
		if ref, err := g.Ref(ctx, name); err != nil || ref.ID != want {
			t.Errorf("%s is at %s, %v", name, ref.ID, err)
		}
	}
	n := b.told()
	if again, err := b.Look(ctx, b.repo, p.Number); err != nil || again.TestSHA != p.TestSHA || b.told() != n {
		t.Errorf("a second look made %s, %d events, %v", again.TestSHA, b.told()-n, err)
	}
	b.put(t, b.repo, "staging", "x", "conflict")
	if p, err = b.Look(ctx, b.repo, p.Number); err != nil || p.TestSHA != "" {
		t.Errorf("a conflict: %q, %v", p.TestSHA, err)
	}
	if _, err := g.Ref(ctx, MergeRef(1)); !errors.Is(err, git.ErrNotFound) {
		t.Errorf("a test merge of what does not go together: %v", err)
	}
	// The head is set back into the base: nothing is left, and nothing merged.
	f, err := b.Git(b.fork)
	if err != nil {
		t.Fatal(err)
	}
	start, err := f.Head(ctx, "staging")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.SetRef(ctx, "refs/heads/x", start, next); err != nil {
		t.Fatal(err)
	}
	if p, err = b.Look(ctx, b.repo, p.Number); err != nil || p.Open() || !p.Merged.IsZero() {
		t.Errorf("open %v, merged %v, %v", p.Open(), !p.Merged.IsZero(), err)
	}
}

func TestSync(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	want := func(how, branch string) {
		t.Helper()
		if got, err := b.Sync(ctx, b.fork, branch, b.ada); err != nil || got != how {
			t.Errorf("sync of %s: %q, want %q, %v", branch, got, how, err)
		}
	}
	want("none", "staging")
	b.put(t, b.repo, "staging", "a", "1")
	want("fast-forward", "staging")
	b.put(t, b.repo, "staging", "a", "2")
	b.put(t, b.fork, "staging", "b", "1")
	want("merge", "staging")
	want("none", "staging")
	b.put(t, b.repo, "prod", "c", "1")
	want("fast-forward", "prod")
	b.put(t, b.repo, "staging", "b", "clash")
	for name, c := range map[string]struct {
		repo   store.Repository
		by     store.Account
		branch string
		kind   error
	}{
		"a conflict":        {b.fork, b.ada, "staging", ErrConflict},
		"no such branch":    {b.fork, b.ada, "nothing", ErrInvalid},
		"somebody else's":   {b.fork, b.ben, "staging", ErrForbidden},
		"no fork":           {b.repo, b.ben, "staging", ErrInvalid},
		"no name of branch": {b.fork, b.ada, "--all", ErrInvalid},
	} {
		if _, err := b.Sync(ctx, c.repo, c.branch, c.by); !errors.Is(err, c.kind) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestForks(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	if again, err := b.Fork(ctx, b.repo, b.ada, ""); err != nil || again.ID != b.fork.ID {
		t.Errorf("forked again: %d, %v", again.ID, err)
	}
	if _, err := b.Fork(ctx, b.fork, b.ada, ""); !errors.Is(err, ErrForbidden) {
		t.Errorf("a fork of one's own: %v", err)
	}
	if _, err := b.Fork(ctx, b.repo, b.ben, "../x"); !errors.Is(err, ErrInvalid) {
		t.Errorf("a name that is a path: %v", err)
	}
	// What a crash left in the place of the fork is cleared away.
	left := filepath.Join(b.dir, "git", "ben", "deployment.git")
	if err := os.MkdirAll(filepath.Join(left, "objects"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Fork(ctx, b.repo, b.ben, ""); err != nil {
		t.Error(err)
	}
}

// A pull request that is pointed elsewhere while it is merged is not merged
// into where nobody allowed it.
func TestMergeAndNewBase(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	g, err := b.Git(b.repo)
	if err != nil {
		t.Fatal(err)
	}
	start, err := g.Head(ctx, "staging")
	if err != nil {
		t.Fatal(err)
	}
	if err := g.SetBranch(ctx, "prod", start, ""); err != nil {
		t.Fatal(err)
	}
	if err := b.SetProtection(ctx, b.repo, "prod", &Protection{Lock: true}); err != nil {
		t.Fatal(err)
	}
	p := b.propose(t, "x")
	done := make(chan error, 1)
	go func() {
		for range 200 {
			for _, base := range []string{"prod", "staging"} {
				if _, err := b.EditPull(ctx, b.repo, p.Number, func(p *store.Pull) error {
					if p.Open() {
						p.BaseRef = base
					}
					return nil
				}); err != nil {
					done <- err
					return
				}
			}
		}
		done <- nil
	}()
	for range 50 {
		if _, err := b.Merge(ctx, b.repo, p.Number, b.ben, MergeOptions{}); err != nil && !errors.Is(err, ErrConflict) && !errors.Is(err, ErrNotMergeable) {
			t.Error(err)
		}
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if _, err := b.Merge(ctx, b.repo, p.Number, b.ben, MergeOptions{}); err != nil && !errors.Is(err, ErrNotMergeable) {
		t.Error(err)
	}
	if head, err := g.Head(ctx, "prod"); err != nil || head != start {
		t.Errorf("prod moved to %s, %v", head, err)
	}
	if p, err = b.Look(ctx, b.repo, p.Number); err != nil || p.Merged.IsZero() || p.BaseRef != "staging" {
		t.Errorf("merged %v into %s, %v", !p.Merged.IsZero(), p.BaseRef, err)
	}
}
