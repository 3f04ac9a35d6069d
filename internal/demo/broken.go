package demo

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/model"
)

// Broken plays the way of a bad change. A package that raises on import is
// stopped by the check of its pull request. One that raises in a user's server
// alone gets past it and past review: staging fails and is rolled back, prod
// never changes, the promotion is refused, and the revert, which is there by
// itself, goes through without building anything.
//
// When it fails half-way it leaves the repository as it is: what went wrong is
// then there to look at.
func Broken(ctx context.Context, o Options) (Result, error) {
	return perform(ctx, o, func(ctx context.Context, p *scenario) error {
		staging, err := p.release(ctx, p.from)
		if err != nil {
			return err
		}
		prod, err := p.release(ctx, p.into)
		if err != nil {
			return err
		}
		var d *workspace
		var pr forge.PullRequest
		if err := p.step("a contributor proposes a package that cannot be imported", func(*Step) error {
			d, pr, err = p.addBroken(ctx)
			return err
		}); err != nil {
			return err
		}
		if err := p.step("the check stops it", func(s *Step) error { return p.stopped(ctx, s, pr) }); err != nil {
			return err
		}
		if err := p.step("the contributor pushes one that fails only in a user's server", func(s *Step) error {
			return p.sneaks(ctx, s, d, &pr)
		}); err != nil {
			return err
		}
		var merge string
		if err := p.step("nobody notices in review", func(*Step) error {
			merge, err = p.review(ctx, pr.Number, true)
			return err
		}); err != nil {
			return err
		}
		if err := p.step(p.from+": deployed, failed, rolled back", func(s *Step) error {
			return p.fails(ctx, s, pr, merge, staging)
		}); err != nil {
			return err
		}
		if err := p.step("try to promote it", func(*Step) error { return p.refused(ctx) }); err != nil {
			return err
		}
		if err := p.untouched(ctx, prod); err != nil {
			return err
		}
		if err := p.step("merge the revert, which opened by itself", func(s *Step) error { return p.reverts(ctx, s, pr, staging) }); err != nil {
			return err
		}
		if err := p.untouched(ctx, prod); err != nil {
			return err
		}
		p.Reporter.Say("🎉 %s never knew. That is what staging is for.", p.into)
		return nil
	})
}

func (p *scenario) addBroken(ctx context.Context) (d *workspace, pr forge.PullRequest, err error) {
	if d, err = p.clone(ctx); err != nil {
		return d, pr, err
	}
	file, text, err := d.requirements(ctx, p.Hub)
	if err != nil {
		return d, pr, err
	}
	if _, there := pinned(text, brokenName); there {
		return d, pr, model.WithHint(fmt.Errorf("%s already lists %s", file, brokenName), "an earlier demo stopped halfway: merge the revert of its pull request into "+p.from)
	}
	p.Reporter.Say("%s gets %s %s, which installs but fails on import", file, brokenName, brokenWheels[0].version)
	if err := d.addWheel(file, text, brokenWheels[0]); err != nil {
		return d, pr, err
	}
	title := fmt.Sprintf("Add %s to %s", brokenName, p.Hub)
	if _, err := d.push(ctx, branches+brokenName, title); err != nil {
		return d, pr, err
	}
	pr, err = p.propose(ctx, d, title)
	return d, pr, err
}

// addWheel writes a wheel beside a requirements file, whose text so far is
// given, and lists it there.
func (d *workspace) addWheel(file, text string, w wheel) error {
	name, data, err := w.file()
	if err != nil {
		return err
	}
	return errors.Join(d.write(path.Join(path.Dir(file), "packages", name), data), d.write(file, []byte(w.listed(text))))
}

// stopped checks that a pull request whose package cannot be imported is red
// and cannot be merged.
func (p *scenario) stopped(ctx context.Context, s *Step, pr forge.PullRequest) error {
	r, err := p.checked(ctx, pr.Number, pr.Head.Commit, s)
	if err != nil {
		return err
	}
	if err := p.claim(r.State == model.FailedRun && r.Pull.Part(model.PartImages).State == model.PartFailed,
		"the new image is tried out in a sandbox, and fails: %s", r.Pull.Part(model.PartImages).Summary); err != nil {
		return err
	}
	if err := p.states(ctx, pr.Head.Commit, forge.Failure, "hubship/images"); err != nil {
		return err
	}
	if _, err := p.reviewer.Review(ctx, pr.Number, forge.NewReview{State: forge.Approved, Commit: pr.Head.Commit, Body: "Looks fine to me."}); err != nil {
		return err
	}
	return p.mergeRefused(ctx, p.reviewer, Reviewer, pr, "its checks are red, whether it is approved or not")
}

// sneaks pushes to the pull request what its check cannot find.
func (p *scenario) sneaks(ctx context.Context, s *Step, d *workspace, pr *forge.PullRequest) error {
	file, text, err := d.requirements(ctx, p.Hub)
	if err != nil {
		return err
	}
	if err := d.addWheel(file, text, brokenWheels[1]); err != nil {
		return err
	}
	commit, err := d.push(ctx, d.branch, "Use the version that can be imported")
	if err != nil {
		return err
	}
	p.res.Package, p.res.Commit = brokenName+"=="+brokenWheels[1].version, commit
	r, err := p.checked(ctx, pr.Number, commit, s)
	if err != nil {
		return err
	}
	if r.State != model.Done {
		return fmt.Errorf("the check %s ended %s: %s", r.ID, r.State, r.Reason)
	}
	if err := p.states(ctx, commit, forge.Success, "hubship/images"); err != nil {
		return err
	}
	*pr, err = p.contributor.PullRequest(ctx, pr.Number)
	return err
}

