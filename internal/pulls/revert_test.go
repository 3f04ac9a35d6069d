package pulls_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/model"
)

// Somebody who pushes to the branch of a revert has nothing merged by itself.
func TestRevertThatWasTouched(t *testing.T) {
	w := start(t)
	w.repo.auto = true
	w.trusted()
	w.engine.deploy("staging", w.head("staging"), model.Done, "")
	pr := w.propose("broken", "Break")
	w.engine.finish(w.checked(pr.Number, pr.Head.Commit).ID, model.Done, model.PartPassed, "fine")
	merged := w.merge(pr.Number)
	w.engine.deploy("staging", merged, model.FailedRun, "boom")
	var revert forge.PullRequest
	w.until("revert", func() string {
		list, err := w.hubship.PullRequests(t.Context(), forge.Filter{Base: "staging", Head: fmt.Sprintf("hubs:revert-%d", pr.Number)})
		if err != nil || len(list) != 1 {
			return fmt.Sprint(len(list), err)
		}
		revert = list[0]
		return ""
	})
	w.git(w.mia, w.tree, "fetch", "--quiet", w.remote(w.mia).URL, revert.Head.Branch)
	w.git(w.mia, w.tree, "checkout", "--quiet", "-B", "sneaky", "FETCH_HEAD")
	w.git(w.mia, w.tree, "commit", "--quiet", "--allow-empty", "-m", "More")
	w.git(w.mia, w.tree, "push", "--quiet", w.remote(w.mia).URL, "sneaky:"+revert.Head.Branch)
	head := w.git(w.fork, w.tree, "rev-parse", "HEAD")
	w.engine.finish(w.checked(revert.Number, head).ID, model.Done, model.PartPassed, "fine")
	w.wants(head, "hubship/images", "success")
	p, err := w.hubship.PullRequest(t.Context(), revert.Number)
	w.ok(err)
	if p.Merged {
		t.Error("what somebody pushed was merged without a review")
	}
}

// Nobody reviews a revert that merges by itself: it goes where the change was
// that it takes back, whatever somebody makes its base.
func TestRevertThatWasSentElsewhere(t *testing.T) {
	w := start(t)
	w.repo.auto = true
	w.repo.more = []model.Environment{{Name: "qa", Branch: "qa"}}
	first, err := w.repo.Head(t.Context(), "staging")
	w.ok(err)
	w.ok(w.repo.git.SetBranch(t.Context(), "qa", first, ""))
	w.trusted()
	w.engine.deploy("staging", first, model.Done, "")
	pr := w.propose("broken", "Break")
	w.engine.finish(w.checked(pr.Number, pr.Head.Commit).ID, model.Done, model.PartPassed, "fine")
	w.engine.deploy("staging", w.merge(pr.Number), model.FailedRun, "boom")
	var revert forge.PullRequest
	w.until("revert", func() string {
		list, err := w.hubship.PullRequests(t.Context(), forge.Filter{Base: "staging", Head: fmt.Sprintf("hubs:revert-%d", pr.Number)})
		if err != nil || len(list) != 1 {
			return fmt.Sprint(len(list), err)
		}
		revert = list[0]
		return ""
	})
	w.checked(revert.Number, revert.Head.Commit)
	// As a reviewer may, at the forge.
	const qa = "qa"
	w.forge.Ask(http.MethodPatch, fmt.Sprintf("/repos/%s/pulls/%d", w.name, revert.Number), w.forge.Token("mia"), map[string]string{"base": qa})
	w.control.Handle(forge.PullRequestEvent{Number: revert.Number})
	var run model.Run
	w.until("a check for qa", func() string {
		if run = w.checked(revert.Number, revert.Head.Commit); run.Pull.Base != qa {
			return "it is for " + run.Pull.Base
		}
		return ""
	})
	w.engine.finish(run.ID, model.Done, model.PartPassed, "fine")
	w.says(revert.Number, "Ready")
	time.Sleep(300 * time.Millisecond)
	if p, err := w.hubship.PullRequest(t.Context(), revert.Number); err != nil || p.Merged {
		t.Errorf("it was merged into %s without a review (%v)", p.Base.Branch, err)
	}
}

func TestRevertByHand(t *testing.T) {
	w := start(t)
	w.trusted()
	pr := w.propose("add", "Add")
	if _, err := w.control.Revert(t.Context(), pr.Number, "mia"); model.ExitCodeOf(err) != model.ExitUsage {
		t.Errorf("of an open one: %v", err)
	}
	w.engine.finish(w.checked(pr.Number, pr.Head.Commit).ID, model.Done, model.PartPassed, "fine")
	w.merge(pr.Number)
	n, err := w.control.Revert(t.Context(), pr.Number, "mia")
	w.ok(err)
	again, err := w.control.Revert(t.Context(), pr.Number, "mia")
	w.ok(err)
	if again != n {
		t.Errorf("twice opens #%d and #%d", n, again)
	}
	w.says(pr.Number, fmt.Sprintf("#%d reverts this change", n))
}
