package planning

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/hubship/hubship/internal/gate"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/ship/proof"
	"github.com/hubship/hubship/internal/ship/runs"
)

// enter asks the gate of the environment. proven says that the release runs what
// is desired, with evidence of this environment.
func (p *Planner) enter(ctx context.Context, around surroundings, r model.Run, rel *Release, proven bool) (model.HubVerdict, error) {
	d, running := rel.Desired, rel.Before
	req := gate.Request{Target: d.Target, Desired: d, Force: r.Force, Astray: around.astray}
	if running.Commit != "" && running.Commit != d.Commit {
		older, err := p.o.Repository.IsAncestor(ctx, d.Commit, running.Commit)
		// What a force-push removed cannot be compared; that is no way back.
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return model.HubVerdict{}, err
		}
		req.Older, req.Running = older, running.Commit
	}
	if around.env.After != "" {
		before, err := p.o.Proof.Of(ctx, around.fleet, around.env, d)
		if err != nil {
			return model.HubVerdict{}, err
		}
		req.After = &before
		if before.Evidence != nil && proven {
			req.Names = proof.Named(rel.Resolved) // it needs no second look
		} else if req.Names, rel.Resolved, err = p.o.Proof.Names(ctx, d, rel.Resolved, before.Evidence); err != nil {
			return model.HubVerdict{}, err
		}
	}
	return gate.Enter(req), nil
}

// RefusedNow says why a release that a plan let in may no longer be deployed, or
// "". resolved is what it names that was made elsewhere. Hours may have passed since
// the plan: other hubs went first, somebody else held the Lease, or this process was
// not running. In the meantime a halt may have been recorded, a key removed, or the
// process changed. What cannot be checked is a refusal; only the end of the context
// is an error.
func (p *Planner) RefusedNow(ctx context.Context, rel Release, resolved model.Resolved) (string, error) {
	why, err := p.askAgain(ctx, rel, resolved)
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	if err != nil {
		return "it is unknown whether it may still be deployed: " + runs.Describe(err), nil
	}
	return why, nil
}

func (p *Planner) askAgain(ctx context.Context, rel Release, resolved model.Resolved) (string, error) {
	d := rel.Desired
	fleet, err := p.o.Fleets.At(ctx, d.Commit)
	if err != nil {
		return "", err
	}
	env, ok := fleet.Environment(d.Target.Environment)
	if !ok {
		return fmt.Sprintf("the process no longer has an environment %s", d.Target.Environment), nil
	}
	if t, err := fleet.Target(d.Target.Hub, env.Name); err != nil || t != d.Target {
		return "the process now places it elsewhere", err
	}
	if cluster, err := p.o.Fleets.Cluster(ctx, d.Target); err != nil || cluster != rel.Cluster {
		return fmt.Sprintf("the name %s now stands for another cluster", d.Target.Cluster), err
	}
	astray, err := p.o.Fleets.Astray(ctx, env, d.Commit)
	if err != nil || astray != "" {
		return astray, err
	}
	if env.After == "" {
		return "", nil
	}
	before, err := p.o.Proof.Of(ctx, fleet, env, d)
	if err != nil {
		return "", err
	}
	verdict := gate.Enter(gate.Request{Target: d.Target, Desired: d, After: &before, Names: proof.Named(resolved)})
	if verdict.Allowed {
		return "", nil
	}
	return strings.Join(verdict.Reasons, "; "), nil
}
