package app

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/forge/github"
	"github.com/hubship/hubship/internal/forge/local/store"
	"github.com/hubship/hubship/internal/model"
)

// Statuses are a commit's. Neither a base that moved since, nor another pull
// request with the same commit, lets in what was not checked as it is merged.
func TestMergedAsChecked(t *testing.T) {
	w := newWorld(t, nil)
	e := w.process.local
	_, token := w.account("rita", store.Reviewer, deployment)
	rita, _ := w.account("rita", store.Reviewer, deployment)
	mia, _ := w.account("mia", store.Maintainer, deployment)
	g := e.fleets.Git()
	start, err := g.Head(t.Context(), "staging")
	w.ok(err)
	w.ok(g.SetBranch(t.Context(), "qa", start, ""))
	// A second environment without a gate.
	text := strings.Replace(w.file("staging", "hubship.yaml"), "environments:\n", "environments:\n  qa: {branch: qa, cluster: local, namespace: \"{hub}-qa\"}\n", 1)
	_, err = g.CommitFiles(t.Context(), "staging", start, map[string][]byte{"hubship.yaml": []byte(text)}, nil, "Add qa", author)
	w.ok(err)
	w.moved()

	clone := filepath.Join(t.TempDir(), "clone")
	w.mustGit(token, "", "clone", "--quiet", "--branch", "staging", w.settings.CloneURL(), clone)
	w.mustGit(token, clone, "checkout", "--quiet", "-b", "topic")
	head := w.change(clone, "notes.md", "a note\n")
	w.mustGit(token, clone, "push", "--quiet", "origin", "topic")
	open := func(base string) forge.PullRequest {
		t.Helper()
		pr, err := rita.Open(t.Context(), forge.NewPullRequest{Title: "Note", Head: "topic", Base: base})
		w.ok(err)
		_, err = mia.Review(t.Context(), pr.Number, forge.NewReview{Commit: head, State: forge.Approved})
		w.ok(err)
		return pr
	}
	merge := func(c *github.Client, n int) error {
		_, err := c.Merge(t.Context(), n, forge.Merge{Head: head})
		return err
	}
	// Once hubship has begun another check, its statuses are pending again and the
	// forge refuses for them first: that is why the answer is asked for, too.
	refused := func(what string, n int) {
		t.Helper()
		if err := merge(mia, n); !errors.Is(err, forge.ErrConflict) {
			t.Errorf("%s: %v", what, err)
		}
		p, err := e.host.Store.Pull(t.Context(), e.repository.ID, int64(n))
		w.ok(err)
		if why, err := e.unchecked(t.Context(), e.repository, p); err != nil || !strings.Contains(why, "has not yet checked") {
			t.Errorf("%s: unchecked says %q, %v", what, why, err)
		}
	}
	first := open("staging")
	w.passed(first, head)
	second := open("qa") // green by the first
	refused("another pull request of the same commit", second.Number)

	tip, err := g.Head(t.Context(), "staging")
	w.ok(err)
	_, err = g.CommitFiles(t.Context(), "staging", tip, map[string][]byte{"other.md": []byte("x\n")}, nil, "Other", author) // nobody told hubship yet
	w.ok(err)
	refused("a base that moved", first.Number)
	w.moved()
}

// file is what a file of a branch says.
func (w *world) file(branch, name string) string {
	w.t.Helper()
	return w.mustGit("", w.paths.ForgeRepository, "show", branch+":"+name) + "\n"
}

// passed waits for the check of a pull request, ends it well, and waits until the
// forge knows.
func (w *world) passed(pr forge.PullRequest, head string) {
	w.t.Helper()
	var check model.Run
	w.until("a check", func() bool {
		runs, _ := w.engine.Runs(w.t.Context(), model.RunFilter{Kind: model.CheckPull, Pull: pr.Number})
		if len(runs) == 0 {
			return false
		}
		check = runs[0]
		return check.Pull.Head == head
	})
	w.engine.pass(check.ID)
	w.until("the statuses", func() bool {
		list, err := w.process.local.client.Statuses(w.t.Context(), head)
		green := 0
		for _, s := range list {
			if slices.Contains(changeContexts, s.Context) && s.State == forge.Success {
				green++
			}
		}
		return err == nil && green == len(changeContexts)
	})
}
