package pulls_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/model"
)

// protected starts a world whose branches hubship protects, and waits until they
// are.
func protected(t *testing.T, more ...model.Environment) *world {
	t.Helper()
	w := start(t)
	w.protect, w.repo.more = true, more
	w.trusted()
	w.restart()
	w.protects("staging", "prod")
	return w
}

// protects waits until branches are protected as the process asks.
func (w *world) protects(branches ...string) {
	w.t.Helper()
	for _, branch := range branches {
		w.until("protection of "+branch, func() string {
			p, err := w.mia.Protection(w.t.Context(), branch)
			if err != nil || p.Beyond == nil || !p.Beyond.ChecksOfMerge || p.Beyond.ChecksBy != "hubship" {
				return fmt.Sprintf("%+v, %v", p, err)
			}
			return ""
		})
	}
}

func (w *world) mayMerge(pr forge.PullRequest) error {
	_, err := w.mia.Merge(w.t.Context(), pr.Number, forge.Merge{Head: pr.Head.Commit})
	return err
}

func (w *world) refuses(what string, pr forge.PullRequest) {
	w.t.Helper()
	if err := w.mayMerge(pr); !errors.Is(err, forge.ErrConflict) {
		w.t.Errorf("%s: %v", what, err)
	}
}

func (w *world) approves(pr forge.PullRequest) {
	w.t.Helper()
	_, err := w.mia.Review(w.t.Context(), pr.Number, forge.NewReview{State: forge.Approved, Commit: pr.Head.Commit})
	w.ok(err)
}

// What protects the branches follows from the process, and what somebody changes
// about it by hand does not last.
func TestProtect(t *testing.T) {
	w := protected(t)
	w.ok(w.mia.Protect(t.Context(), "staging", forge.Protection{Beyond: &forge.ProtectionBeyond{AllowPush: true}}))
	w.protects("staging")
	w.repo.more = []model.Environment{{Name: "qa", Branch: "qa"}}
	w.ok(w.repo.git.SetBranch(t.Context(), "qa", w.head("staging"), ""))
	w.protects("qa", "prod")
	p, err := w.mia.Protection(t.Context(), "prod")
	w.ok(err)
	if len(p.Beyond.Heads) != 1 || p.Beyond.Heads[0] != "staging" || p.Approvals != 0 {
		t.Errorf("prod: %+v %+v", p, p.Beyond)
	}
}

// A status is about one merge: neither a base that moved since, nor another pull
// request with the same commit, lets in what was not checked as it is merged.
func TestMergedAsChecked(t *testing.T) {
	w := protected(t, model.Environment{Name: "qa", Branch: "qa"})
	w.ok(w.repo.git.SetBranch(t.Context(), "qa", w.head("staging"), ""))
	w.protects("qa")
	first := w.propose("add", "Add")
	w.approves(first)
	second, err := w.carl.Open(t.Context(), forge.NewPullRequest{Title: "Add to qa", Head: "carl:add", Base: "qa"})
	w.ok(err)
	w.approves(second)
	w.refuses("before any check", first)
	w.engine.finish(w.checked(first.Number, first.Head.Commit).ID, model.Done, model.PartPassed, "fine")
	// The commit's last status may be the other one's, which is of another merge.
	w.says(first.Number, "Ready")
	w.refuses("another pull request of the same commit", second)

	other := w.push("other", "other.yaml", "y: 1\n")
	o, err := w.carl.Open(t.Context(), forge.NewPullRequest{Title: "Other", Head: "carl:other", Base: "staging"})
	w.ok(err)
	w.approves(o)
	w.engine.finish(w.checked(o.Number, other).ID, model.Done, model.PartPassed, "fine")
	w.until("the other is merged", func() string { return text(w.mayMerge(o)) })
	w.refuses("a base that moved", first)
	w.engine.finish(w.checked(first.Number, first.Head.Commit).ID, model.Done, model.PartPassed, "fine again")
	w.until("merged once it was checked again", func() string { return text(w.mayMerge(first)) })

	w.engine.finish(w.checked(second.Number, second.Head.Commit).ID, model.Done, model.PartPassed, "fine in qa")
	w.until("merged into qa", func() string { return text(w.mayMerge(second)) })
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// head is the commit of a branch.
func (w *world) head(branch string) string {
	w.t.Helper()
	head, err := w.repo.Head(w.t.Context(), branch)
	w.ok(err)
	return head
}
