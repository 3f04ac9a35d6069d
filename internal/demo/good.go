package demo

import (
	"context"
	"fmt"
	"strings"

	"github.com/hubship/hubship/internal/model"
)

// Run plays the way of a good change: a package is added, staging builds,
// deploys and imports it, it is promoted, prod imports it.
func Run(ctx context.Context, o Options) (Result, error) {
	return perform(ctx, o, func(ctx context.Context, p *play) error {
		before, err := p.release(ctx, p.into)
		if err != nil {
			return err
		}
		var c *contributor
		var commit, name, version string
		if err := p.step("a contributor adds a package", func(*Step) error {
			c, commit, name, version, err = p.addPackage(ctx)
			return err
		}); err != nil {
			return err
		}
		if err := p.step("push to "+p.from+": built, deployed, verified", func(s *Step) error {
			if err := c.push(ctx, p.from); err != nil {
				return err
			}
			proved, err := p.runOf(ctx, p.from, commit, s)
			if err != nil {
				return err
			}
			return p.proved(ctx, proved, name, version)
		}); err != nil {
			return err
		}
		now, err := p.release(ctx, p.into)
		if err != nil {
			return err
		}
		if err := p.claim(now.Observed.Revision == before.Observed.Revision && now.Observed.Inputs == before.Observed.Inputs,
			"%s has not changed so far (revision %d)", p.into, now.Observed.Revision); err != nil {
			return err
		}
		if err := p.step("promote to "+p.into+": deployed, verified", func(s *Step) error {
			return p.promote(ctx, s, name, version)
		}); err != nil {
			return err
		}
		p.Stage.Say("🎉 %s %s is on %s, the very image that %s proved. Celebrate!", name, version, p.into, p.from)
		return nil
	})
}

// addPackage is what a contributor does at a desk.
func (p *play) addPackage(ctx context.Context) (c *contributor, commit, name, version string, err error) {
	p.Stage.Say("clone %s, branch %s", p.CloneURL, p.from)
	if c, err = p.clone(ctx, p.from); err != nil {
		return c, "", "", "", err
	}
	file, err := c.requirements(ctx, p.Hub)
	if err != nil {
		return c, "", "", "", err
	}
	text, err := c.read(file)
	if err != nil {
		return c, "", "", "", err
	}
	name, version, changed := next(text)
	if name == "" {
		return c, "", "", "", fmt.Errorf("nothing is left to add to %s", file)
	}
	p.Stage.Say("branch demo/%s: %s gets %s==%s", name, file, name, version)
	if err := c.write(file, []byte(changed)); err != nil {
		return c, "", "", "", err
	}
	if commit, err = c.commit(ctx, "demo/"+name, fmt.Sprintf("Add %s %s to %s", name, version, p.Hub)); err != nil {
		return c, "", "", "", err
	}
	p.Stage.Say("commit %.10s; the pull request is reviewed and merged into %s", commit, p.from)
	p.res.Package, p.res.Commit = name+"=="+version, commit
	return c, commit, name, version, nil
}

// proved checks everything that the run on staging is said to have done.
func (p *play) proved(ctx context.Context, r model.Run, name, version string) error {
	if r.State != model.Done {
		return fmt.Errorf("run %s ended %s: %s", r.ID, r.State, r.Reason)
	}
	built := rebuilt(r)
	if err := p.claim(len(built) == 1 && strings.HasSuffix(built[0], "user"),
		"of all images only that of the users was built (%s)", strings.Join(built, ", ")); err != nil {
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
	return p.serves(ctx, p.from)
}

// imported checks that a run's verification imported the package.
func (p *play) imported(r model.Run, name, version string) error {
	rel, err := of(r, p.Hub)
	if err != nil {
		return err
	}
	c, ok := check(rel, "import "+name)
	return p.claim(ok && c.Passed && strings.Contains(c.Detail, version),
		"a user's kernel on %s imports %s: %s", r.Environment, name, c.Detail)
}

// promote promotes and checks what prod is said to have got.
func (p *play) promote(ctx context.Context, s *Step, name, version string) error {
	promotion, err := p.Server.Promote(ctx, model.PromoteRequest{Environment: p.into, By: p.By})
	if err != nil {
		return err
	}
	if promotion.Refused != "" || promotion.Run == nil {
		return fmt.Errorf("the promotion was not let through: %q", promotion.Refused)
	}
	p.Stage.Say("merged into %s as %.10s", p.into, promotion.Merge)
	r, err := p.follow(ctx, *promotion.Run, s)
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
	return p.serves(ctx, p.into)
}

// sameBytes checks that the hub runs on prod the very images that staging
// proved, as the evidence of both records them.
func (p *play) sameBytes(ctx context.Context) error {
	from, err := p.release(ctx, p.from)
	if err != nil {
		return err
	}
	into, err := p.release(ctx, p.into)
	if err != nil {
		return err
	}
	if from.Evidence == nil || into.Evidence == nil || len(into.Evidence.Images) == 0 {
		return fmt.Errorf("%s or %s lacks evidence of what it runs", p.from, p.into)
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
