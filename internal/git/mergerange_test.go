package git

import (
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// history is a repository with a base branch and a proposed one.
type history struct {
	t *testing.T
	*Repo
}

func newHistory(t *testing.T) history {
	t.Helper()
	r, err := Init(t.Context(), filepath.Join(t.TempDir(), "r.git"), InitOptions{Bare: true, DefaultBranch: "staging"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return history{t, r}
}

var carl = Identity{Name: "Carl", Email: "carl@localhost"}

func (h history) commit(branch, file, message string) string {
	h.t.Helper()
	parent, err := h.Head(h.t.Context(), branch)
	if err != nil {
		h.t.Fatal(err)
	}
	id, err := h.CommitFiles(h.t.Context(), branch, parent, map[string][]byte{file: []byte(message)}, nil, message, carl)
	if err != nil {
		h.t.Fatal(err)
	}
	return id
}

func (h history) must(id string, err error) string {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
	return id
}

func (h history) move(branch, to, from string) {
	h.t.Helper()
	if err := h.SetBranch(h.t.Context(), branch, to, from); err != nil {
		h.t.Fatal(err)
	}
}

// commits are those of a pull request as a forge lists them, oldest first.
func (h history) commits(base, head string) []Detail {
	h.t.Helper()
	list, err := h.Details(h.t.Context(), head, DetailOptions{Base: base})
	if err != nil {
		h.t.Fatal(err)
	}
	var out []Detail
	for _, d := range slices.Backward(list) {
		d.Message += "\n" // as a forge may have it
		out = append(out, d)
	}
	return out
}

func TestMergeRange(t *testing.T) {
	for name, merge := range map[string]func(h history, base, head string) (commit, before string){
		"merge": func(h history, base, head string) (string, string) {
			return h.must(h.MergeCommit(h.t.Context(), base, head, "Merge", carl)), base
		},
		"squash": func(h history, base, head string) (string, string) {
			return h.must(h.SquashCommit(h.t.Context(), base, head, "All of it (#7)", carl, carl)), base
		},
		"squash that is called like its last commit": func(h history, base, head string) (string, string) {
			return h.must(h.SquashCommit(h.t.Context(), base, head, "Third", carl, carl)), base
		},
		"rebase": func(h history, base, head string) (string, string) {
			return h.must(h.RebaseCommits(h.t.Context(), base, head, carl)), base
		},
		"rebase of what is there in part": func(h history, _, head string) (string, string) {
			base := h.commit("staging", "b", "Second") // somebody else had the same idea
			return h.must(h.RebaseCommits(h.t.Context(), base, head, carl)), base
		},
		"pushed": func(h history, base, head string) (string, string) {
			up := h.must(h.MergeCommit(h.t.Context(), head, base, "Bring up to date", carl))
			return up, base
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHistory(t)
			first := h.commit("staging", "x", "Begin")
			h.move("topic", first, "")
			h.commit("topic", "a", "First")
			h.commit("topic", "b", "Second")
			head := h.commit("topic", "c", "Third")
			base := h.commit("staging", "y", "Meanwhile")
			time.Sleep(1100 * time.Millisecond) // times of authorship are in seconds
			commit, before := merge(h, base, head)
			commits := h.commits(base, head)
			if name == "pushed" {
				commits = h.commits(base, commit)
			}
			gotBefore, gotAfter, err := h.MergeRange(t.Context(), commit, base, commits)
			if err != nil || gotBefore != before || gotAfter != commit {
				t.Errorf("merged from %.7s to %.7s, %v; want from %.7s to %.7s", gotBefore, gotAfter, err, before, commit)
			}
		})
	}
	h := newHistory(t)
	root := h.commit("staging", "x", "Begin")
	if _, _, err := h.MergeRange(t.Context(), root, "", nil); err == nil {
		t.Error("the first commit of all was merged into something")
	}
}

// Whoever proposes a copy of somebody else's commit, author and time included,
// does not have that taken back with their own: reverts may be merged unseen.
func TestCopiesAreNotTakenBack(t *testing.T) {
	h := newHistory(t)
	first := h.commit("staging", "x", "Begin")
	base := h.commit("staging", "y", "Somebody else's")
	time.Sleep(1100 * time.Millisecond)
	h.move("topic", h.must(h.SquashCommit(t.Context(), first, base, "Somebody else's", carl, carl)), "")
	theirs, err := h.Details(t.Context(), base, DetailOptions{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	head := h.commit("topic", "a", "Their own")
	commits := h.commits(first, head)
	commits[0].Author.When = theirs[0].Author.When // as anybody can write it
	merge := h.must(h.RebaseCommits(t.Context(), base, head, carl))
	if before, _, err := h.MergeRange(t.Context(), merge, base, commits); err != nil || before != base {
		t.Errorf("it takes back what is after %.7s, %v; want %.7s", before, err, base)
	}
	if before, _, err := h.MergeRange(t.Context(), merge, merge, commits[1:]); err != nil || before != base {
		t.Errorf("a base that is later: %.7s, %v", before, err)
	}
}
