package demo

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/hubship/hubship/internal/model"
)

// Broken plays the way of a bad change: a package that installs but raises on
// import. staging fails and is rolled back, prod never changes, the promotion
// is refused, and a revert goes through without building anything.
//
// When it fails half-way it leaves the repository as it is: what went wrong is
// then there to look at.
func Broken(ctx context.Context, o Options) (Result, error) {
	return perform(ctx, o, func(ctx context.Context, p *play) error {
		staging, err := p.release(ctx, p.from)
		if err != nil {
			return err
		}
		prod, err := p.release(ctx, p.into)
		if err != nil {
			return err
		}
		var c *contributor
		var commit string
		if err := p.step("a contributor adds a broken package", func(*Step) error {
			c, commit, err = p.addBroken(ctx)
			return err
		}); err != nil {
			return err
		}
		if err := p.step("push to "+p.from+": built, deployed, fails, rolled back", func(s *Step) error {
			return p.fails(ctx, s, c, commit, staging)
		}); err != nil {
			return err
		}
		if err := p.step("try to promote it", func(*Step) error { return p.refused(ctx) }); err != nil {
			return err
		}
		if err := p.untouched(ctx, prod); err != nil {
			return err
		}
		if err := p.step("revert it", func(s *Step) error { return p.reverts(ctx, s, c, staging) }); err != nil {
			return err
		}
		if err := p.untouched(ctx, prod); err != nil {
			return err
		}
		p.Stage.Say("🎉 %s never knew. That is what staging is for.", p.into)
		return nil
	})
}

func (p *play) addBroken(ctx context.Context) (*contributor, string, error) {
	p.Stage.Say("clone %s, branch %s", p.CloneURL, p.from)
	c, err := p.clone(ctx, p.from)
	if err != nil {
		return nil, "", err
	}
	file, err := c.requirements(ctx, p.Hub)
	if err != nil {
		return nil, "", err
	}
	text, err := c.read(file)
	if err != nil {
		return nil, "", err
	}
	if _, there := pinned(text, brokenName); there {
		return nil, "", model.WithHint(fmt.Errorf("%s already lists %s", file, brokenName), "an earlier demo ended half-way: revert its commit on "+p.from)
	}
	wheel, data, err := brokenWheel()
	if err != nil {
		return nil, "", err
	}
	p.Stage.Say("%s gets %s %s, which installs but raises on import", file, brokenName, brokenVersion)
	if err := errors.Join(c.write(path.Join(path.Dir(file), "packages", wheel), data), c.write(file, []byte(withBroken(text)))); err != nil {
		return nil, "", err
	}
	commit, err := c.commit(ctx, "demo/"+brokenName, fmt.Sprintf("Add %s to %s", brokenName, p.Hub))
	if err != nil {
		return nil, "", err
	}
	p.Stage.Say("commit %.10s; nobody notices in review, and it is merged into %s", commit, p.from)
	p.res.Package, p.res.Commit = brokenName+"=="+brokenVersion, commit
	return c, commit, nil
}

// fails checks that staging built and deployed the change, failed it for the
// right reason, and went back to what it ran before.
func (p *play) fails(ctx context.Context, s *Step, c *contributor, commit string, before model.ReleaseStanza) error {
	if err := c.push(ctx, p.from); err != nil {
		return err
	}
	r, err := p.runOf(ctx, p.from, commit, s)
	if err != nil {
		return err
	}
	if err := p.claim(r.State == model.FailedRun, "the run on %s ends %s: %s", p.from, r.State, r.Reason); err != nil {
		return err
	}
	// Its image may be in the registry already from an earlier demo: the
	// broken package is always the same, and then nothing is built.
	if err := p.claim(len(rebuilt(r)) <= 1, "at most the users' image was built (%s)", strings.Join(rebuilt(r), ", ")); err != nil {
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
	if err := p.claim(rel.RolledBackTo > 0, "%s is rolled back to what ran at revision %d", p.from, rel.RolledBackTo); err != nil {
		return err
	}
	now, err := p.release(ctx, p.from)
	if err != nil {
		return err
	}
	if err := p.claim(now.Observed.Status == model.Deployed && now.Observed.Inputs == before.Observed.Inputs,
		"%s runs again exactly what it ran before", p.from); err != nil {
		return err
	}
	if err := p.claim(now.Halt != nil && now.Halt.Commit == commit, "%s is halted, so that nothing is promoted from it", p.from); err != nil {
		return err
	}
	return p.serves(ctx, p.from)
}

// refused checks that a gate refuses the promotion.
func (p *play) refused(ctx context.Context) error {
	promotion, err := p.Server.Promote(ctx, model.PromoteRequest{Environment: p.into, By: p.By})
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
func (p *play) untouched(ctx context.Context, before model.ReleaseStanza) error {
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

// reverts checks that the revert goes through and builds nothing.
func (p *play) reverts(ctx context.Context, s *Step, c *contributor, before model.ReleaseStanza) error {
	commit, err := c.revert(ctx)
	if err != nil {
		return err
	}
	p.Stage.Say("git revert: %.10s, pushed to %s", commit, p.from)
	if err := c.push(ctx, p.from); err != nil {
		return err
	}
	r, err := p.runOf(ctx, p.from, commit, s)
	if err != nil {
		return err
	}
	if err := p.claim(r.State == model.Done || r.State == model.Unchanged, "the revert goes through: %s", r.State); err != nil {
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
