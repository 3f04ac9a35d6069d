package git

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"testing"

	"github.com/hubship/hubship/internal/model"
)

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
