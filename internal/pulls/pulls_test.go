package pulls_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/git"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/pulls"
)

func TestFromForkToProd(t *testing.T) {
	w := start(t)
	w.trusted()
	pr := w.propose("add", "Add <script>alert(1)</script> | @everybody #1")
	w.wants(pr.Head.Commit, "hubship/policy", "pending")
	r := w.checked(pr.Number, pr.Head.Commit)
	if !r.Pull.Trusted || r.Pull.BaseCommit == "" || !r.Pull.Fork || r.Pull.HeadOwner != "carl" {
		t.Errorf("%+v", r.Pull.PullRequest)
	}
	w.engine.finish(r.ID, model.Done, model.PartPassed, "fine")
	for _, part := range model.PartNames {
		w.wants(pr.Head.Commit, "hubship/"+part, "success fine")
	}
	w.says(pr.Number, "hubship:check", "Ready", "/runs/"+r.ID)

	merged := w.merge(pr.Number)
	w.engine.add(model.Run{Kind: model.Deploy, Environment: "staging", Commit: merged, State: model.Running})
	w.wants(merged, "hubship/staging", "pending deploying")
	w.engine.prove(merged)
	w.engine.deploy("staging", merged, model.Done, "")
	// A reconcile pass asked for another run, which had nothing to do.
	w.engine.add(model.Run{Kind: model.Deploy, Environment: "staging", Commit: merged, State: model.Unchanged})
	w.wants(merged, "hubship/staging", "success")
	w.wants(merged, "hubship/staging/datahub", "success verified the way a user would: 1 check")
	w.wants(pr.Head.Commit, "hubship/staging/datahub", "success")
	w.says(pr.Number, "Deployed to staging", "import emoji 2.14.0")

	var promotion forge.PullRequest
	w.until("promotion", func() string {
		list, err := w.hubship.PullRequests(t.Context(), forge.Filter{Base: "prod"})
		if err != nil || len(list) != 1 {
			return fmt.Sprint(len(list), err)
		}
		promotion = list[0]
		return ""
	})
	if b := promotion.Body; promotion.Author != "hubship" || !strings.Contains(b, fmt.Sprintf("#%d", pr.Number)) || !strings.Contains(b, "run-007") ||
		strings.Contains(b, "<script>") || strings.Contains(b, "@everybody") {
		t.Errorf("the promotion says %q", b)
	}
	w.wants(merged, "hubship/promotion", "success staging verified 1 hub")
	again := w.checked(promotion.Number, merged)
	if again.Pull.Fork || again.Pull.Base != "prod" {
		t.Errorf("%+v", again.Pull.PullRequest)
	}
	w.engine.finish(again.ID, model.Done, model.PartPassed, "fine")

	shipped := w.merge(promotion.Number)
	w.engine.deploy("prod", shipped, model.Done, "")
	w.says(pr.Number, "🎉 Shipped to prod at")
	w.says(promotion.Number, "Deployed to prod")
	if n := len(w.comments(pr.Number)); n != 3 {
		t.Errorf("%d comments, expected one about the check, one about staging, one about prod: %q", n, w.comments(pr.Number))
	}
}

// A newer push, to the head or to the base, ends the check of the older one.
func TestSupersede(t *testing.T) {
	w := start(t)
	w.trusted()
	pr := w.propose("add", "Add")
	first := w.checked(pr.Number, pr.Head.Commit)
	head := w.push("add", "add.yaml", "x: 2\n")
	second := w.checked(pr.Number, head)
	w.superseded(first.ID)
	if second.Cause != "push to carl:add" {
		t.Errorf("cause %q", second.Cause)
	}
	w.engine.finish(second.ID, model.FailedRun, model.PartFailed, "lint: exit code 1")
	w.wants(head, "hubship/tests", "failure lint: exit code 1")

	other := w.push("other", "other.yaml", "y: 1\n")
	o, err := w.carl.Open(t.Context(), forge.NewPullRequest{Title: "Other", Head: "carl:other", Base: "staging"})
	w.ok(err)
	w.engine.finish(w.checked(o.Number, other).ID, model.Done, model.PartPassed, "fine")
	w.merge(o.Number)
	third := w.checked(pr.Number, head)
	if third.Cause != "push to staging" || third.Pull.BaseCommit == second.Pull.BaseCommit {
		t.Errorf("cause %q", third.Cause)
	}
	w.wants(head, "hubship/tests", "pending")
	w.engine.finish(third.ID, model.Done, model.PartPassed, "fine")
	w.wants(head, "hubship/tests", "success")
	if n := len(w.comments(pr.Number)); n != 1 {
		t.Errorf("%d comments, expected one that is updated: %q", n, w.comments(pr.Number))
	}

	w.ok(w.carl2(pr.Number, "/hubship check"))
	fourth := w.checked(pr.Number, head)
	if fourth.Cause != "requested by carl" {
		t.Errorf("cause %q", fourth.Cause)
	}
	closed := forge.Closed
	_, err = w.carl.Update(t.Context(), pr.Number, forge.Change{State: &closed})
	w.ok(err)
	w.superseded(fourth.ID)
}

