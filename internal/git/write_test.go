package git

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/hubship/hubship/internal/model"
)

// forked makes two branches that went apart.
func forked(t *testing.T) (r *Repo, staging, prod string) {
	t.Helper()
	r = newRepo(t)
	base := commit(t, r, "prod", "base", map[string]string{"a": "1\n", "b": "1\n", "c": "1\n"}, nil)
	if err := r.SetBranch(t.Context(), "staging", base, ""); err != nil {
		t.Fatal(err)
	}
	staging = commit(t, r, "staging", "new", map[string]string{"a": "2\n"}, nil)
	prod = commit(t, r, "prod", "fix", map[string]string{"b": "2\n"}, nil)
	return r, staging, prod
}

func TestMerge(t *testing.T) {
	r, staging, prod := forked(t)
	id, err := r.Merge(t.Context(), "prod", prod, staging, "Promote staging to prod\n\nbody", tester)
	if err != nil {
		t.Fatal(err)
	}
	if head, err := r.Head(t.Context(), "prod"); head != id || err != nil {
		t.Errorf("prod at %s, %v, want %s", head, err, id)
	}
	log, err := r.Log(t.Context(), "", id, 1)
	if err != nil || !slices.Equal(log[0].Parents, []string{prod, staging}) || log[0].Author != tester || log[0].Subject != "Promote staging to prod" {
		t.Errorf("merge commit %+v, %v", log, err)
	}
	tree, err := r.Tree(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"a": "2\n", "b": "2\n", "c": "1\n"} {
		if data, err := fs.ReadFile(tree.FS(), name); string(data) != want || err != nil {
			t.Errorf("%s: %q, %v", name, data, err)
		}
	}
	realGit(t, r.Dir(), "fsck", "--strict")
	if _, err := r.Merge(t.Context(), "prod", id, "staging", "again", tester); !errors.Is(err, ErrNothingToMerge) {
		t.Errorf("second merge: %v", err)
	}
}

// TestMergeNeverFastForwards promotes onto a branch that has nothing of its own.
func TestMergeNeverFastForwards(t *testing.T) {
	r := newRepo(t)
	base := commit(t, r, "prod", "base", map[string]string{"a": "1"}, nil)
	if err := r.SetBranch(t.Context(), "staging", base, ""); err != nil {
		t.Fatal(err)
	}
	next := commit(t, r, "staging", "next", map[string]string{"a": "2"}, nil)
	id, err := r.Merge(t.Context(), "prod", base, "staging", "promote", tester)
	if err != nil || id == next {
		t.Fatalf("merge %s, %v", id, err)
	}
	log, err := r.Log(t.Context(), "", id, 1)
	if err != nil || !slices.Equal(log[0].Parents, []string{base, next}) {
		t.Errorf("parents %v, %v", log, err)
	}
}

func TestMergeConflict(t *testing.T) {
	r, staging, _ := forked(t)
	prod := commit(t, r, "prod", "hotfix", map[string]string{"a": "hot\n", "with space": "1"}, nil)
	_, err := r.Merge(t.Context(), "prod", prod, "staging", "promote", tester)
	var conflict *ConflictError
	if !errors.As(err, &conflict) || !slices.Equal(conflict.Files, []string{"a"}) || model.HintOf(err) == "" {
		t.Fatalf("error %v (%+v)", err, conflict)
	}
	// A file removed on one side and changed on the other is one, too.
	gone := commit(t, r, "prod", "remove", map[string]string{"a": "<removed>"}, nil)
	if _, err := r.Merge(t.Context(), "prod", gone, staging, "promote", tester); !errors.As(err, &conflict) {
		t.Errorf("error %v", err)
	}
	if head, err := r.Head(t.Context(), "prod"); head != gone || err != nil {
		t.Errorf("prod moved to %s, %v", head, err)
	}
}

