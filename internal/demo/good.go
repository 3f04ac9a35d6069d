package demo

import (
	"context"
	"fmt"
	"strings"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/model"
)

// Run plays the way of a good change: a package is proposed from a fork, built
// and tried in a sandbox, reviewed and merged; staging deploys it and imports
// it as a user, it is promoted, prod imports it.
func Run(ctx context.Context, o Options) (Result, error) {
	return perform(ctx, o, func(ctx context.Context, p *scenario) error {
		staging, err := p.release(ctx, p.from)
		if err != nil {
			return err
		}
		prod, err := p.release(ctx, p.into)
		if err != nil {
			return err
		}
		var pr forge.PullRequest
		var name, version, merge string
		if err := p.step("a contributor forks, adds a package and opens a pull request", func(*Step) error {
			pr, name, version, err = p.addPackage(ctx)
			return err
		}); err != nil {
			return err
		}
		if err := p.step("the pull request is checked", func(s *Step) error {
			return p.passes(ctx, s, pr, name, staging)
		}); err != nil {
			return err
		}
		if err := p.step("somebody else reviews and merges it", func(*Step) error {
			if err := p.mergeRefused(ctx, p.contributor, Contributor, pr, "contributors may not merge"); err != nil {
				return err
			}
			if err := p.mergeRefused(ctx, p.reviewer, Reviewer, pr, "nobody has approved it yet"); err != nil {
				return err
			}
			merge, err = p.review(ctx, pr.Number, true)
			return err
		}); err != nil {
			return err
		}
		if err := p.step(p.from+": deployed, verified", func(s *Step) error {
			r, err := p.runOf(ctx, p.from, merge, s)
			if err != nil {
				return err
			}
			return p.proved(ctx, r, pr, name, version)
		}); err != nil {
			return err
		}
		if err := p.untouched(ctx, prod); err != nil {
			return err
		}
		if err := p.step("the promotion to "+p.into+" is merged: deployed, verified", func(s *Step) error {
			return p.promoted(ctx, s, pr, name, version)
		}); err != nil {
			return err
		}
		p.Reporter.Say("🎉 %s %s is on %s, the very image that %s proved. Celebrate!", name, version, p.into, p.from)
		return nil
	})
}

// addPackage is what a contributor does at a desk.
func (p *scenario) addPackage(ctx context.Context) (pr forge.PullRequest, name, version string, err error) {
	d, err := p.clone(ctx)
	if err != nil {
		return pr, "", "", err
	}
	file, text, err := d.requirements(ctx, p.Hub)
	if err != nil {
		return pr, "", "", err
	}
	name, version, changed := next(text)
	if name == "" {
		return pr, "", "", fmt.Errorf("there is nothing left to add to %s", file)
	}
	p.Reporter.Say("branch %s: %s gets %s==%s", branches+name, file, name, version)
	if err := d.write(file, []byte(changed)); err != nil {
		return pr, "", "", err
	}
	title := fmt.Sprintf("Add %s %s to %s", name, version, p.Hub)
	if p.res.Commit, err = d.push(ctx, branches+name, title); err != nil {
		return pr, "", "", err
	}
	p.res.Package = name + "==" + version
	pr, err = p.propose(ctx, d, title)
	return pr, name, version, err
}

// passes checks what the check of a good change is said to have done.
func (p *scenario) passes(ctx context.Context, s *Step, pr forge.PullRequest, name string, before model.ReleaseStatus) error {
	r, err := p.checked(ctx, pr.Number, pr.Head.Commit, s)
	if err != nil {
		return err
	}
	if r.State != model.Done {
		return fmt.Errorf("the check %s ended %s: %s", r.ID, r.State, r.Reason)
	}
	var ids []string
	for _, i := range r.Pull.Images {
		ids = append(ids, i.ID)
	}
	if err := p.claim(len(ids) == 1 && strings.HasSuffix(ids[0], "user"), "only the users' image was built (%s)", strings.Join(ids, ", ")); err != nil {
		return err
	}
	smoke := r.Pull.Images[0].Smoke
	if err := p.claim(smoke != nil && smoke.Passed, "in a sandbox, the new image imports %s and starts a server", name); err != nil {
		return err
	}
	var names []string
	for _, part := range model.PartNames {
		names = append(names, "hubship/"+part)
	}
	if err := p.states(ctx, pr.Head.Commit, forge.Success, names...); err != nil {
		return err
	}
	if err := p.told(ctx, pr.Number, "Ready"); err != nil {
		return err
	}
	now, err := p.release(ctx, p.from)
	if err != nil {
		return err
	}
	return p.claim(now.Observed.Revision == before.Observed.Revision, "the pull request has deployed nothing (%s is at revision %d)", p.from, now.Observed.Revision)
}

