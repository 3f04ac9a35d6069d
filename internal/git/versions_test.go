package git

import (
	"strings"
	"testing"
)

// What a merge brought came with the merge, however old its commits are: nobody
// has had something first by a commit beside an ancient one.
func TestVersions(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	first := commit(t, r, "main", "first", map[string]string{"x": "1"}, nil)
	if err := r.SetBranch(t.Context(), "old", first, ""); err != nil {
		t.Fatal(err)
	}
	side := commit(t, r, "old", "beside the first", map[string]string{"copy": "sealed"}, nil)
	commit(t, r, "main", "prod's", map[string]string{"prod": "sealed"}, nil)
	head := commit(t, r, "main", "anew", map[string]string{"prod": "sealed anew"}, nil)
	merged, err := r.MergeCommit(t.Context(), head, side, "merge", tester)
	if err != nil {
		t.Fatal(err)
	}
	all, err := r.Versions(t.Context(), []string{merged, head}, []string{"copy", "prod", "none"}, 100)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range all {
		data, err := r.Blob(t.Context(), e.ID)
		if err != nil || e.Mode != ModeFile {
			t.Fatalf("%+v, %v", e, err)
		}
		got = append(got, e.Path+"="+string(data))
	}
	if want := "prod=sealed, prod=sealed anew, copy=sealed"; strings.Join(got, ", ") != want {
		t.Errorf("%v, want %s", got, want)
	}
	if all, err := r.Versions(t.Context(), []string{merged}, nil, 1); err != nil || len(all) > 0 {
		t.Errorf("%v, %v", all, err)
	}
	if _, err := r.Versions(t.Context(), []string{"--output=x"}, []string{"a"}, 1); err == nil {
		t.Error("an option was taken for a commit")
	}
}