func TestMergeRefusals(t *testing.T) {
	r, staging, prod := forked(t)
	other := commit(t, r, "other", "unrelated", map[string]string{"z": "1"}, nil)
	for name, tc := range map[string]struct {
		into, expected, from, message string
		author                        Identity
		is                            error
	}{
		"moved":              {into: "prod", expected: staging, from: "staging", message: "m", author: tester, is: ErrMoved},
		"no such branch":     {into: "qa", expected: prod, from: "staging", message: "m", author: tester, is: ErrMoved},
		"expects none":       {into: "prod", expected: "", from: "staging", message: "m", author: tester, is: ErrMoved},
		"absent and none":    {into: "qa", expected: "", from: "staging", message: "m", author: tester, is: ErrNotFound},
		"no such source":     {into: "prod", expected: prod, from: "nothing", message: "m", author: tester, is: ErrNotFound},
		"unrelated":          {into: "prod", expected: prod, from: other, message: "m", author: tester},
		"empty message":      {into: "prod", expected: prod, from: "staging", message: " \n", author: tester},
		"author with header": {into: "prod", expected: prod, from: "staging", message: "m", author: Identity{Name: "A\nB", Email: "a@example.org"}},
		"no author":          {into: "prod", expected: prod, from: "staging", message: "m"},
		"bad branch":         {into: "--all", expected: prod, from: "staging", message: "m", author: tester},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := r.Merge(t.Context(), tc.into, tc.expected, tc.from, tc.message, tc.author)
			if err == nil || tc.is != nil && !errors.Is(err, tc.is) {
				t.Errorf("error %v, want %v", err, tc.is)
			}
			if head, err := r.Head(t.Context(), "prod"); head != prod || err != nil {
				t.Errorf("prod moved to %s, %v", head, err)
			}
		})
	}
}

// TestConcurrentMoves lets many writers want the same branch: each commit that
// was reported is in the history, and no other.
func TestConcurrentMoves(t *testing.T) {
	r := newRepo(t)
	commit(t, r, "staging", "base", map[string]string{"a": "0"}, nil)
	var mu sync.Mutex
	var group sync.WaitGroup
	done := 0
	for i := range 6 {
		group.Go(func() {
			head, err := r.Head(t.Context(), "staging")
			if err != nil {
				t.Error(err)
				return
			}
			_, err = r.CommitFiles(t.Context(), "staging", head, map[string][]byte{"a": []byte(fmt.Sprint(i))}, nil, fmt.Sprintf("commit %d", i), tester)
			switch {
			case err == nil:
				mu.Lock()
				done++
				mu.Unlock()
			case !errors.Is(err, ErrMoved):
				t.Error(err)
			}
		})
	}
	group.Wait()
	log, err := r.Log(t.Context(), "", "staging", 0)
	if err != nil || len(log) != done+1 || done == 0 {
		t.Errorf("%d commits for %d reported, %v", len(log), done, err)
	}
}

func TestCommitFiles(t *testing.T) {
	r := newRepo(t)
	first := commit(t, r, "staging", "first", map[string]string{"keep": "1", "drop": "1", "run": "x", "to": "keep", "d/e/f": ""},
		map[string]fs.FileMode{"run": 0o755, "to": link})
	second := commit(t, r, "staging", "second", map[string]string{"drop": "<removed>", "d/e/g": "2"}, nil)
	if got, want := realGit(t, r.Dir(), "ls-tree", "-r", "--format=%(objectmode) %(path)", second), "100644 d/e/f\n100644 d/e/g\n100644 keep\n100755 run\n120000 to"; got != want {
		t.Errorf("tree\n%s\nwant\n%s", got, want)
	}
	realGit(t, r.Dir(), "fsck", "--strict")
	_, err := r.CommitFiles(t.Context(), "staging", first, map[string][]byte{"x": {}}, nil, "late", tester)
	if !errors.Is(err, ErrMoved) || !strings.Contains(err.Error(), second[:12]) {
		t.Errorf("commit on an old parent: %v", err)
	}
	if _, err := r.CommitFiles(t.Context(), "staging", "", map[string][]byte{"x": {}}, nil, "again", tester); !errors.Is(err, ErrMoved) {
		t.Errorf("branch made twice: %v", err)
	}
	for _, bad := range []string{"", ".", "../x", "/x", "a/../b", ".git/config", "a/.GIT/hooks/x", "a//b"} {
		if _, err := r.CommitFiles(t.Context(), "staging", second, map[string][]byte{bad: {}}, nil, "bad", tester); err == nil {
			t.Errorf("path %q was accepted", bad)
		}
	}
}

func TestCheckedOutBranchStays(t *testing.T) {
	dir := t.TempDir()
	realGit(t, dir, "init", "-q", "-b", "prod")
	realGit(t, dir, "commit", "-q", "--allow-empty", "-m", "base")
	r, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	head, err := r.Head(t.Context(), "prod")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.CommitFiles(t.Context(), "prod", head, map[string][]byte{"a": {}}, nil, "m", tester); err == nil || model.HintOf(err) == "" {
		t.Errorf("a checked-out branch was moved: %v", err)
	}
	if _, err := r.CommitFiles(t.Context(), "other", "", map[string][]byte{"a": {}}, nil, "m", tester); err != nil {
		t.Error(err)
	}
}