// carl2 comments as the contributor, in a later second than what was before:
// forges tell times to the second.
func (w *world) carl2(number int, body string) error {
	time.Sleep(1100 * time.Millisecond)
	_, err := w.carl.Comment(w.t.Context(), number, body)
	return err
}

func (w *world) superseded(id string) {
	w.t.Helper()
	w.until("run "+id, func() string {
		runs, _ := w.engine.Runs(w.t.Context(), model.RunFilter{})
		for _, r := range runs {
			if r.ID == id && r.State == model.Superseded {
				return ""
			}
		}
		return "it is not superseded"
	})
}

// What a stranger proposes waits, until somebody who may write approves the
// very commit.
func TestStranger(t *testing.T) {
	w := start(t)
	// Trust is an account's: that of a name, which can change hands, or of the
	// same number at another forge, counts for nothing.
	carl := w.forge.ID("carl")
	for _, key := range []string{"trusted/carl", fmt.Sprintf("trusted/%d", carl), pulls.TrustKey(w.name, carl+1), pulls.TrustKey(forge.Repository{Owner: "else", Name: "where"}, carl)} {
		w.ok(w.memory.SetReported(t.Context(), key, "merged", ""))
	}
	pr := w.propose("add", "Add")
	r := w.checked(pr.Number, pr.Head.Commit)
	if r.Pull.Trusted || !strings.Contains(r.Pull.AwaitingApproval, "carl") {
		t.Fatalf("%+v", r.Pull.PullRequest)
	}
	w.engine.change(r.ID, func(r *model.Run) {
		r.State, r.Reason = model.Refused, r.Pull.AwaitingApproval
		r.Pull.Parts[0].State = model.PartPassed
	})
	w.says(pr.Number, "Waiting for a maintainer", pulls.Approval(pr.Head.Commit))
	w.wants(pr.Head.Commit, "hubship/policy", "success")
	w.wants(pr.Head.Commit, "hubship/tests", "pending")

	// Not by the author, not for another commit.
	_, err := w.carl.Comment(t.Context(), pr.Number, pulls.Approval(pr.Head.Commit))
	w.ok(err)
	_, err = w.mia.Comment(t.Context(), pr.Number, pulls.Approval(strings.Repeat("0", 40)))
	w.ok(err)
	head := w.push("add", "add.yaml", "x: 2\n")
	next := w.checked(pr.Number, head)
	if next.Pull.Trusted {
		t.Fatal("it was approved by its author, or for another commit")
	}
	_, err = w.mia.Comment(t.Context(), pr.Number, pulls.Approval(head[:12]))
	w.ok(err)
	_, err = w.mia.Comment(t.Context(), pr.Number, "Looks good.\r\n\r\n"+pulls.Approval(head)+"\r\n")
	w.ok(err)
	w.until("approval", func() string {
		runs, _ := w.engine.Runs(t.Context(), model.RunFilter{Kind: model.CheckPull})
		if runs[0].Pull.Trusted && runs[0].Pull.Head == head && runs[0].Cause == "approved to run" {
			return ""
		}
		return fmt.Sprintf("%+v", runs[0].Pull.PullRequest)
	})
	// What is pushed after that is another commit.
	head = w.push("add", "add.yaml", "x: 3\n")
	if r := w.checked(pr.Number, head); r.Pull.Trusted {
		t.Error("an approval went on to the next commit")
	}
	// A review counts as well.
	_, err = w.mia.Review(t.Context(), pr.Number, forge.NewReview{State: forge.Approved, Commit: head})
	w.ok(err)
	w.until("approval by review", func() string {
		runs, _ := w.engine.Runs(t.Context(), model.RunFilter{Kind: model.CheckPull})
		if runs[0].Pull.Trusted && runs[0].Pull.Head == head {
			return ""
		}
		return fmt.Sprintf("%+v", runs[0].Pull.PullRequest)
	})
	// Who had a change merged is a stranger no more.
	w.merge(pr.Number)
	w.until("trust", func() string {
		if d, _, _ := w.memory.Reported(t.Context(), w.trustKey()); d == "" {
			return "carl is not known"
		}
		return ""
	})
}

