package planning

import (
	"context"
	"errors"
	"fmt"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/plan"
	"github.com/hubship/hubship/internal/ship/runs"
)

// release decides about one release.
func (p *Planner) release(ctx context.Context, around surroundings, r model.Run, d model.Desired) (Release, error) {
	rel := Release{Desired: d}
	if why := around.refused(d); why != "" {
		rel.Action, rel.Reasons = plan.Refuse, []string{why}
		return rel, nil
	}
	cluster, err := p.o.Fleets.Cluster(ctx, d.Target)
	if errors.Is(err, model.ErrUnknownCluster) {
		rel.Action, rel.Reasons = plan.Refuse, []string{runs.Describe(err)}
		return rel, nil
	}
	if err != nil {
		return rel, err
	}
	rel.Cluster = cluster
	before, err := p.o.Releases.Observe(ctx, cluster, d.Target)
	if err != nil {
		return rel, err
	}
	rel.Before = before
	halt, halted, err := p.o.Evidence.Halted(ctx, cluster, d.Target)
	if err != nil {
		return rel, err
	}
	rel.Halted = halted
	proof, proven, err := p.o.Evidence.Evidence(ctx, cluster, d.Target, d.Shared)
	if err != nil {
		return rel, err
	}
	facts := plan.Facts{
		Kind: r.Kind, Force: r.Force, Observed: before,
		GitInputs: plan.Inputs(d, nil, model.Resolved{}),
	}
	if halted {
		facts.Halt = &halt
	}

	rel.First = around.env.After == ""
	if proven {
		rel.Resolved = proof.Resolved
	}
	verdict, err := p.enter(ctx, around, r, &rel, proven && before.Status == model.Deployed && before.Inputs == plan.Inputs(d, proof.Images, proof.Resolved))
	if err != nil {
		return rel, err
	}
	if rel.Images, err = p.chooseImages(ctx, around, d, proof, proven, &verdict); err != nil {
		return rel, err
	}
	complete := len(rel.Images) == len(d.Images)
	if complete {
		facts.Inputs = plan.Inputs(d, rel.Images, rel.Resolved)
		facts.Verified = proven && proof.Inputs == facts.Inputs
	}
	facts.Verdict = verdict
	rel.Action, rel.Reasons = plan.Decide(facts)
	if rel.Action == plan.Upgrade || rel.Action == plan.Test {
		if rel.Passed, err = p.lastPassed(ctx, cluster, d.Target); err != nil {
			return rel, err
		}
		rel.Packages, err = p.packagesToImport(ctx, r, rel.Passed, d)
	}
	return rel, err
}

// chooseImages returns the images that a release runs: those that ran here with
// the same inputs, those that the environment before has proved, or, in the first
// environment, what its sources were built into; there some may be missing. It
// refuses in the verdict what is proved and gone.
func (p *Planner) chooseImages(ctx context.Context, around surroundings, d model.Desired, proof model.Evidence, proven bool, verdict *model.HubVerdict) ([]model.Built, error) {
	if proven {
		// A revert runs these very bytes again.
		if all, err := p.allExist(ctx, proof.Images); err != nil || all {
			return proof.Images, err
		}
	}
	if verdict.Proof != nil {
		all, err := p.allExist(ctx, verdict.Proof.Images)
		if err != nil {
			return nil, err
		}
		if !all {
			verdict.Allowed = false
			verdict.Reasons = append(verdict.Reasons, fmt.Sprintf("an image that was verified in %s is no longer in the registry", around.env.After))
		}
		return verdict.Proof.Images, nil
	}
	if around.env.After != "" {
		return nil, nil
	}
	return around.finder.find(ctx, d.Images)
}

// lastPassed is the commit of the newest evidence of a release that counts, or
// "".
func (p *Planner) lastPassed(ctx context.Context, cluster model.Cluster, t model.Target) (string, error) {
	records, err := p.o.Evidence.Records(ctx, cluster, t)
	if err != nil {
		return "", err
	}
	for _, r := range records {
		if r.Believed && r.Evidence != nil {
			return r.Evidence.Commit, nil
		}
	}
	return "", nil
}
