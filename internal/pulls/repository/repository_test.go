package repository

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hubship/hubship/internal/forge/forgetest/process"
	"github.com/hubship/hubship/internal/git"
	"github.com/hubship/hubship/internal/pulls"
	"github.com/hubship/hubship/internal/repo"
)

// A branch that a crash left is used again, another one is not touched.
func TestRevertBranches(t *testing.T) {
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	f := process.Start(t, process.Options{})
	g, err := git.Open(f.Path(f.Repository))
	ok(err)
	t.Cleanup(func() { _ = g.Close() })
	copied, err := git.Init(t.Context(), filepath.Join(t.TempDir(), "deployment.git"), git.InitOptions{Bare: true})
	ok(err)
	t.Cleanup(func() { _ = copied.Close() })
	r := Repository{Repository: repo.New(copied, repo.Options{}), Forge: f.Client(process.Own, f.Repository)}
	before, err := g.CommitFiles(t.Context(), "staging", "", map[string][]byte{"hub.yaml": []byte("a: 1\n")}, nil, "Begin", git.Hubship)
	ok(err)
	after, err := g.CommitFiles(t.Context(), "staging", before, map[string][]byte{"a": []byte("1\n")}, nil, "Add a", git.Hubship)
	ok(errors.Join(err, r.Fetch(t.Context())))
	q := pulls.Revert{Branch: "revert-7", Onto: after, Before: before, After: after, Message: "Take it back"}
	first, err := r.Revert(t.Context(), q)
	ok(err)
	if head, _ := g.Head(t.Context(), "revert-7"); head != first {
		t.Fatalf("the branch is at %q, want %q", head, first)
	}
	onto, err := g.CommitFiles(t.Context(), "staging", after, map[string][]byte{"b": []byte("1\n")}, nil, "Add b", git.Hubship)
	ok(errors.Join(err, r.Fetch(t.Context())))
	q.Onto = onto
	if got, err := r.Revert(t.Context(), q); err != nil || got != first {
		t.Errorf("got %s, %v; want the one that is there, %s", got, err, first)
	}
	// Merged, and the change came again.
	merged, err := g.MergeResult(t.Context(), onto, first)
	ok(err)
	ok(g.SetBranch(t.Context(), "staging", merged, onto))
	again, err := g.CommitFiles(t.Context(), "staging", merged, map[string][]byte{"a": []byte("1\n")}, nil, "Add a again", git.Hubship)
	ok(errors.Join(err, r.Fetch(t.Context())))
	q.Onto, q.Before, q.After = again, merged, again
	second, err := r.Revert(t.Context(), q)
	if head, _ := g.Head(t.Context(), "revert-7"); err != nil || head != second || second == first {
		t.Errorf("the branch is at %q, %v; want a new commit, %q", head, err, second)
	}
	ok(g.SetBranch(t.Context(), "revert-8", second, ""))
	_, err = g.CommitFiles(t.Context(), "revert-8", second, map[string][]byte{"own": []byte("work\n")}, nil, "Own work", git.Hubship)
	ok(err)
	q.Branch = "revert-8"
	if _, err := r.Revert(t.Context(), q); err == nil || !strings.Contains(err.Error(), "already exists") {
		t.Errorf("somebody's branch: %v", err)
	}
	q.Branch, q.Onto = "revert-9", before
	if _, err := r.Revert(t.Context(), q); err == nil {
		t.Error("what is not there was taken back")
	}
}
