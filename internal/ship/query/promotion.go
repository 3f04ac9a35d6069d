package query

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hubship/hubship/internal/gate"
	"github.com/hubship/hubship/internal/model"
)

// Promotion says what merging one environment's branch into the next one's
// would bring there, and whether all of it is proved. It changes
// nothing. A refusal is part of the Promotion and an error with the exit code
// of a gate.
func (r *Reader) Promotion(ctx context.Context, req model.PromoteRequest) (model.Promotion, error) {
	process, err := r.o.Repository.Now(ctx)
	if err != nil {
		return model.Promotion{}, err
	}
	into, err := promotionTarget(process, req.Environment)
	if err != nil {
		return model.Promotion{}, err
	}
	from, ok := process.Environment(into.After)
	if !ok {
		return model.Promotion{}, fmt.Errorf("environment %s comes after %q, which is not in hubship.yaml", into.Name, into.After)
	}
	p := model.Promotion{From: from.Name, Into: into.Name}
	head, err := r.o.Repository.Head(ctx, from.Branch)
	if err != nil {
		return p, err
	}
	base, err := r.o.Repository.Head(ctx, into.Branch)
	if err != nil {
		return p, err
	}
	if head == "" || base == "" {
		return p, model.WithHint(fmt.Errorf("promotion needs the branches %s and %s", from.Branch, into.Branch), "push the one that is missing")
	}
	p.Head = head
	if merged, err := r.o.Repository.IsAncestor(ctx, head, base); err != nil {
		return p, err
	} else if merged {
		p.Refused = fmt.Sprintf("%s already has everything in %s", into.Name, from.Name)
		return p, nil
	}
	if p.Commits, err = r.o.Repository.Log(ctx, base, head); err != nil {
		return p, err
	}
	if p.Hubs, err = r.promotionVerdicts(ctx, head, base, into); err != nil {
		return p, err
	}
	if p.Refused = refusal(p, req.Hubs); p.Refused != "" {
		return p, model.RefusedBy(errors.New(p.Refused), fmt.Sprintf("`hubship status` shows what %s has verified; merge a fix or a revert into %s", from.Name, from.Branch))
	}
	return p, nil
}

// promotionTarget finds the environment to promote into.
func promotionTarget(process model.Process, name string) (model.Environment, error) {
	if name != "" {
		env, ok := process.Environment(name)
		if !ok || env.After == "" {
			return env, model.Usage(fmt.Errorf("nothing can be promoted into %q", name), "name an environment that has `after` in hubship.yaml")
		}
		return env, nil
	}
	var targets []model.Environment
	for _, env := range process.Environments {
		if env.After != "" {
			targets = append(targets, env)
		}
	}
	if len(targets) != 1 {
		return model.Environment{}, model.Usage(fmt.Errorf("there are %d environments to promote into", len(targets)), "choose one with --env")
	}
	return targets[0], nil
}

// promotionVerdicts asks the gate about every hub that the promotion changes.
func (r *Reader) promotionVerdicts(ctx context.Context, head, base string, into model.Environment) ([]model.HubVerdict, error) {
	fleet, err := r.o.Fleets.At(ctx, head)
	if err != nil {
		return nil, err
	}
	wanted, err := r.o.Repository.Desired(ctx, fleet, into.Name)
	if err != nil {
		return nil, err
	}
	now := map[string]model.Desired{}
	if old, err := r.o.Fleets.At(ctx, base); err == nil {
		if had, err := r.o.Repository.Desired(ctx, old, into.Name); err == nil {
			for _, d := range had {
				now[d.Target.Hub] = d
			}
		}
	}
	var verdicts []model.HubVerdict
	for _, d := range wanted {
		if had, ok := now[d.Target.Hub]; ok && had.Shared == d.Shared && had.Own == d.Own {
			continue
		}
		before, err := r.o.Proof.Of(ctx, fleet, into, d)
		if err != nil {
			return nil, err
		}
		names, _, err := r.o.Proof.Names(ctx, d, model.Resolved{}, before.Evidence)
		if err != nil {
			return nil, err
		}
		verdicts = append(verdicts, gate.Enter(gate.Request{Target: d.Target, Desired: d, After: &before, Names: names}))
	}
	return verdicts, nil
}

// refusal says why a promotion may not happen, or "". With hubs named, only
// theirs counts: the deploy gate holds back the others, each by itself.
func refusal(p model.Promotion, hubs []string) string {
	for _, h := range hubs {
		if !slices.ContainsFunc(p.Hubs, func(v model.HubVerdict) bool { return v.Hub == h }) {
			return fmt.Sprintf("the promotion changes nothing for hub %s", h)
		}
	}
	for _, v := range p.Hubs {
		if v.Allowed || (len(hubs) > 0 && !slices.Contains(hubs, v.Hub)) {
			continue
		}
		return fmt.Sprintf("%s may not enter %s: %s", v.Hub, p.Into, strings.Join(v.Reasons, "; "))
	}
	return ""
}