// fails checks that staging deployed the change, failed it for the right
// reason, and went back to what it ran before.
func (p *scenario) fails(ctx context.Context, s *Step, pr forge.PullRequest, commit string, before model.ReleaseStatus) error {
	r, err := p.runOf(ctx, p.from, commit, s)
	if err != nil {
		return err
	}
	if err := p.claim(r.State == model.FailedRun, "the run on %s failed: %s", p.from, r.Reason); err != nil {
		return err
	}
	rel, err := of(r, p.Hub)
	if err != nil {
		return err
	}
	got, ok := check(rel, "import "+brokenName)
	if err := p.claim(ok && !got.Passed && !got.Skipped && strings.Contains(got.Detail+got.Log, brokenMessage),
		"a user's kernel cannot import it: %s", got.Detail); err != nil {
		return err
	}
	if err := p.claim(rel.RolledBackTo > 0, "%s is rolled back to revision %d", p.from, rel.RolledBackTo); err != nil {
		return err
	}
	now, err := p.release(ctx, p.from)
	if err != nil {
		return err
	}
	if err := p.claim(now.Observed.Status == model.Deployed && now.Observed.Inputs == before.Observed.Inputs,
		"%s runs exactly what it ran before", p.from); err != nil {
		return err
	}
	if err := p.claim(now.Halt != nil && now.Halt.Commit == commit, "%s is halted, so that nothing is promoted from it", p.from); err != nil {
		return err
	}
	if err := p.states(ctx, commit, forge.Failure, "hubship/"+p.from, "hubship/"+p.from+"/"+p.Hub); err != nil {
		return err
	}
	if err := p.told(ctx, pr.Number, "Failed on "+p.from); err != nil {
		return err
	}
	return p.serves(ctx, p.from)
}

// refused checks that a gate refuses the promotion.
func (p *scenario) refused(ctx context.Context) error {
	promotion, err := p.Server.Promote(ctx, model.PromoteRequest{Environment: p.into, By: Reviewer})
	why := promotion.Refused
	if err != nil {
		why = err.Error()
		if model.ExitCodeOf(err) != model.ExitRefused {
			return fmt.Errorf("the promotion failed for another reason: %w", err)
		}
	}
	return p.claim(why != "" && promotion.Merge == "", "the promotion is refused: %s", why)
}

// untouched checks that prod is what it was.
func (p *scenario) untouched(ctx context.Context, before model.ReleaseStatus) error {
	now, err := p.release(ctx, p.into)
	if err != nil {
		return err
	}
	a, b := before.Observed, now.Observed
	if err := p.claim(a.Revision == b.Revision && a.Inputs == b.Inputs && a.Commit == b.Commit && a.Updated.Equal(b.Updated),
		"%s is untouched (revision %d of %s)", p.into, b.Revision, b.Updated.Format("15:04:05")); err != nil {
		return err
	}
	return p.serves(ctx, p.into)
}

// reverts merges the revert and checks that it goes through and builds nothing.
func (p *scenario) reverts(ctx context.Context, s *Step, broken forge.PullRequest, before model.ReleaseStatus) error {
	pr, err := p.found(ctx, p.fromBranch(), fmt.Sprintf("revert-%d", broken.Number))
	if err != nil {
		return err
	}
	p.res.Pulls = append(p.res.Pulls, pr.Number)
	if err := p.told(ctx, broken.Number, fmt.Sprintf("#%d reverts this change", pr.Number)); err != nil {
		return err
	}
	check, err := p.checked(ctx, pr.Number, pr.Head.Commit, &Step{})
	if err != nil {
		return err
	}
	if err := p.claim(check.State == model.Done && len(builtBy(check)) == 0, "its check builds nothing"); err != nil {
		return err
	}
	if err := p.states(ctx, pr.Head.Commit, forge.Success, "hubship/plan", "hubship/images"); err != nil {
		return err
	}
	merge, err := p.review(ctx, pr.Number, true)
	if err != nil {
		return err
	}
	r, err := p.runOf(ctx, p.from, merge, s)
	if err != nil {
		return err
	}
	if err := p.claim(r.State == model.Done || r.State == model.Unchanged, "the revert is deployed: %s", r.State); err != nil {
		return err
	}
	if err := p.claim(len(rebuilt(r)) == 0, "no image was built for it"); err != nil {
		return err
	}
	now, err := p.release(ctx, p.from)
	if err != nil {
		return err
	}
	if err := p.claim(now.Halt == nil && now.InSync && now.Evidence != nil && now.Observed.Inputs == before.Observed.Inputs,
		"%s is in order again: not halted, in sync, with evidence", p.from); err != nil {
		return err
	}
	return p.serves(ctx, p.from)
}
