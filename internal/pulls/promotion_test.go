package pulls_test

import (
	"fmt"
	"testing"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/model"
)

// A promotion that somebody closed stays closed, until there is something new to
// promote or somebody asks for it.
func TestPromotionThatWasClosed(t *testing.T) {
	w := start(t)
	w.trusted()
	ship := func(branch string) {
		t.Helper()
		pr := w.propose(branch, "Change")
		w.engine.finish(w.checked(pr.Number, pr.Head.Commit).ID, model.Done, model.PartPassed, "fine")
		commit := w.merge(pr.Number)
		w.engine.prove(commit)
		w.engine.deploy("staging", commit, model.Done, "")
	}
	promotions := func() []forge.PullRequest {
		t.Helper()
		list, err := w.hubship.PullRequests(t.Context(), forge.Filter{State: forge.All, Base: "prod"})
		w.ok(err)
		return list
	}
	appears := func(n int) forge.PullRequest {
		t.Helper()
		w.until("a promotion", func() string {
			if list := promotions(); len(list) != n || list[0].State != forge.Open {
				return fmt.Sprintf("there are %d", len(list))
			}
			return ""
		})
		return promotions()[0]
	}
	closes := func(pr forge.PullRequest) {
		t.Helper()
		closed := forge.Closed
		_, err := w.mia.Update(t.Context(), pr.Number, forge.Change{State: &closed})
		w.ok(err)
	}
	ship("one")
	closes(appears(1))
	w.engine.deploy("staging", w.head("staging"), model.Done, "") // everything is looked at again
	w.settle()
	w.restart()
	w.settle()
	if n := len(promotions()); n != 1 {
		t.Fatalf("%d promotions: it was opened again", n)
	}
	ship("two")
	closes(appears(2))
	done := make(chan error, 1)
	go func() {
		_, err := w.control.Promote(t.Context(), model.PromoteRequest{Environment: "prod", By: "mia"})
		done <- err
	}()
	pr := appears(3)
	w.engine.finish(w.checked(pr.Number, pr.Head.Commit).ID, model.Done, model.PartPassed, "fine")
	w.until("the promotion is merged", func() string {
		p, err := w.hubship.PullRequest(t.Context(), pr.Number)
		if err != nil || !p.Merged {
			return fmt.Sprintf("merged %v, %v", p.Merged, err)
		}
		w.engine.deploy("prod", p.MergeCommit, model.Done, "")
		return ""
	})
	w.ok(<-done)
}