// What fails in staging is told with its reason, and taken back. The log is for
// others than those who read a pull request.
func TestFailure(t *testing.T) {
	for _, auto := range []bool{false, true} {
		t.Run(fmt.Sprintf("auto=%v", auto), func(t *testing.T) {
			w := start(t)
			w.repo.auto = auto
			w.trusted()
			pr := w.propose("broken", "Add a package that raises")
			base, err := w.repo.Head(t.Context(), "staging")
			w.ok(err)
			w.engine.deploy("staging", base, model.Done, "")
			w.engine.finish(w.checked(pr.Number, pr.Head.Commit).ID, model.Done, model.PartPassed, "fine")
			merged := w.merge(pr.Number)
			w.engine.deploy("staging", merged, model.FailedRun, "verification failed: import broken")
			w.wants(merged, "hubship/staging/datahub", "failure rolled back: verification failed: import broken")
			text := w.says(pr.Number, "Failed on staging", "datahub: **import broken**: OSError: boom", "/runs/")
			if strings.Contains(text, "<b>staging") || strings.Contains(text, "wrote last\n") || strings.Contains(text, "what a pod") || strings.Contains(text, "what a kernel") {
				t.Errorf("the log is quoted: %q", text)
			}
			var revert forge.PullRequest
			w.until("revert", func() string {
				list, err := w.hubship.PullRequests(t.Context(), forge.Filter{Base: "staging", Head: fmt.Sprintf("hubs:revert-%d", pr.Number)})
				if err != nil || len(list) != 1 {
					return fmt.Sprint(len(list), err)
				}
				revert = list[0]
				return ""
			})
			w.says(pr.Number, fmt.Sprintf("#%d reverts this change", revert.Number))
			if !strings.Contains(revert.Body, "verification failed: import broken") {
				t.Errorf("the revert says %q", revert.Body)
			}
			check := w.checked(revert.Number, revert.Head.Commit)
			if !check.Pull.Trusted {
				t.Error("a revert waits for approval")
			}
			w.engine.finish(check.ID, model.Done, model.PartPassed, "fine")
			if !auto {
				w.merge(revert.Number)
			}
			w.until("merge of the revert", func() string {
				p, err := w.hubship.PullRequest(t.Context(), revert.Number)
				if err != nil || !p.Merged {
					return fmt.Sprint("it is not merged ", err)
				}
				return ""
			})
			head, err := w.repo.Head(t.Context(), "staging")
			w.ok(err)
			if changed, err := w.repo.git.ChangedPaths(t.Context(), base, head); err != nil || len(changed) != 0 {
				t.Errorf("after the revert %v differ, %v", changed, err)
			}
		})
	}
}

// While the forge is down nothing is lost, and after a restart with a memory
// that is gone nothing is said twice.
func TestOutageAndLoss(t *testing.T) {
	w := start(t)
	w.trusted()
	pr := w.propose("add", "Add")
	r := w.checked(pr.Number, pr.Head.Commit)
	w.wants(pr.Head.Commit, "hubship/policy", "pending")
	w.forge.SetDown(true)
	w.engine.finish(r.ID, model.Done, model.PartPassed, "fine")
	time.Sleep(300 * time.Millisecond)
	w.forge.SetDown(false)
	w.wants(pr.Head.Commit, "hubship/images", "success")
	w.says(pr.Number, "Ready")

	w.end()
	w.memory.lose()
	w.trusted()
	w.restart()
	w.until("report after the restart", func() string {
		if d, _, _ := w.memory.Reported(t.Context(), fmt.Sprintf("comment/%d/check", pr.Number)); d == "" {
			return "nothing was reported"
		}
		return ""
	})
	if n := len(w.comments(pr.Number)); n != 1 {
		t.Errorf("%d comments, expected one", n)
	}
	if runs, _ := w.engine.Runs(t.Context(), model.RunFilter{Kind: model.CheckPull}); len(runs) != 1 {
		t.Errorf("%d checks, expected the one of before", len(runs))
	}
}

// Polls leave alone what they have seen, also when several pull requests were
// updated within one second, and no change escapes them for it.
func TestQuiet(t *testing.T) {
	w := start(t)
	w.trusted()
	var last forge.PullRequest
	for _, branch := range []string{"one", "two", "three"} {
		last = w.propose(branch, branch)
		r := w.checked(last.Number, last.Head.Commit)
		w.engine.finish(r.ID, model.Done, model.PartPassed, "fine")
		w.says(last.Number, "Ready")
	}
	w.end()
	w.restart()
	w.until("polls that find nothing", func() string {
		before := w.looks.n.Load()
		time.Sleep(500 * time.Millisecond) // 10 polls
		if n := w.looks.n.Load() - before; n > 0 {
			return fmt.Sprintf("%d looks in half a second", n)
		}
		return ""
	})
	head := w.push("three", "three.yaml", "x: other\n")
	w.checked(last.Number, head)
}