// proved checks everything that the run on staging is said to have done.
func (p *scenario) proved(ctx context.Context, r model.Run, pr forge.PullRequest, name, version string) error {
	if r.State != model.Done {
		return fmt.Errorf("run %s ended %s: %s", r.ID, r.State, r.Reason)
	}
	if err := p.claim(len(rebuilt(r)) == 0, "nothing was rebuilt: %s runs the pull request's image", p.from); err != nil {
		return err
	}
	if err := p.imported(r, name, version); err != nil {
		return err
	}
	rel, err := p.release(ctx, p.from)
	if err != nil {
		return err
	}
	if err := p.claim(rel.Evidence != nil && rel.Evidence.Run == r.ID, "the evidence is kept beside the release on %s", p.from); err != nil {
		return err
	}
	if err := p.states(ctx, r.Commit, forge.Success, "hubship/"+p.from, "hubship/"+p.from+"/"+p.Hub); err != nil {
		return err
	}
	if err := p.told(ctx, pr.Number, "Deployed to "+p.from); err != nil {
		return err
	}
	return p.serves(ctx, p.from)
}

// imported checks that a run's verification imported the package.
func (p *scenario) imported(r model.Run, name, version string) error {
	rel, err := of(r, p.Hub)
	if err != nil {
		return err
	}
	c, ok := check(rel, "import "+name)
	return p.claim(ok && c.Passed && strings.Contains(c.Detail, version),
		"a user's kernel on %s imports %s: %s", r.Environment, name, c.Detail)
}

// promoted merges the promotion that is there by itself, and checks what prod
// is said to have got.
func (p *scenario) promoted(ctx context.Context, s *Step, change forge.PullRequest, name, version string) error {
	pr, err := p.found(ctx, p.intoBranch(), p.fromBranch())
	if err != nil {
		return err
	}
	if err := p.claim(true, "the promotion #%d opened by itself", pr.Number); err != nil {
		return err
	}
	if _, err := p.checked(ctx, pr.Number, pr.Head.Commit, &Step{}); err != nil {
		return err
	}
	if err := p.states(ctx, pr.Head.Commit, forge.Success, "hubship/policy", "hubship/plan", "hubship/promotion"); err != nil {
		return err
	}
	if pr, err = p.reviewer.PullRequest(ctx, pr.Number); err != nil {
		return err
	}
	if err := p.claim(strings.Contains(pr.Body, fmt.Sprintf("#%d", change.Number)), "it lists #%d", change.Number); err != nil {
		return err
	}
	merge, err := p.review(ctx, pr.Number, false)
	if err != nil {
		return err
	}
	r, err := p.runOf(ctx, p.into, merge, s)
	if err != nil {
		return err
	}
	if r.State != model.Done {
		return fmt.Errorf("run %s ended %s: %s", r.ID, r.State, r.Reason)
	}
	if err := p.claim(len(rebuilt(r)) == 0, "nothing was built for %s", p.into); err != nil {
		return err
	}
	if err := p.sameBytes(ctx); err != nil {
		return err
	}
	if err := p.imported(r, name, version); err != nil {
		return err
	}
	if err := p.told(ctx, change.Number, "Shipped to "+p.into); err != nil {
		return err
	}
	return p.serves(ctx, p.into)
}

// sameBytes checks that the hub runs on prod the very images that staging
// proved, as the evidence of both records them.
func (p *scenario) sameBytes(ctx context.Context) error {
	from, err := p.release(ctx, p.from)
	if err != nil {
		return err
	}
	into, err := p.release(ctx, p.into)
	if err != nil {
		return err
	}
	if from.Evidence == nil || into.Evidence == nil || len(into.Evidence.Images) == 0 {
		return fmt.Errorf("%s or %s lacks evidence for what it runs", p.from, p.into)
	}
	for _, i := range into.Evidence.Images {
		proved := ""
		for _, j := range from.Evidence.Images {
			if i.ID == j.ID {
				proved = j.Digest
			}
		}
		if err := p.claim(i.Digest != "" && i.Digest == proved, "%s runs the bytes that %s proved: image %s %.19s", p.into, p.from, i.ID, i.Digest); err != nil {
			return err
		}
	}
	return nil
}
