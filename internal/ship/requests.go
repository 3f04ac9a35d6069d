package ship

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/gate"
	"github.com/hubship/hubship/internal/model"
)

// Start queues a run and returns it at once.
func (e *Engine) Start(ctx context.Context, req model.RunRequest) (model.Run, error) {
	if !slices.Contains([]model.RunKind{model.Deploy, model.Verify, model.Rollback}, req.Kind) {
		return model.Run{}, model.Usage(fmt.Errorf("unknown kind of run %q", req.Kind), "use deploy, verify or rollback")
	}
	fleet, env, head, err := e.environment(ctx, req.Environment)
	if err != nil {
		return model.Run{}, err
	}
	commit := head
	if req.Rev != "" {
		if req.Kind != model.Deploy {
			return model.Run{}, model.Usage(fmt.Errorf("a revision goes with deploy alone"), "leave it out")
		}
		if commit, err = e.Repository.Resolve(ctx, req.Rev); err != nil {
			return model.Run{}, model.Usage(err, "name a commit, branch or tag of the deployment repository")
		}
		if commit != head {
			why, err := e.astray(ctx, env, commit)
			if err != nil {
				return model.Run{}, err
			}
			if why != "" {
				return model.Run{}, model.RefusedBy(errors.New(why), "merge it into that branch first")
			}
			if fleet, err = e.fleet(ctx, commit); err != nil {
				return model.Run{}, err
			}
		}
	}
	if req.Kind == model.Rollback && len(req.Hubs) != 1 {
		return model.Run{}, model.Usage(errors.New("a rollback names exactly one hub"), "add --hub HUB")
	}
	for _, h := range req.Hubs {
		if _, err := fleet.Target(h, env.Name); err != nil {
			return model.Run{}, model.Usage(err, "`hubship status` lists the hubs")
		}
	}
	return e.enqueue(ctx, req, commit)
}

// Pushed queues the runs that a push asks for and returns them. A branch that
// the process does not name asks for none, whatever it says of itself. A push
// that is never told is found by the next reconcile pass.
func (e *Engine) Pushed(ctx context.Context, updates []forge.RefUpdate, by string) ([]model.Run, error) {
	now, err := e.Repository.Now(ctx)
	if err != nil {
		return nil, err
	}
	var runs []model.Run
	var errs error
	for _, u := range updates {
		if u.Branch == now.Branch {
			// What the process lets happen elsewhere may be another thing now.
			e.Kick()
		}
		env, ok := now.EnvironmentOfBranch(u.Branch)
		if !ok || u.Deleted() {
			continue
		}
		if _, err := e.fleet(ctx, u.New); err != nil {
			errs = errors.Join(errs, fmt.Errorf("branch %s at %.12s: %w", u.Branch, u.New, err))
			continue
		}
		run, err := e.enqueue(ctx, model.RunRequest{Kind: model.Deploy, Environment: env.Name, Cause: "push by " + by, By: by}, u.New)
		if err != nil {
			errs = errors.Join(errs, err)
			continue
		}
		runs = append(runs, run)
	}
	return runs, errs
}

// Promotion says what merging one environment's branch into the next one's
// would bring there, and whether everything of it is proved. It changes
// nothing. A refusal is part of the Promotion and an error with the exit code
// of a gate.
func (e *Engine) Promotion(ctx context.Context, req model.PromoteRequest) (model.Promotion, error) {
	process, err := e.Repository.Now(ctx)
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
	head, err := e.Repository.Head(ctx, from.Branch)
	if err != nil {
		return p, err
	}
	base, err := e.Repository.Head(ctx, into.Branch)
	if err != nil {
		return p, err
	}
	if head == "" || base == "" {
		return p, model.WithHint(fmt.Errorf("promotion needs the branches %s and %s", from.Branch, into.Branch), "push the one that is missing")
	}
	p.Head = head
	if merged, err := e.Repository.IsAncestor(ctx, head, base); err != nil {
		return p, err
	} else if merged {
		p.Refused = fmt.Sprintf("%s already has everything that %s has", into.Name, from.Name)
		return p, nil
	}
	if p.Commits, err = e.Repository.Log(ctx, base, head); err != nil {
		return p, err
	}
	if p.Hubs, err = e.promotionVerdicts(ctx, head, base, from, into); err != nil {
		return p, err
	}
	if p.Refused = refusal(p, req.Hubs); p.Refused != "" {
		return p, model.RefusedBy(errors.New(p.Refused), fmt.Sprintf("`hubship status` shows what %s has verified; push a fix or a revert to %s", from.Name, from.Branch))
	}
	return p, nil
}