// The command line promotes as the button does.
func TestPromote(t *testing.T) {
	w := start(t)
	w.trusted()
	pr := w.propose("add", "Add")
	w.engine.finish(w.checked(pr.Number, pr.Head.Commit).ID, model.Done, model.PartPassed, "fine")
	merged := w.merge(pr.Number)
	if p, err := w.control.Promote(t.Context(), model.PromoteRequest{By: "mia"}); model.ExitCodeOf(err) != model.ExitRefused || p.Refused == "" {
		t.Errorf("unproved: %+v, %v", p, err)
	}
	w.engine.prove(merged)
	w.engine.deploy("staging", merged, model.Done, "")
	done := make(chan error, 1)
	var p model.Promotion
	go func() {
		var err error
		p, err = w.control.Promote(t.Context(), model.PromoteRequest{By: "mia"})
		done <- err
	}()
	var promotion forge.PullRequest
	w.until("promotion", func() string {
		list, err := w.hubship.PullRequests(t.Context(), forge.Filter{Base: "prod"})
		if err != nil || len(list) != 1 {
			return fmt.Sprint(len(list), err)
		}
		promotion = list[0]
		return ""
	})
	w.engine.finish(w.checked(promotion.Number, merged).ID, model.Done, model.PartPassed, "fine")
	var prod string
	w.until("merge", func() string {
		head, err := w.repo.Head(t.Context(), "prod")
		if in, aErr := w.repo.IsAncestor(t.Context(), merged, head); err != nil || aErr != nil || !in {
			return fmt.Sprint("prod has it not ", err, aErr)
		}
		prod = head
		return ""
	})
	w.engine.deploy("prod", prod, model.Done, "")
	w.ok(<-done)
	if p.Merge != prod || p.Pull != promotion.Number || p.Run == nil {
		t.Errorf("%+v", p)
	}
	w.says(pr.Number, "Shipped to prod")
	// A promotion is not taken back in prod alone.
	if _, err := w.control.Revert(t.Context(), promotion.Number, "mia"); model.ExitCodeOf(err) != model.ExitUsage || !strings.Contains(model.HintOf(err), "staging") {
		t.Errorf("revert of the promotion: %v", err)
	}
	w.say(w.mia, promotion.Number, pulls.RevertCommand)
	w.says(promotion.Number, "hubship could not revert this change: ", "accepts only promotions")
}

// Statuses belong to a commit: somebody who opens another pull request with the
// same one does not spoil those that are there.
func TestSameHead(t *testing.T) {
	w := start(t)
	w.trusted()
	pr := w.propose("add", "Add")
	head := pr.Head.Commit
	w.engine.finish(w.checked(pr.Number, head).ID, model.Done, model.PartPassed, "fine")
	w.wants(head, "hubship/images", "success fine")
	other, err := w.carl.Open(t.Context(), forge.NewPullRequest{Title: "Wrong base", Head: "carl:add", Base: "prod"})
	w.ok(err)
	w.engine.finish(w.checked(other.Number, head).ID, model.FailedRun, model.PartFailed, "prod takes only promotions")
	w.says(other.Number, "prod takes only promotions")
	if got := w.status(head, "hubship/policy"); got != "success fine" {
		t.Errorf("the other pull request says %q", got)
	}
	// Whichever came first.
	wrong := w.push("late", "late.yaml", "x: 1\n")
	first, err := w.carl.Open(t.Context(), forge.NewPullRequest{Title: "Wrong base", Head: "carl:late", Base: "prod"})
	w.ok(err)
	run := w.checked(first.Number, wrong)
	second, err := w.carl.Open(t.Context(), forge.NewPullRequest{Title: "Right base", Head: "carl:late", Base: "staging"})
	w.ok(err)
	w.engine.finish(w.checked(second.Number, wrong).ID, model.Done, model.PartPassed, "fine")
	w.engine.finish(run.ID, model.FailedRun, model.PartFailed, "prod takes only promotions")
	w.wants(wrong, "hubship/policy", "success fine")
	// Once the first is closed, the other one speaks.
	closed := forge.Closed
	_, err = w.carl.Update(t.Context(), pr.Number, forge.Change{State: &closed})
	w.ok(err)
	w.wants(head, "hubship/policy", "failure prod takes only promotions")
}

