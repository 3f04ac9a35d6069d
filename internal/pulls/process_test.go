package pulls_test

import (
	"testing"
	"time"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/model"
)

// alters ends a check of a change that alters the process.
func (e *engine) alters(id string) {
	e.change(id, func(r *model.Run) {
		r.State, r.Finished = model.Done, time.Now()
		r.Pull.Process = &model.Proposal{Decides: true, Changes: []model.ProcessChange{{Path: "environments.prod.after", Old: "staging", Loosens: true, Words: "its gate is gone"}}}
		for i := range r.Pull.Parts {
			p := &r.Pull.Parts[i]
			if p.State = model.PartPassed; p.Name == model.PartProcess {
				p.State, p.Summary = model.PartWaiting, "waits for a maintainer"
			}
		}
	})
}

func TestProcessWaitsForAMaintainer(t *testing.T) {
	w := start(t)
	w.trusted()
	w.forge.Account("rita", model.RoleReviewer)
	rita := w.forge.Client("rita", w.name)
	pr := w.propose("loosen", "Loosen the process")
	run := w.checked(pr.Number, pr.Head.Commit)
	if !run.Pull.Decides {
		t.Fatal("the check does not know that its base decides")
	}
	w.engine.alters(run.ID)
	w.wants(pr.Head.Commit, "hubship/process", "pending waits for a maintainer")
	w.wants(pr.Head.Commit, "hubship/plan", "success")
	w.says(pr.Number, "Waiting for a maintainer", "has to approve this very commit")

	approve := func(who forge.Participant, commit string) {
		t.Helper()
		_, err := who.Review(t.Context(), pr.Number, forge.NewReview{State: forge.Approved, Commit: commit, Body: "fine"})
		w.ok(err)
	}
	approve(rita, pr.Head.Commit)
	time.Sleep(500 * time.Millisecond)
	w.wants(pr.Head.Commit, "hubship/process", "pending")
	approve(w.mia, pr.Head.Commit)
	w.wants(pr.Head.Commit, "hubship/process", "success approved by mia: it loosens the process: its gate is gone")

	// A push after it turns it back: the approval was of another commit.
	next := w.push("loosen", "more.yaml", "y: 1\n")
	w.engine.alters(w.checked(pr.Number, next).ID)
	w.wants(next, "hubship/process", "pending")
}

func TestProcessStatusIsForTheProcessBranchAlone(t *testing.T) {
	w := start(t)
	w.trusted()
	w.push("elsewhere", "elsewhere.yaml", "x: 1\n")
	pr, err := w.carl.Open(t.Context(), forge.NewPullRequest{Title: "Into prod", Head: "carl:elsewhere", Base: "prod"})
	w.ok(err)
	run := w.checked(pr.Number, pr.Head.Commit)
	w.engine.finish(run.ID, model.Done, model.PartPassed, "fine")
	w.wants(pr.Head.Commit, "hubship/images", "success")
	if got := w.status(pr.Head.Commit, "hubship/process"); got != "" {
		t.Errorf("a commit has the status %q, which would count where the process is decided", got)
	}
}
