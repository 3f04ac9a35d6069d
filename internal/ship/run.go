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
)

// runInput is what a run's workflow is started with.
type runInput struct {
	Run      model.Run
	Revision int      // rollback only
	Packages []string // verify only
	By       string
}

// run is the workflow of one run: supersede, plan, images, names of what is made
// elsewhere, releases, finish.
// Everything it does to the world is a step, recorded when done: a process
// that is killed resumes at the step it was in.
func (e *Engine) run(ctx dbos.Context, in runInput) (model.Run, error) {
	defer e.watch(in.Run.ID)()
	r, err := e.runSteps(ctx, in)
	if err != nil && ctx.Err() == nil && !errors.Is(err, context.Canceled) {
		// A step that only records could not be done: the run ends, and says
		// so as far as it can.
		r.State, r.Reason, r.Finished = model.FailedRun, err.Error(), time.Now()
		e.say(r.ID, "", model.LevelError, "%s", r.Reason)
		err = errors.Join(err, e.History.Put(context.Background(), r))
		e.Kick()
	}
	return r, err
}

func (e *Engine) runSteps(ctx dbos.Context, in runInput) (model.Run, error) {
	r := in.Run

	begin, err := dbos.RunAsStep(ctx, func(ctx context.Context) (beginning, error) { return e.begin(ctx, r) }, dbos.WithStepName("begin"))
	if err != nil {
		return r, err
	}
	r.Started = begin.At
	if begin.State != "" {
		return e.finish(ctx, r, begin.State, begin.Reason)
	}
	r.State = model.Running

	plan, err := dbos.RunAsStep(ctx, func(ctx context.Context) (outcome[runPlan], error) {
		return attempt(ctx, e, r.ID, func(ctx context.Context) (runPlan, error) { return e.planRun(ctx, in) })
	}, dbos.WithStepName("plan"))
	if err != nil {
		return r, err
	}
	r.Durations.Plan, r.Process = plan.Took, plan.Value.Process
	if plan.Err != "" {
		e.say(r.ID, "plan", model.LevelError, "%s", plan.Err)
		return e.finish(ctx, r, model.FailedRun, plan.Err)
	}

	built, err := e.buildImages(ctx, &r, plan.Value)
	if err != nil {
		return r, err
	}
	resolved, err := e.resolveNames(ctx, r, plan.Value, built)
	if err != nil {
		return r, err
	}
	if err := e.shipReleases(ctx, &r, in, plan.Value, built, resolved); err != nil {
		return r, err
	}
	state, reason := summary(r.Releases)
	return e.finish(ctx, r, state, reason)
}

// beginning is the outcome of a run's first step. A State means that the run
// ends here.
type beginning struct {
	At     time.Time
	State  model.RunState
	Reason string
}

// begin marks the run as running, unless a newer one covers it.
func (e *Engine) begin(ctx context.Context, r model.Run) (beginning, error) {
	b := beginning{At: time.Now()}
	if r.Kind == model.Deploy && !r.Force {
		newer, err := e.supersededBy(ctx, r)
		if err != nil {
			return b, err
		}
		if newer != "" {
			b.State = model.Superseded
			b.Reason = fmt.Sprintf("superseded by run %s, which deploys a newer commit of the same branch", newer)
			e.say(r.ID, "", model.LevelInfo, "%s", b.Reason)
			return b, nil
		}
	}
	r.State, r.Started = model.Running, b.At
	e.say(r.ID, "", model.LevelInfo, "%s %s to %s: %.12s %s (%s)", r.Kind, hubsText(r.Hubs), r.Environment, r.Commit, r.Subject, r.Cause)
	return b, e.History.Put(ctx, r)
}

func hubsText(hubs []string) string {
	if len(hubs) == 0 {
		return "all hubs"
	}
	return strings.Join(hubs, ", ")
}

// supersededBy returns the queued run that makes r needless: of the same
// environment, covering the same hubs, for a descendant of its commit.
func (e *Engine) supersededBy(ctx context.Context, r model.Run) (string, error) {
	active, err := e.History.List(ctx, model.RunFilter{Environment: r.Environment, Active: true, Limit: 100})
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
		newer, err := e.Repository.IsAncestor(ctx, r.Commit, other.Commit)
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
func (e *Engine) finish(ctx dbos.Context, r model.Run, state model.RunState, reason string) (model.Run, error) {
	r.State, r.Reason = state, reason
	r, err := dbos.RunAsStep(ctx, func(ctx context.Context) (model.Run, error) {
		r.Finished = time.Now()
		level := model.LevelInfo
		if state == model.FailedRun || state == model.Refused {
			level = model.LevelError
		}
		text := fmt.Sprintf("%s %s: %s", r.Kind, r.Environment, state)
		if reason != "" {
			text += ": " + reason
		}
		e.say(r.ID, "", level, "%s (%s)", text, r.Finished.Sub(r.Started).Round(100*time.Millisecond))
		return r, e.History.Put(ctx, r)
	}, dbos.WithStepName("finish"))
	if err == nil {
		// What comes after this environment may be possible now.
		e.Kick()
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
	return model.Unchanged, "everything already is as this commit wants it"
}

// outcome makes an expected failure a durable result: a step that returns an
// error would be recorded too, but without its duration and its structure.
type outcome[T any] struct {
	Value T
	Took  time.Duration
	ending
}

// ending says that a step did not come to its end, and why.
type ending struct {
	Err        string // one line; empty when it did
	Cancelled  bool   // by a person
	Superseded bool   // the run is not needed any more
}

// state is how a release or run ends whose step failed.
func (x ending) state() model.RunState {
	switch {
	case x.Superseded:
		return model.Superseded
	case x.Cancelled:
		return model.Cancelled
	}
	return model.FailedRun
}

// attempt runs f, lets a person cancel it, and keeps its error as a result,
// unless the process is ending: then the step must run again after the
// restart.
func attempt[T any](ctx context.Context, e *Engine, run string, f func(context.Context) (T, error)) (outcome[T], error) {
	began := time.Now()
	inner, done := e.cancellable(ctx, run)
	defer done()
	v, err := f(inner)
	o := outcome[T]{Value: v, Took: time.Since(began)}
	if err == nil {
		return o, nil
	}
	if ctx.Err() != nil {
		return o, context.Cause(ctx)
	}
	var by errCancelledBy
	var newer errSuperseded
	switch cause := context.Cause(inner); {
	case errors.As(cause, &by):
		o.Cancelled, err = true, by
	case errors.As(cause, &newer):
		o.Superseded, err = true, newer
	}
	o.Err = describe(err)
	return o, nil
}

// describe is an error with its hint in one line; what else it quotes stands
// in the run's log.
func describe(err error) string {
	text, _, _ := strings.Cut(err.Error(), "\n")
	if hint := model.HintOf(err); hint != "" {
		return text + " (" + hint + ")"
	}
	return text
}
