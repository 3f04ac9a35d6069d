package git

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func run(t *testing.T, r *Repo, args ...string) string {
	t.Helper()
	out, err := exec.Command("git", append([]string{"-C", r.Dir()}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// A fork loses nothing when the repository that it borrows from forgets a
// commit and collects garbage, as hard as git can.
func TestForkOutlivesGarbageCollection(t *testing.T) {
	dir := t.TempDir()
	r, err := Init(t.Context(), filepath.Join(dir, "a.git"), InitOptions{Bare: true, DefaultBranch: "staging"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	first := commit(t, r, "staging", "first", map[string]string{"a": "1"}, nil)
	second := commit(t, r, "staging", first, map[string]string{"a": "2"}, nil)
	fork, err := r.Fork(t.Context(), filepath.Join(dir, "b", "a.git"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = fork.Close() }()
	if packs, _ := filepath.Glob(filepath.Join(fork.Dir(), "objects", "[0-9a-f][0-9a-f]", "*")); len(packs) != 0 {
		t.Errorf("the fork copied %v", packs)
	}
	if err := r.SetRef(t.Context(), "refs/heads/staging", first, second); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"reflog", "expire", "--expire=now", "--all"}, {"gc", "--quiet", "--prune=now"}, {"gc", "--auto"}} {
		run(t, r, args...)
	}
	for _, args := range [][]string{{"prune", "--expire=now"}, {"repack", "-a", "-d"}} {
		if out, err := exec.Command("git", append([]string{"-C", r.Dir()}, args...)...).CombinedOutput(); err == nil {
			t.Errorf("git %v went through: %s", args, out)
		}
	}
	run(t, fork, "gc", "--quiet", "--prune=now")
	run(t, fork, "fsck", "--full", "--strict")
	if head, err := fork.Head(t.Context(), "staging"); err != nil || head != second {
		t.Errorf("the fork is at %s, %v", head, err)
	}
	// Both may be moved together.
	moved := filepath.Join(t.TempDir(), "moved")
	if err := os.Rename(dir, moved); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("git", "-C", filepath.Join(moved, "b", "a.git"), "fsck", "--full").CombinedOutput(); err != nil {
		t.Errorf("after a move: %v\n%s", err, out)
	}
}

func TestForksOfForksEnd(t *testing.T) {
	dir := t.TempDir()
	r, err := Init(t.Context(), filepath.Join(dir, "0.git"), InitOptions{Bare: true, DefaultBranch: "staging"})
	if err != nil {
		t.Fatal(err)
	}
	id := commit(t, r, "staging", "first", map[string]string{"a": "1"}, nil)
	for i := 1; ; i++ {
		next, err := r.Fork(t.Context(), filepath.Join(dir, fmt.Sprintf("%d.git", i)))
		_ = r.Close()
		if err != nil {
			if i != maxBorrow+1 {
				t.Errorf("fork %d: %v", i, err)
			}
			return
		}
		run(t, next, "fsck", "--full")
		if head, err := next.Head(t.Context(), "staging"); err != nil || head != id {
			t.Fatalf("fork %d is at %q, %v", i, head, err)
		}
		r = next
	}
}

func TestCopyObjects(t *testing.T) {
	a, b := newRepo(t), newRepo(t)
	first := commit(t, a, "staging", "first", map[string]string{"a": "1"}, nil)
	second := commit(t, a, "staging", first, map[string]string{"a": "2", "b": "x"}, nil)
	if err := b.CopyObjects(t.Context(), a, first); err != nil {
		t.Fatal(err)
	}
	if err := b.SetRef(t.Context(), "refs/heads/staging", first, ""); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(b.CopyObjects(t.Context(), a, second), b.CopyObjects(t.Context(), a, second)); err != nil {
		t.Fatal(err)
	}
	if err := b.SetRef(t.Context(), "refs/pull/1/head", second, ""); err != nil {
		t.Fatal(err)
	}
	run(t, b, "fsck", "--full", "--strict")
	if err := b.CopyObjects(t.Context(), a, strings.Repeat("1", 40)); !errors.Is(err, ErrNotFound) {
		t.Errorf("a commit that is nowhere: %v", err)
	}
}

func TestRefs(t *testing.T) {
	r := newRepo(t)
	ctx := t.Context()
	one := commit(t, r, "staging", "first", map[string]string{"a": "1"}, nil)
	two := commit(t, r, "staging", one, map[string]string{"a": "2"}, nil)
	if err := r.SetRef(ctx, "refs/pull/1/head", one, ""); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"made twice":             r.SetRef(ctx, "refs/pull/1/head", two, ""),
		"expected elsewhere":     r.SetRef(ctx, "refs/pull/1/head", two, two),
		"deleted from elsewhere": r.DeleteRef(ctx, "refs/pull/1/head", two),
	} {
		if !errors.Is(err, ErrMoved) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"HEAD", "refs/x", "refs/heads/../x", "-d", "refs/heads/a b", "refs/heads/*", "refs/heads/a.lock"} {
		if err := r.SetRef(ctx, name, one, ""); err == nil {
			t.Errorf("%q was taken", name)
		}
	}
	if err := errors.Join(r.SetRef(ctx, "refs/pull/1/head", two, one), r.DeleteRef(ctx, "refs/pull/1/head", two)); err != nil {
		t.Error(err)
	}
	if _, err := r.Ref(ctx, "refs/pull/1/head"); !errors.Is(err, ErrNotFound) {
		t.Errorf("after the end: %v", err)
	}
	if ahead, behind, err := r.AheadBehind(ctx, two, one); err != nil || ahead != 0 || behind != 1 {
		t.Errorf("%d ahead, %d behind, %v", ahead, behind, err)
	}
}

func TestChanges(t *testing.T) {
	r := newRepo(t)
	ctx := t.Context()
	long := strings.Repeat("line\n", 20)
	one := commit(t, r, "staging", "first", map[string]string{"keep": "1\n", "gone": "x\n", "old name": long, "binary": "a\x00b", "tricky": "a\n"}, nil)
	two := commit(t, r, "staging", one, map[string]string{"keep": "1\n2\n", "new\tname": long + "more\n", "binary": "a\x00c", "tricky": "diff --git a/x b/x\n-- a\n", "é": "e\n"}, nil)
	// The helper replaces or keeps; removal is by a commit of its own.
	two, err := r.CommitFiles(ctx, "staging", two, map[string][]byte{"gone": nil, "old name": nil}, nil, "Remove", Identity{Name: "A", Email: "a@example.org"})
	if err != nil {
		t.Fatal(err)
	}
	files, err := r.Changes(ctx, one, two)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range files {
		got = append(got, fmt.Sprintf("%s %q %q +%d -%d %v %q", f.Status, f.Path, f.Previous, f.Additions, f.Deletions, f.Binary, f.Patch))
	}
	want := []string{
		`modified "binary" "" +0 -0 true ""`,
		`removed "gone" "" +0 -1 false "@@ -1 +0,0 @@\n-x"`,
		`modified "keep" "" +1 -0 false "@@ -1 +1,2 @@\n 1\n+2"`,
		`renamed "new\tname" "old name" +1 -0 false "@@ -18,3 +18,4 @@ line\n line\n line\n line\n+more"`,
		`modified "tricky" "" +2 -1 false "@@ -1 +1,2 @@\n-a\n+diff --git a/x b/x\n+-- a"`,
		`added "é" "" +1 -0 false "@@ -0,0 +1 @@\n+e"`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("changes:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if files, err := r.Changes(ctx, "", one); err != nil || len(files) != 5 {
		t.Errorf("of the first commit: %d, %v", len(files), err)
	}
}

func TestRebaseAndSquash(t *testing.T) {
	r := newRepo(t)
	ctx := t.Context()
	by := Identity{Name: "M", Email: "m@example.org"}
	root := commit(t, r, "staging", "first", map[string]string{"a": "1\n"}, nil)
	if err := r.SetBranch(ctx, "topic", root, ""); err != nil {
		t.Fatal(err)
	}
	t1 := commit(t, r, "topic", root, map[string]string{"b": "1\n"}, nil)
	t2 := commit(t, r, "topic", t1, map[string]string{"b": "2\n"}, nil)
	base := commit(t, r, "staging", root, map[string]string{"c": "1\n"}, nil)
	id, err := r.RebaseCommits(ctx, base, t2, by)
	if err != nil {
		t.Fatal(err)
	}
	list, err := r.Details(ctx, id, DetailOptions{Base: base})
	if err != nil || len(list) != 2 || list[1].Parents[0] != base || list[0].Committer.Name != "M" || list[0].Author.Name == "M" {
		t.Errorf("rebased: %+v, %v", list, err)
	}
	squashed, err := r.SquashCommit(ctx, base, t2, "All", by, by)
	if err != nil {
		t.Fatal(err)
	}
	same, err := r.TreeOf(ctx, squashed)
	if tree, treeErr := r.TreeOf(ctx, id); err != nil || treeErr != nil || tree != same {
		t.Errorf("rebase gives %s, squash %s", tree, same)
	}
	if again, err := r.RebaseCommits(ctx, id, t2, by); err != nil || again != id {
		t.Errorf("rebased again: %s, %v", again, err)
	}
	clash := commit(t, r, "staging", base, map[string]string{"b": "other\n"}, nil)
	for name, fn := range map[string]func() (string, error){
		"rebase": func() (string, error) { return r.RebaseCommits(ctx, clash, t2, by) },
		"squash": func() (string, error) { return r.SquashCommit(ctx, clash, t2, "x", by, by) },
		"merge":  func() (string, error) { return r.MergeCommit(ctx, clash, t2, "x", by) },
	} {
		if _, err := fn(); !IsConflict(err) {
			t.Errorf("%s with a conflict: %v", name, err)
		}
	}
}
