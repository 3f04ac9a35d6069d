package check

import (
	"context"
	"fmt"
	"slices"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/plan"
	"github.com/hubship/hubship/internal/ship/runs"
)

// policyResult is what the policy says of a pull request.
type policyResult struct {
	verdict
	Environment string // that the base drives
	After       string // the environment before that one
	Promotion   bool
	Mends       bool   // no process holds, and the change goes where one is read
	Nothing     string // why there is nothing to check; empty when there is
}

// policy judges where the change may go, by what the base describes, and that
// it brings no credential. It runs nothing of the change.
func (k checking) policy(ctx context.Context) (policyResult, error) {
	p := k.run.Pull.PullRequest
	var u policyResult
	now, err := k.o.Repository.Now(ctx)
	if err != nil && (ctx.Err() != nil || p.Base != now.Branch) {
		return u, err
	}
	// While no process holds, only what mends it is looked at.
	u.Mends = err != nil
	env, ok := now.EnvironmentOfBranch(p.Base)
	if !ok && p.Base != now.Branch {
		u.Nothing = "nothing is deployed from " + p.Base
		u.Summary = u.Nothing
		return u, nil
	}
	u.Environment, u.After = env.Name, env.After
	if env.After != "" {
		from, ok := now.Environment(env.After)
		switch {
		case !ok:
			return u, fmt.Errorf("environment %s comes after %q, which the process at %.12s does not define", env.Name, env.After, now.Commit)
		case p.Fork || p.HeadBranch != from.Branch:
			u.Failed = true
			u.Summary = fmt.Sprintf("%s accepts only what %s has proved: change the base of this pull request to %s", env.Name, from.Name, from.Branch)
			return u, nil
		}
		u.Promotion = true
	}
	if u.Problems, err = k.o.Assessor.Credentials(ctx, p.BaseCommit, p.Head); err != nil {
		return u, err
	}
	switch n := len(u.Problems); {
	case n > 0:
		u.Failed = true
		u.Summary = fmt.Sprintf("%s in the change: none of it is run", count(n, "credential"))
	case u.Promotion:
		u.Summary = fmt.Sprintf("promotes %s to %s", env.After, env.Name)
	case u.Mends:
		u.Summary = "no credentials; no process is in force to check more"
	case env.Name == "":
		u.Summary = "no credentials; nothing is deployed from " + p.Base
	default:
		u.Summary = fmt.Sprintf("may go to %s; no credentials", env.Name)
	}
	return u, nil
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// assessed is what the plan says, and what there is to do next.
type assessed struct {
	verdict
	Merged  string
	Process *model.Proposal
	Blocked string // why nothing can be run; empty when it can
	Work    checkWork
}

// checkWork is what a check runs.
type checkWork struct {
	Merged string
	Tests  []testWork
	Images []imageWork
}

// testWork is one of the repository's tests.
type testWork struct {
	Test    model.Test
	Files   string // digest of what it sees
	Skipped string // why it need not run; empty when it must
}

// imageWork is an image whose inputs the change alters.
type imageWork struct {
	Source   model.Source
	Before   *model.Source // what the base builds it from; nil when it is new
	Users    bool          // users' servers run it
	Packages []model.Package
}

// plan plans what the merge does, and finds out what there is to run.
func (k checking) plan(ctx context.Context, u policyResult) (assessed, error) {
	p := k.run.Pull.PullRequest
	q := model.AssessRequest{Run: k.run.ID, Base: p.BaseCommit, Head: p.Head, Branch: p.Base}
	if u.Promotion {
		q.Environments = []string{u.Environment}
	}
	found, err := k.o.Assessor.Assess(ctx, q)
	if err != nil {
		return assessed{}, err
	}
	for _, line := range found.Lines {
		k.say("plan", model.LevelInfo, "%s", line)
	}
	a := assessed{Merged: found.Merged, Process: found.Process, verdict: verdict{Failed: found.Errors > 0 || found.Conflict, Summary: found.Summary}}
	switch {
	case found.Conflict:
		a.Blocked = "not run: the change conflicts with " + p.Base
	case !u.Promotion && !u.Mends:
		if a.Work, err = k.work(ctx, u, found); err != nil {
			if ctx.Err() != nil {
				return a, err
			}
			// What the merge describes cannot be read: the plan says where.
			a.Blocked = "not run: " + runs.Describe(err)
			a.Failed = true
		}
	}
	return a, nil
}

// work finds out which tests the change concerns and which images it alters.
func (k checking) work(ctx context.Context, u policyResult, found model.Assessment) (checkWork, error) {
	w := checkWork{Merged: found.Merged}
	fleet, err := k.o.Fleets.At(ctx, found.Merged)
	if err != nil {
		return w, err
	}
	tests := fleet.Tests
	base, baseErr := k.o.Fleets.At(ctx, k.run.Pull.BaseCommit)
	if baseErr == nil {
		tests = bothVersions(base.Tests, tests)
	}
	if len(tests) > 0 {
		files, err := k.o.Repository.Files(ctx, found.Merged)
		if err != nil {
			return w, err
		}
		for _, t := range tests {
			one := testWork{Test: t, Files: digestOf(files, t)}
			if !slices.ContainsFunc(found.Changed, func(name string) bool { return sees(t, name) }) {
				one.Skipped = "the change does not touch any of its files"
			}
			w.Tests = append(w.Tests, one)
		}
	}
	if u.Environment == "" {
		return w, nil // nothing is built for a branch that nothing is deployed from
	}
	after, err := k.sources(ctx, fleet, u.Environment)
	if err != nil {
		return w, err
	}
	before := map[string]model.Source{}
	if baseErr == nil {
		list, err := k.sources(ctx, base, u.Environment)
		if err != nil {
			return w, err
		}
		for _, s := range list {
			before[s.ID] = s
		}
	}
	for _, s := range after {
		was, known := before[s.ID]
		if known && was.Hash == s.Hash {
			continue
		}
		one := imageWork{Source: s, Users: s.ForUsers()}
		if known {
			one.Before = &was
		}
		one.Packages = append(one.Packages, found.Packages[s.ID]...)
		w.Images = append(w.Images, one)
	}
	return w, nil
}

// bothVersions are the tests of a change and, beside them, those of its base
// that it removes or alters: what decides about a change is not the change's to
// say alone.
func bothVersions(base, now []model.Test) []model.Test {
	out := slices.Clone(now)
	for _, t := range base {
		same := func(o model.Test) bool { return o.Name == t.Name && plan.SameTest(o, t) }
		if slices.ContainsFunc(now, same) {
			continue
		}
		t.Name += ofBase
		out = append(out, t)
	}
	return out
}

// ofBase marks a test of the base that the change has not, or not so.
const ofBase = " (base)"

// sources lists the images of an environment's releases, each once.
func (k checking) sources(ctx context.Context, fleet *model.Fleet, env string) ([]model.Source, error) {
	desired, err := k.o.Repository.Desired(ctx, fleet, env)
	if err != nil {
		return nil, err
	}
	var all []model.Source
	for _, d := range desired {
		for _, s := range d.Images {
			if !slices.ContainsFunc(all, func(o model.Source) bool { return o.ID == s.ID }) {
				all = append(all, s)
			}
		}
	}
	return all, nil
}
