package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/ship/planning"
	"github.com/hubship/hubship/internal/ship/runs"
)

// runInput is what a run's workflow is started with. It is recorded.
type runInput struct {
	Run      model.Run
	Revision int      // rollback only
	Packages []string // verify only
	By       string
}

// run is the workflow of one run: supersede, plan, images, names of what is made
// elsewhere, releases, finish. Everything it does to the world is a step, recorded
// when done: a process that is killed resumes at the step it was in.
func (d *Deployer) run(ctx dbos.Context, in runInput) (model.Run, error) {
	defer d.o.Journal.Watch(in.Run.ID)()
	r, err := d.runSteps(ctx, in)
	if err != nil && ctx.Err() == nil && !errors.Is(err, context.Canceled) {
		// A step that only records could not be done.
		r, err = d.o.Journal.Fail(r, err)
		d.o.Finished()
	}
	return r, err
}

func (d *Deployer) runSteps(ctx dbos.Context, in runInput) (model.Run, error) {
	r := in.Run

	begin, err := dbos.RunAsStep(ctx, func(ctx context.Context) (runs.Beginning, error) { return d.begin(ctx, r) }, dbos.WithStepName("begin"))
	if err != nil {
		return r, err
	}
	r.Started = begin.At
	if begin.State != "" {
		return d.finish(ctx, r, begin.State, begin.Reason)
	}
	r.State = model.Running

	planned, err := dbos.RunAsStep(ctx, func(ctx context.Context) (runs.Outcome[planning.Plan], error) {
		return runs.Attempt(ctx, d.o.Journal, r.ID, func(ctx context.Context) (planning.Plan, error) { return d.plan(ctx, in) })
	}, dbos.WithStepName("plan"))
	if err != nil {
		return r, err
	}
	r.Durations.Plan, r.Process = planned.Took, planned.Value.Process
	if planned.Err != "" {
		d.o.Journal.Say(r.ID, "plan", model.LevelError, "%s", planned.Err)
		return d.finish(ctx, r, model.FailedRun, planned.Err)
	}

	var m made
	if m.images, err = d.buildImages(ctx, &r, planned.Value); err != nil {
		return r, err
	}
	if m.names, err = d.resolveNames(ctx, r, planned.Value, m.images); err != nil {
		return r, err
	}
	if err := d.shipReleases(ctx, &r, in, planned.Value, m); err != nil {
		return r, err
	}
	state, reason := summary(r.Releases)
	return d.finish(ctx, r, state, reason)
}

// begin marks the run as running, unless a newer one covers it.
func (d *Deployer) begin(ctx context.Context, r model.Run) (runs.Beginning, error) {
	b := runs.Beginning{At: time.Now()}
	if r.Kind == model.Deploy && !r.Force {
		newer, err := d.supersededBy(ctx, r)
		if err != nil {
			return b, err
		}
		if newer != "" {
			b.State = model.Superseded
			b.Reason = fmt.Sprintf("superseded by run %s, which deploys a newer commit of the same branch", newer)
			d.o.Journal.Say(r.ID, "", model.LevelInfo, "%s", b.Reason)
			return b, nil
		}
	}
	r.State, r.Started = model.Running, b.At
	d.o.Journal.Say(r.ID, "", model.LevelInfo, "%s %s to %s: %.12s %s (%s)", r.Kind, runs.Hubs(r), r.Environment, r.Commit, r.Subject, r.Cause)
	return b, d.o.Journal.Put(ctx, r)
}

// supersededBy returns the queued run that makes r needless: of the same
// environment, covering the same hubs, for a descendant of its commit.
func (d *Deployer) supersededBy(ctx context.Context, r model.Run) (string, error) {
	active, err := d.o.Journal.List(ctx, model.RunFilter{Environment: r.Environment, Active: true, Limit: 100})
	if err != nil {
		return "", fmt.Errorf("look for newer runs: %w", err)
	}
	for _, other := range active {
		if !other.Created.After(r.Created) || other.State != model.Queued || other.Kind != model.Deploy || other.Commit == r.Commit {
			continue
		}
		if !covers(other.Hubs, r.Hubs) {
			continue
		}
		newer, err := d.o.Repository.IsAncestor(ctx, r.Commit, other.Commit)
		if err != nil {
			return "", err
		}
		if newer {
			return other.ID, nil
		}
	}
	return "", nil
}

// covers says whether a run for the hubs a does all that one for b does; no
// hubs means all.
func covers(a, b []string) bool {
	if len(a) == 0 {
		return true
	}
	return len(b) > 0 && !slices.ContainsFunc(b, func(h string) bool { return !slices.Contains(a, h) })
}

// finish records how the run ended.
func (d *Deployer) finish(ctx dbos.Context, r model.Run, state model.RunState, reason string) (model.Run, error) {
	r.State, r.Reason = state, reason
	r, err := dbos.RunAsStep(ctx, func(ctx context.Context) (model.Run, error) {
		level := model.LevelInfo
		if state == model.FailedRun || state == model.Refused {
			level = model.LevelError
		}
		return d.o.Journal.Finish(ctx, r, level, fmt.Sprintf("%s %s", r.Kind, r.Environment))
	}, dbos.WithStepName("finish"))
	if err == nil {
		// What comes after this environment may be possible now.
		d.o.Finished()
	}
	return r, err
}

// summary folds the releases' results into the run's.
func summary(results []model.ReleaseResult) (model.RunState, string) {
	byState := map[model.RunState][]string{}
	var reason string
	for _, res := range results {
		byState[res.State] = append(byState[res.State], res.Target.Hub)
	}
	for _, state := range []model.RunState{model.FailedRun, model.Cancelled, model.Refused} {
		hubs := byState[state]
		if len(hubs) == 0 {
			continue
		}
		for _, res := range results {
			if res.State == state {
				reason = res.Target.Hub + ": " + res.Reason
				break
			}
		}
		if len(hubs) > 1 {
			reason += fmt.Sprintf(" (and %d more: %s)", len(hubs)-1, strings.Join(hubs[1:], ", "))
		}
		return state, reason
	}
	if len(byState[model.Done]) > 0 {
		return model.Done, ""
	}
	return model.Unchanged, "everything already matches this commit"
}
