package git

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hubship/hubship/internal/model"
)

func commitFiles(t *testing.T, r *Repo, branch, parent string, files map[string][]byte) string {
	t.Helper()
	id, err := r.CommitFiles(t.Context(), branch, parent, files, map[string]fs.FileMode{}, "change "+fmt.Sprint(len(files)), Identity{Name: "A", Email: "a@example.org"})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestAddedLines(t *testing.T) {
	r, err := Init(t.Context(), t.TempDir(), InitOptions{Bare: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	first := commitFiles(t, r, "main", "", map[string][]byte{
		"a b.txt": []byte("one\ntwo\nthree\n"), "gone": []byte("x\n"), "skip.yaml": []byte("a\n"), "bin": {0, 1, 2},
	})
	second := commitFiles(t, r, "main", first, map[string][]byte{
		"a b.txt":  []byte("one\n+++ b/not a header\nthree\n@@ -1 +1 @@\ndiff --git a/x b/x\n"),
		"new\t\"ü": []byte("1\n2"), "skip.yaml": []byte("b\n"), "bin": {0, 1, 3}, "gone": nil,
	})
	added, err := r.AddedLines(t.Context(), first, second, "skip.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range added {
		for _, l := range f.Lines {
			got = append(got, fmt.Sprintf("%s:%d:%s", f.Path, l.Number, l.Text))
		}
	}
	want := []string{
		"a b.txt:2:+++ b/not a header", "a b.txt:4:@@ -1 +1 @@", "a b.txt:5:diff --git a/x b/x",
		"new\t\"ü:1:1", "new\t\"ü:2:2",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("added\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	all, err := r.AddedLines(t.Context(), "", second)
	if err != nil || len(all) != 3 {
		t.Errorf("%d files added to nothing, %v: %+v", len(all), err, all)
	}
	if _, err := r.AddedLines(t.Context(), first, strings.Repeat("0", 40)); err == nil {
		t.Error("a commit that does not exist was compared")
	}
}

func TestMergeResult(t *testing.T) {
	ctx := t.Context()
	r, err := Init(ctx, t.TempDir(), InitOptions{Bare: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	base := commitFiles(t, r, "main", "", map[string][]byte{"a": []byte("1\n"), "b": []byte("1\n")})
	if err := r.SetBranch(ctx, "topic", base, ""); err != nil {
		t.Fatal(err)
	}
	topic := commitFiles(t, r, "topic", base, map[string][]byte{"a": []byte("2\n")})
	if got, err := r.MergeResult(ctx, base, topic); err != nil || got != topic {
		t.Errorf("ahead: %s, %v", got, err)
	}
	if got, err := r.MergeResult(ctx, topic, base); err != nil || got != topic {
		t.Errorf("behind: %s, %v", got, err)
	}
	main := commitFiles(t, r, "main", base, map[string][]byte{"b": []byte("2\n")})
	merged, err := r.MergeResult(ctx, main, topic)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := r.Tree(ctx, merged)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b"} {
		if data, err := fs.ReadFile(tree.FS(), name); err != nil || string(data) != "2\n" {
			t.Errorf("%s: %q, %v", name, data, err)
		}
	}
	if head, err := r.Head(ctx, "main"); err != nil || head != main {
		t.Errorf("the branch moved to %s, %v", head, err)
	}
	other := commitFiles(t, r, "topic", topic, map[string][]byte{"b": []byte("3\n")})
	if _, err := r.MergeResult(ctx, main, other); !IsConflict(err) || !strings.Contains(err.Error(), "b") {
		t.Errorf("conflict: %v", err)
	}
}

func TestFind(t *testing.T) {
	ctx := t.Context()
	dir := t.TempDir()
	r, err := Init(ctx, dir, InitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := os.MkdirAll(filepath.Join(dir, "x", "y"), 0o755); err != nil {
		t.Fatal(err)
	}
	found, root, err := Find(ctx, filepath.Join(dir, "x", "y"))
	if err != nil || found.Dir() != r.Dir() || filepath.Base(root) != filepath.Base(dir) {
		t.Errorf("found %+v, %q, %v", found, root, err)
	}
	if _, err := found.Resolve(ctx, "HEAD"); err == nil || !strings.Contains(err.Error(), "no commits yet") {
		t.Errorf("unborn branch: %v", err)
	}
	if err := found.Close(); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{filepath.Join(dir, "none"), os.TempDir()} {
		if _, _, err := Find(ctx, bad); err == nil || model.HintOf(err) == "" {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestShallow(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	r, err := Init(ctx, filepath.Join(dir, "full"), InitOptions{Bare: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	first := commitFiles(t, r, "main", "", map[string][]byte{"a": []byte("1\n")})
	second := commitFiles(t, r, "main", first, map[string][]byte{"a": []byte("2\n")})
	if out, err := exec.Command("git", "clone", "-q", "--depth=1", "--bare", "file://"+r.Dir(), filepath.Join(dir, "clone")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s, err := Open(filepath.Join(dir, "clone"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if !s.Shallow() || r.Shallow() {
		t.Error("which one is shallow?")
	}
	if _, err := s.Resolve(ctx, second); err != nil {
		t.Error(err)
	}
	if _, err := s.Resolve(ctx, first); err == nil || !strings.Contains(model.HintOf(err), "unshallow") {
		t.Errorf("%v, hint %q", err, model.HintOf(err))
	}
}
