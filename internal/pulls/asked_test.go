package pulls_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/git"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/pulls"
)

// landed is a pull request of the contributor's that was merged.
func (w *world) landed(branch string) forge.PullRequest {
	w.t.Helper()
	w.trusted()
	pr := w.propose(branch, "Add "+branch)
	w.engine.finish(w.checked(pr.Number, pr.Head.Commit).ID, model.Done, model.PartPassed, "fine")
	w.says(pr.Number, "Ready")
	w.merge(pr.Number)
	return pr
}

// say comments as somebody.
func (w *world) say(as forge.Participant, number int, body string) {
	w.t.Helper()
	_, err := as.Comment(w.t.Context(), number, body)
	w.ok(err)
}

// reverts are the pull requests that revert another one, the newest first.
func (w *world) reverts(number int) []forge.PullRequest {
	w.t.Helper()
	list, err := w.hubship.PullRequests(w.t.Context(), forge.Filter{State: forge.All, Base: "staging", Head: fmt.Sprintf("hubs:revert-%d", number)})
	w.ok(err)
	return list
}

// answered waits until hubship has answered the newest of some comments.
func (w *world) answered(number, comments int) {
	w.t.Helper()
	w.until(fmt.Sprintf("answer on #%d", number), func() string {
		list, err := w.hubship.Comments(w.t.Context(), number)
		if err != nil {
			return err.Error()
		}
		n := 0
		for _, c := range list {
			if c.Author == "hubship" || !strings.Contains(c.Body, pulls.RevertCommand) {
				continue
			}
			if d, _, _ := w.memory.Reported(w.t.Context(), fmt.Sprintf("command/%d", c.ID)); d != "" {
				n++
			}
		}
		if n != comments {
			return fmt.Sprintf("%d commands are answered, not %d", n, comments)
		}
		return ""
	})
}

// looked has hubship look at a pull request again, and waits for it.
func (w *world) looked(number int) {
	w.t.Helper()
	before := w.looks.n.Load()
	for range 2 { // a delivery may come twice
		w.control.Handle(forge.CommentEvent{Number: number})
	}
	w.until("a look", func() string {
		if w.looks.n.Load() == before {
			return "nobody looked"
		}
		return ""
	})
	time.Sleep(300 * time.Millisecond)
}

func TestRevertByComment(t *testing.T) {
	w := start(t)
	pr := w.landed("add")
	w.engine.deploy("staging", w.head("staging"), model.Done, "")
	w.says(pr.Number, "Deployed to staging", pulls.RevertCommand) // which is no command of hubship's own
	for _, shown := range []string{"> " + pulls.RevertCommand, "```\n" + pulls.RevertCommand + "\n```", "    " + pulls.RevertCommand, "Write " + pulls.RevertCommand, "<!--\n" + pulls.RevertCommand + "\n-->", pulls.RevertCommand + " please"} {
		w.say(w.mia, pr.Number, shown)
	}
	w.looked(pr.Number)
	if list := w.reverts(pr.Number); len(list) > 0 {
		t.Fatalf("what only shows the command was obeyed: %+v", list)
	}

	// Not for its author, nor for others who may not write, who get one answer.
	w.forge.Account("mallory", model.RoleContributor)
	mallory := w.forge.Client("mallory", w.name)
	w.say(w.carl, pr.Number, pulls.RevertCommand)
	w.say(mallory, pr.Number, "Please.\r\n\r\n"+pulls.RevertCommand+"\r\n")
	w.says(pr.Number, "Only somebody with write access to this repository can have hubship revert this change.")
	w.looked(pr.Number)
	if n := len(w.comments(pr.Number)); n != 3 || len(w.reverts(pr.Number)) > 0 { // check, deploy, refusal
		t.Fatalf("%d reverts, comments %q", len(w.reverts(pr.Number)), w.comments(pr.Number))
	}

	w.say(w.mia, pr.Number, "It breaks things.\r\n\r\n"+pulls.RevertCommand+"\r\n")
	w.until("revert", func() string {
		if n := len(w.reverts(pr.Number)); n != 1 {
			return fmt.Sprintf("%d are open", n)
		}
		return ""
	})
	revert := w.reverts(pr.Number)[0]
	w.says(pr.Number, fmt.Sprintf("#%d reverts this change.", revert.Number))
	if revert.Author != "hubship" || !strings.Contains(revert.Body, "Requested by mia.") {
		t.Errorf("it is by %s: %s", revert.Author, revert.Body)
	}
	w.engine.finish(w.checked(revert.Number, revert.Head.Commit).ID, model.Done, model.PartPassed, "fine")
	w.looked(revert.Number)
	if p, err := w.hubship.PullRequest(t.Context(), revert.Number); err != nil || p.Merged {
		t.Errorf("it was merged without a review (%v)", err)
	}
	w.looked(pr.Number)
	if n := len(w.reverts(pr.Number)); n != 1 {
		t.Errorf("%d reverts", n)
	}
}

