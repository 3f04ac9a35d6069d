package git

import (
	"fmt"
	"io/fs"
	"strings"
	"testing"
)

func TestTouched(t *testing.T) {
	r := newRepo(t)
	odd, hex := "new\nline", strings.Repeat("a", 40)
	put := func(branch, parent string, files map[string][]byte, modes map[string]fs.FileMode) string {
		t.Helper()
		id, err := r.CommitFiles(t.Context(), branch, parent, files, modes, "x", Identity{Name: "A", Email: "a@example.org"})
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	root := put("staging", "", map[string][]byte{"a": []byte("1"), hex: []byte("2"), "dir/b": []byte("3")}, nil)
	if err := r.SetBranch(t.Context(), "side", root, ""); err != nil {
		t.Fatal(err)
	}
	next := put("staging", root, map[string][]byte{"a": []byte("2"), hex: nil, odd: []byte("4"), "dir/b": nil, "dir/c": []byte("3")}, nil)
	link := put("staging", next, map[string][]byte{"a": []byte("dir/c")}, map[string]fs.FileMode{"a": fs.ModeSymlink})
	side := put("side", root, map[string][]byte{"side": []byte("5")}, nil)
	merge, err := r.MergeCommit(t.Context(), link, side, "merge", Identity{Name: "A", Email: "a@example.org"})
	if err != nil {
		t.Fatal(err)
	}
	details, err := r.Details(t.Context(), merge, DetailOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.Touched(t.Context(), details)
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]Touched{
		root:  {Added: []string{"a", hex, "dir/b"}},
		next:  {Added: []string{"dir/c", odd}, Removed: []string{hex, "dir/b"}, Modified: []string{"a"}},
		link:  {Modified: []string{"a"}},
		side:  {Added: []string{"side"}},
		merge: {Added: []string{"side"}},
	} {
		if fmt.Sprintf("%q", got[id]) != fmt.Sprintf("%q", want) {
			t.Errorf("%s: %q, want %q", short(id), got[id], want)
		}
	}
	if none, err := r.Touched(t.Context(), nil); err != nil || len(none) != 0 {
		t.Errorf("of nothing: %v, %v", none, err)
	}
	if got, err := r.Touched(t.Context(), []Detail{{ID: strings.Repeat("1", 40)}, details[0]}); err != nil || len(got) != 1 {
		t.Errorf("with an unknown commit: %v, %v", got, err)
	}
}