// promotionTarget finds the environment to promote into.
func promotionTarget(process model.Process, name string) (model.Environment, error) {
	if name != "" {
		env, ok := process.Environment(name)
		if !ok || env.After == "" {
			return env, model.Usage(fmt.Errorf("nothing is promoted into %q", name), "name an environment that has `after` in hubship.yaml")
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
		return model.Environment{}, model.Usage(fmt.Errorf("%d environments come after another", len(targets)), "say which one with --env")
	}
	return targets[0], nil
}

// promotionVerdicts asks the gate about every hub that the promotion changes.
func (e *Engine) promotionVerdicts(ctx context.Context, head, base string, from, into model.Environment) ([]model.HubVerdict, error) {
	fleet, err := e.fleet(ctx, head)
	if err != nil {
		return nil, err
	}
	wanted, err := e.Repository.Desired(ctx, fleet, into.Name)
	if err != nil {
		return nil, err
	}
	now := map[string]model.Desired{}
	if old, err := e.fleet(ctx, base); err == nil {
		if had, err := e.Repository.Desired(ctx, old, into.Name); err == nil {
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
		proof, err := e.proofFor(ctx, fleet, into, d)
		if err != nil {
			return nil, err
		}
		names, err := e.names(ctx, &releasePlan{Desired: d}, proof.Evidence, false)
		if err != nil {
			return nil, err
		}
		verdicts = append(verdicts, gate.Enter(gate.Request{Target: d.Target, Desired: d, After: &proof, Names: names}))
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
		return fmt.Sprintf("%s may not enter %s: %s", v.Hub, p.Into, joinReasons(v.Reasons))
	}
	return ""
}

// Resume clears a hub's halt.
func (e *Engine) Resume(ctx context.Context, env, hub, by string) error {
	fleet, _, _, err := e.environment(ctx, env)
	if err != nil {
		return err
	}
	target, err := fleet.Target(hub, env)
	if err != nil {
		return model.Usage(err, "`hubship status` lists the hubs")
	}
	cluster, err := e.cluster(ctx, target)
	if err != nil {
		return err
	}
	halt, halted, err := e.Ledger.Halted(ctx, cluster, target)
	if err != nil {
		return err
	}
	if !halted {
		return model.WithHint(fmt.Errorf("%s is not halted", target), "nothing to do")
	}
	if err := e.Ledger.Clear(ctx, cluster, target); err != nil {
		return err
	}
	e.say(halt.Run, target.Key(), model.LevelInfo, "%s: halt cleared by %s", target, by)
	e.Kick()
	return nil
}

// Cancel ends a run: a queued one never starts, one under way stops what it
// does and halts the hubs that it worked on.
func (e *Engine) Cancel(ctx context.Context, id, by string) error {
	r, err := e.History.Get(ctx, id)
	if errors.Is(err, fs.ErrNotExist) {
		return model.Usage(fmt.Errorf("there is no run %q", id), "`hubship history` lists the runs")
	}
	if err != nil {
		return err
	}
	if r.State.Final() {
		return model.WithHint(fmt.Errorf("run %s has already ended: %s", id, r.State), "nothing to do")
	}
	e.mu.Lock()
	c, here := e.cancels[id]
	e.mu.Unlock()
	if here {
		c.cancel(errCancelledBy{by})
		e.say(id, "", model.LevelWarn, "cancelled by %s", by)
		return nil
	}
	if err := dbos.CancelWorkflow(e.flow, id); err != nil {
		return fmt.Errorf("cancel run %s: %w", id, err)
	}
	r.State, r.Reason, r.Finished = model.Cancelled, "cancelled by "+by, time.Now()
	return e.History.Put(ctx, r)
}

// Runs, Run and Lines read the history.
func (e *Engine) Runs(ctx context.Context, f model.RunFilter) ([]model.Run, error) {
	return e.History.List(ctx, f)
}

// Run returns a run; the error is fs.ErrNotExist for an unknown one.
func (e *Engine) Run(ctx context.Context, id string) (model.Run, error) {
	return e.History.Get(ctx, id)
}

// Lines returns lines of a run's log, oldest first.
func (e *Engine) Lines(ctx context.Context, id string, after int64, limit int) ([]model.Line, error) {
	return e.History.Lines(ctx, id, after, limit)
}