// A forge counts a pull request as merged once its base has the head. Whoever
// proposes somebody else's commit earns no trust by that.
func TestTrustIsNotEarnedByRidingAlong(t *testing.T) {
	w := start(t)
	w.trusted()
	pr := w.propose("add", "Add")
	w.forge.Account("mallory", model.RoleContributor)
	mallory := w.forge.Client("mallory", w.name)
	theirs := w.forge.Client("mallory", w.forge.Fork("mallory", w.name))
	w.git(theirs, w.tree, "push", "--quiet", w.remote(theirs).URL, pr.Head.Commit+":refs/heads/mine")
	_, err := mallory.Open(t.Context(), forge.NewPullRequest{Title: "Mine", Head: "mallory:mine", Base: "staging"})
	w.ok(err)
	w.engine.finish(w.checked(pr.Number, pr.Head.Commit).ID, model.Done, model.PartPassed, "fine")
	w.engine.deploy("staging", w.merge(pr.Number), model.Done, "")
	w.says(pr.Number, "staging")
	w.until("the other one counts as merged", func() string {
		list, err := w.hubship.PullRequests(t.Context(), forge.Filter{State: forge.Closed})
		if err != nil || len(list) != 2 || !list[0].Merged || !list[1].Merged {
			return fmt.Sprint(len(list), err)
		}
		return ""
	})
	time.Sleep(500 * time.Millisecond)
	if known, _, err := w.memory.Reported(t.Context(), pulls.TrustKey(w.name, w.forge.ID("mallory"))); err != nil || known != "" {
		t.Errorf("who rode along is trusted: %q, %v", known, err)
	}
}

// A commit that goes to several branches is as good as the worst of its checks:
// what is built and tried for one of them is not for the other.
func TestSameHeadElsewhere(t *testing.T) {
	w := start(t)
	w.repo.more = []model.Environment{{Name: "qa", Branch: "qa"}}
	first, err := w.repo.Head(t.Context(), "staging")
	w.ok(err)
	w.ok(w.repo.git.SetBranch(t.Context(), "qa", first, ""))
	w.trusted()
	pr := w.propose("add", "Add")
	head := pr.Head.Commit
	w.engine.finish(w.checked(pr.Number, head).ID, model.Done, model.PartPassed, "fine")
	w.wants(head, "hubship/images", "success fine")
	other, err := w.carl.Open(t.Context(), forge.NewPullRequest{Title: "Into qa too", Head: "carl:add", Base: "qa"})
	w.ok(err)
	run := w.checked(other.Number, head)
	w.wants(head, "hubship/images", "pending")
	w.engine.change(run.ID, func(r *model.Run) {
		r.State, r.Finished = model.FailedRun, time.Now()
		for i := range r.Pull.Parts {
			r.Pull.Parts[i].State = model.PartPassed
		}
		images := r.Pull.Part(model.PartImages)
		images.State, images.Summary = model.PartFailed, "does not build"
	})
	w.wants(head, "hubship/images", "failure does not build")
	closed := forge.Closed
	_, err = w.carl.Update(t.Context(), other.Number, forge.Change{State: &closed})
	w.ok(err)
	w.wants(head, "hubship/images", "success fine")
}

// The fork goes away in the middle of a check, and the base of another one: the
// forge closes the pull requests, and their checks end.
func TestWhatGoesAway(t *testing.T) {
	w := start(t)
	w.trusted()
	pr := w.propose("add", "Add")
	head := pr.Head.Commit
	run := w.checked(pr.Number, head)
	w.forge.Ask(http.MethodDelete, "/repos/carl/deployment", w.forge.Token("carl"), nil)
	w.superseded(run.ID)

	// The base goes while a branch of the repository itself is checked.
	staging, err := w.repo.Head(t.Context(), "staging")
	w.ok(err)
	w.ok(w.repo.git.SetBranch(t.Context(), "topic", staging, ""))
	head, err = w.repo.git.CommitFiles(t.Context(), "topic", staging, map[string][]byte{"topic.yaml": []byte("t: 1\n")}, nil, "Topic", git.Identity{Name: "Mia", Email: "mia@localhost"})
	w.ok(err)
	pr, err = w.mia.Open(t.Context(), forge.NewPullRequest{Title: "Topic", Head: "topic", Base: "staging"})
	w.ok(err)
	next := w.checked(pr.Number, head)
	// The forge would not: it is the default branch. On the disk it can happen.
	w.ok(w.repo.git.DeleteRef(t.Context(), "refs/heads/staging", staging))
	w.superseded(next.ID)
}
