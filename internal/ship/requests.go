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
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/ship/reconcile"
)

// Start queues a run and returns it at once.
func (e *Engine) Start(ctx context.Context, req model.RunRequest) (model.Run, error) {
	if !slices.Contains([]model.RunKind{model.Deploy, model.Verify, model.Rollback}, req.Kind) {
		return model.Run{}, model.Usage(fmt.Errorf("unknown kind of run %q", req.Kind), "use deploy, verify or rollback")
	}
	tip, err := e.fleets.Tip(ctx, req.Environment)
	if err != nil {
		return model.Run{}, err
	}
	fleet, commit := tip.Fleet, tip.Head
	if req.Rev != "" {
		if req.Kind != model.Deploy {
			return model.Run{}, model.Usage(fmt.Errorf("only deploy takes a revision"), "leave it out")
		}
		if commit, err = e.repository.Resolve(ctx, req.Rev); err != nil {
			return model.Run{}, model.Usage(err, "name a commit, branch or tag of the deployment repository")
		}
		if commit != tip.Head {
			why, err := e.fleets.Astray(ctx, tip.Environment, commit)
			if err != nil {
				return model.Run{}, err
			}
			if why != "" {
				return model.Run{}, model.RefusedBy(errors.New(why), "merge it into that branch first")
			}
			if fleet, err = e.fleets.At(ctx, commit); err != nil {
				return model.Run{}, err
			}
		}
	}
	if req.Kind == model.Rollback && len(req.Hubs) != 1 {
		return model.Run{}, model.Usage(errors.New("a rollback needs exactly one hub"), "add --hub HUB")
	}
	for _, h := range req.Hubs {
		if _, err := fleet.Target(h, tip.Name); err != nil {
			return model.Run{}, model.Usage(err, "`hubship status` lists the hubs")
		}
	}
	return e.deployer.Enqueue(ctx, req, commit)
}

// Pushed queues the runs that a push calls for and returns them. A branch that
// the process does not name calls for none, whatever it says about itself. A push
// that is never reported is found by the next reconcile pass.
func (e *Engine) Pushed(ctx context.Context, updates []forge.RefUpdate, by string) ([]model.Run, error) {
	now, err := e.repository.Now(ctx)
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
		if _, err := e.fleets.At(ctx, u.New); err != nil {
			errs = errors.Join(errs, fmt.Errorf("branch %s at %.12s: %w", u.Branch, u.New, err))
			continue
		}
		run, err := e.deployer.Enqueue(ctx, model.RunRequest{Kind: model.Deploy, Environment: env.Name, Cause: "push by " + by, By: by}, u.New)
		if err != nil {
			errs = errors.Join(errs, err)
			continue
		}
		runs = append(runs, run)
	}
	return runs, errs
}

// Check queues a check of a pull request and returns it at once. An older check
// of the same pull request is superseded.
func (e *Engine) Check(ctx context.Context, p model.PullRequest, cause string) (model.Run, error) {
	return e.checker.Check(ctx, p, cause)
}

// Supersede ends a check that is no longer needed: a waiting one never starts,
// a running one stops. It is not an error if the check has already ended.
func (e *Engine) Supersede(ctx context.Context, id, reason string) error {
	return e.checker.Supersede(ctx, id, reason)
}

// Kick asks for a reconcile pass soon.
func (e *Engine) Kick() { e.reconciler.Kick() }

// Reconcile makes a reconcile pass now. It returns what it could not observe, and
// why.
func (e *Engine) Reconcile(ctx context.Context) []reconcile.Problem {
	return e.reconciler.Reconcile(ctx)
}

// Resume clears a hub's halt.
func (e *Engine) Resume(ctx context.Context, env, hub, by string) error {
	tip, err := e.fleets.Tip(ctx, env)
	if err != nil {
		return err
	}
	target, err := tip.Fleet.Target(hub, env)
	if err != nil {
		return model.Usage(err, "`hubship status` lists the hubs")
	}
	cluster, err := e.fleets.Cluster(ctx, target)
	if err != nil {
		return err
	}
	halt, halted, err := e.evidence.Halted(ctx, cluster, target)
	if err != nil {
		return err
	}
	if !halted {
		return model.WithHint(fmt.Errorf("%s is not halted", target), "nothing to do")
	}
	if err := e.evidence.Clear(ctx, cluster, target); err != nil {
		return err
	}
	e.journal.Say(halt.Run, target.Key(), model.LevelInfo, "%s: halt cleared by %s", target, by)
	e.Kick()
	return nil
}

// Cancel ends a run: a queued one never starts, a running one stops and halts
// the hubs that it was working on.
func (e *Engine) Cancel(ctx context.Context, id, by string) error {
	r, err := e.journal.Get(ctx, id)
	if errors.Is(err, fs.ErrNotExist) {
		return model.Usage(fmt.Errorf("run %q does not exist", id), "`hubship history` lists the runs")
	}
	if err != nil {
		return err
	}
	if r.State.Final() {
		return model.WithHint(fmt.Errorf("run %s has already ended: %s", id, r.State), "nothing to do")
	}
	if e.journal.Cancel(id, by) {
		e.journal.Say(id, "", model.LevelWarn, "cancelled by %s", by)
		return nil
	}
	if err := dbos.CancelWorkflow(e.flow, id); err != nil {
		return fmt.Errorf("cancel run %s: %w", id, err)
	}
	r.State, r.Reason, r.Finished = model.Cancelled, "cancelled by "+by, time.Now()
	return e.journal.Put(ctx, r)
}