// A comment that was answered opens nothing more, whatever becomes of the revert,
// even if the memory is lost. Another comment does.
func TestOldCommentRevertsNothing(t *testing.T) {
	w := start(t)
	pr := w.landed("add")
	asked := 0
	again := func(what string, want int) {
		t.Helper()
		w.end()
		w.restart()
		w.looked(pr.Number)
		w.answered(pr.Number, asked)
		if n := len(w.reverts(pr.Number)); n != want {
			t.Fatalf("%s: %d reverts, want %d", what, n, want)
		}
	}
	// Who may write now could not when they asked.
	w.say(w.carl, pr.Number, pulls.RevertCommand)
	asked++
	w.answered(pr.Number, asked)
	role := func(role string) {
		t.Helper()
		_, err := w.forge.Admin.SetAccountRole(t.Context(), "carl", role)
		w.ok(err)
	}
	role(model.RoleReviewer)
	again("once its author may write", 0)
	role(model.RoleContributor)
	w.say(w.mia, pr.Number, pulls.RevertCommand)
	asked++
	w.answered(pr.Number, asked)
	again("while it is open", 1)
	closed := forge.Closed
	_, err := w.mia.Update(t.Context(), w.reverts(pr.Number)[0].Number, forge.Change{State: &closed})
	w.ok(err)
	again("once it is closed", 1)
	w.end()
	w.memory.lose()
	again("once the memory is lost", 1)

	time.Sleep(1100 * time.Millisecond) // forges tell times to the second
	w.say(w.mia, pr.Number, pulls.RevertCommand)
	asked++
	w.answered(pr.Number, asked)
	again("asked once more", 2)
	second := w.reverts(pr.Number)[0]
	w.engine.finish(w.checked(second.Number, second.Head.Commit).ID, model.Done, model.PartPassed, "fine")
	w.merge(second.Number)
	w.end()
	w.memory.lose()
	again("once it is merged, and the memory is lost", 2)

	time.Sleep(1100 * time.Millisecond)
	w.say(w.mia, pr.Number, pulls.RevertCommand)
	w.says(pr.Number, "hubship could not revert this change: ")
	asked++
	again("asked for what is reverted", 2)
	// What could not be done is not done later either.
	_, err = w.repo.git.CommitFiles(t.Context(), "staging", w.head("staging"), map[string][]byte{"add.yaml": []byte("x: add\n")}, nil, "Again", git.Identity{Name: "Mia", Email: "mia@localhost"})
	w.ok(err)
	w.ok(w.repo.git.DeleteRef(t.Context(), "refs/heads/"+second.Head.Branch, second.Head.Commit))
	w.end()
	w.memory.lose()
	again("once it could be done, and the memory is lost", 2)
}

// The process ends between the revert and the answer, and the revert is closed
// meanwhile: the answer names that one.
func TestRevertWithoutAnAnswer(t *testing.T) {
	w := start(t)
	pr := w.landed("add")
	w.looks.mute.Store(true)
	w.say(w.mia, pr.Number, pulls.RevertCommand)
	w.until("revert", func() string {
		if n := len(w.reverts(pr.Number)); n != 1 {
			return fmt.Sprintf("%d are open", n)
		}
		return ""
	})
	w.end()
	closed := forge.Closed
	revert := w.reverts(pr.Number)[0]
	_, err := w.mia.Update(t.Context(), revert.Number, forge.Change{State: &closed})
	w.ok(err)
	w.looks.mute.Store(false)
	w.restart()
	w.says(pr.Number, fmt.Sprintf("#%d reverts this change.", revert.Number))
	if n := len(w.reverts(pr.Number)); n != 1 {
		t.Errorf("%d reverts", n)
	}
}

// What is written before the merge does not revert what is merged after.
func TestRevertAskedBeforeTheMerge(t *testing.T) {
	w := start(t)
	w.trusted()
	pr := w.propose("add", "Add")
	w.engine.finish(w.checked(pr.Number, pr.Head.Commit).ID, model.Done, model.PartPassed, "fine")
	w.says(pr.Number, "Ready")
	w.say(w.mia, pr.Number, pulls.RevertCommand)
	time.Sleep(1100 * time.Millisecond)
	w.merge(pr.Number)
	w.looked(pr.Number)
	w.looked(pr.Number)
	if list := w.reverts(pr.Number); len(list) > 0 {
		t.Errorf("it was reverted: %+v", list)
	}
	// Two who ask at once get one.
	w.say(w.mia, pr.Number, pulls.RevertCommand)
	w.say(w.mia, pr.Number, pulls.RevertCommand)
	w.answered(pr.Number, 2)
	if n := len(w.reverts(pr.Number)); n != 1 {
		t.Errorf("%d reverts", n)
	}
}

// A pull request that somebody opened from a branch of the name that hubship's
// reverts have is none of hubship's.
func TestPlantedRevert(t *testing.T) {
	w := start(t)
	pr := w.landed("add")
	branch := fmt.Sprintf("revert-%d", pr.Number)
	w.push("planted", "planted.yaml", "x: 1\n")
	w.git(w.mia, w.tree, "push", "--quiet", w.remote(w.mia).URL, "planted:refs/heads/"+branch)
	planted, err := w.mia.Open(t.Context(), forge.NewPullRequest{Title: "Not a revert", Head: branch, Base: "staging"})
	w.ok(err)
	w.say(w.mia, pr.Number, pulls.RevertCommand)
	w.says(pr.Number, "could not revert this change")
	for _, body := range w.comments(pr.Number) {
		if strings.Contains(body, fmt.Sprintf("#%d reverts", planted.Number)) {
			t.Errorf("hubship took #%d for its own: %s", planted.Number, body)
		}
	}
}
