package ship

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/plan"
)

// Kick asks for a reconcile pass soon.
func (e *Engine) Kick() {
	select {
	case e.kick <- struct{}{}:
	default: // one is asked for already
	}
}

// reconcileLoop compares what should be with what runs, at start, on every
// kick and at the interval. A lost event only delays.
func (e *Engine) reconcileLoop(ctx context.Context) {
	tick := time.NewTicker(e.opts.Reconcile)
	defer tick.Stop()
	last := map[string]string{}
	for {
		pass, cancel := context.WithTimeout(ctx, 2*time.Minute)
		for _, problem := range e.Reconcile(pass) {
			// Said once, not every minute.
			if last[problem.scope] != problem.text {
				e.opts.Logger.Warn("reconcile", "environment", problem.scope, "problem", problem.text)
			}
			last[problem.scope] = problem.text
		}
		cancel()
		select {
		case <-ctx.Done():
			return
		case <-e.kick:
		case <-tick.C:
		}
	}
}

type reconcileProblem struct{ scope, text string }

// Reconcile queues a run for every environment where a release is not what
// its branch wants and something can be done about it. It returns what kept
// it from seeing.
func (e *Engine) Reconcile(ctx context.Context) []reconcileProblem {
	if err := e.endLostRuns(ctx); err != nil {
		return []reconcileProblem{{"", err.Error()}}
	}
	now, err := e.Repository.Now(ctx)
	if err != nil {
		return []reconcileProblem{{"", describe(err)}}
	}
	var problems []reconcileProblem
	for _, env := range now.Environments {
		text := ""
		if err := e.reconcileEnvironment(ctx, env.Name); err != nil {
			text = err.Error()
		}
		problems = append(problems, reconcileProblem{env.Name, text})
	}
	return problems
}

// lostAfter is how long a run may be in the history before its workflow.
const lostAfter = 10 * time.Second

// endLostRuns ends runs in the history that no workflow carries on: its
// database was lost or restored, or it was recorded by workflows of another
// shape. Such a run would otherwise seem to be under way for ever, and keep
// its environment from being reconciled.
func (e *Engine) endLostRuns(ctx context.Context) error {
	active, err := e.History.List(ctx, model.RunFilter{Active: true, Limit: 1000})
	if err != nil {
		return err
	}
	for _, r := range active {
		if time.Since(r.Created) < lostAfter {
			continue
		}
		why, err := e.lost(r.ID)
		if err != nil {
			return err
		}
		if why == "" {
			continue
		}
		r.State, r.Finished = model.FailedRun, time.Now()
		r.Reason = "interrupted: " + why + "; what it left undone is deployed anew"
		e.say(r.ID, "", model.LevelError, "%s", r.Reason)
		if err := e.History.Put(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// lost says why a run's workflow will not go on, or "".
func (e *Engine) lost(id string) (string, error) {
	handle, err := dbos.RetrieveWorkflow[model.Run](e.flow, id)
	if errors.Is(err, dbos.ErrNonExistentWorkflow) {
		return "its workflow is not in the database", nil
	}
	if err != nil {
		return "", fmt.Errorf("look for the workflow of run %s: %w", id, err)
	}
	status, err := handle.GetStatus()
	if err != nil {
		return "", fmt.Errorf("look for the workflow of run %s: %w", id, err)
	}
	switch {
	case status.ApplicationVersion != "" && status.ApplicationVersion != workflowVersion:
		return "another version of hubship began it", nil
	case slices.Contains([]dbos.WorkflowStatusType{dbos.WorkflowStatusPending, dbos.WorkflowStatusEnqueued, dbos.WorkflowStatusDelayed}, status.Status):
		return "", nil
	}
	return fmt.Sprintf("its workflow ended as %s", status.Status), nil
}

func (e *Engine) reconcileEnvironment(ctx context.Context, name string) error {
	active, err := e.History.List(ctx, model.RunFilter{Environment: name, Active: true, Limit: 1})
	if err != nil {
		return err
	}
	if len(active) > 0 {
		return nil
	}
	fleet, env, head, err := e.environment(ctx, name)
	if err != nil {
		return err
	}
	p, err := e.planEnvironment(ctx, fleet, model.Run{Kind: model.Deploy, Environment: env.Name, Commit: head})
	if err != nil {
		return err
	}
	var hubs, why []string
	for _, rel := range p.Releases {
		if e.unknown.waits(rel.Desired.Target.Key(), head) {
			continue
		}
		if rel.Action == plan.Upgrade || rel.Action == plan.Test {
			hubs = append(hubs, rel.Desired.Target.Hub)
			why = append(why, rel.Desired.Target.Hub+": "+joinReasons(rel.Reasons))
		}
	}
	if len(hubs) == 0 {
		return nil
	}
	if len(hubs) == len(p.Releases) {
		hubs = nil
	}
	// A push may have asked for the very same while this looked.
	if active, err = e.History.List(ctx, model.RunFilter{Environment: name, Active: true, Limit: 1}); err != nil || len(active) > 0 {
		return err
	}
	_, err = e.enqueue(ctx, model.RunRequest{
		Kind: model.Deploy, Environment: env.Name, Hubs: hubs,
		Cause: fmt.Sprintf("reconcile (%s)", strings.Join(why, "; ")),
	}, head)
	return err
}

func joinReasons(reasons []string) string { return strings.Join(reasons, "; ") }
