package check

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/ship/runs"
)

// check is the workflow of a check of a pull request: policy, plan, then the
// repository's tests and the images side by side. Only what is in the way of
// a part keeps it from running, so that a contributor hears of everything at
// once. It changes nothing outside of the history and the registry.
func (c *Checker) check(ctx dbos.Context, r model.Run) (model.Run, error) {
	defer c.o.Journal.Watch(r.ID)()
	r, err := c.steps(ctx, r)
	if err != nil && ctx.Err() == nil && !errors.Is(err, context.Canceled) {
		// A step that only records could not be done. What is not final in the
		// parts says that this was no answer.
		return c.o.Journal.Fail(r, err)
	}
	return r, err
}

func (c *Checker) steps(ctx dbos.Context, r model.Run) (model.Run, error) {
	began, err := dbos.RunAsStep(ctx, func(ctx context.Context) (runs.Beginning, error) { return c.begin(ctx, r) }, dbos.WithStepName("begin"))
	if err != nil {
		return r, err
	}
	if began.State != "" {
		r.State, r.Reason = began.State, began.Reason
		return r, nil // ended before it began, and is recorded so
	}
	r.State, r.Started = model.Running, began.At
	k := checking{o: &c.o, run: &r}

	ruled, err := step(ctx, k, "policy", k.policy)
	if err != nil {
		return r, err
	}
	k.setPart(model.PartPolicy, ruled.Took, ruled.Ending, ruled.Value.verdict)
	switch {
	case ruled.Err != "":
		return k.finish(ctx)
	case ruled.Value.Failed:
		for _, name := range model.PartNames[1:] {
			k.part(name, model.PartFailed, "not run: see "+model.PartPolicy)
		}
		return k.finish(ctx)
	case ruled.Value.Nothing != "":
		for _, name := range model.PartNames[1:] {
			k.part(name, model.PartPassed, ruled.Value.Nothing)
		}
		return k.finish(ctx)
	case !r.Pull.Trusted:
		for _, name := range model.PartNames[1:] {
			k.part(name, model.PartWaiting, r.Pull.AwaitingApproval)
		}
		return k.finish(ctx)
	}

	k.part(model.PartPlan, model.PartRunning, "planning the change")
	k.show(ctx)
	planned, err := step(ctx, k, "plan", func(ctx context.Context) (assessed, error) { return k.plan(ctx, ruled.Value) })
	if err != nil {
		return r, err
	}
	r.Durations.Plan = planned.Took
	r.Pull.Merged, r.Pull.Process = planned.Value.Merged, planned.Value.Process
	k.setPart(model.PartPlan, planned.Took, planned.Ending, planned.Value.verdict)
	k.judgeProcess(planned.Value, planned.Err)
	switch {
	case planned.Err != "":
	case ruled.Value.Promotion:
		for _, name := range []string{model.PartTests, model.PartImages} {
			k.part(name, model.PartPassed, "proved in "+ruled.Value.After)
		}
	case ruled.Value.Mends:
		for _, name := range []string{model.PartTests, model.PartImages} {
			k.part(name, model.PartPassed, "not run: no process is in force")
		}
	case planned.Value.Blocked != "":
		for _, name := range []string{model.PartTests, model.PartImages} {
			k.part(name, model.PartFailed, planned.Value.Blocked)
		}
	default:
		if err := k.execute(ctx, planned.Value.Work); err != nil {
			return r, err
		}
	}
	return k.finish(ctx)
}

// begin marks a check as running, unless it is not needed any more.
func (c *Checker) begin(ctx context.Context, r model.Run) (runs.Beginning, error) {
	b := runs.Beginning{At: time.Now()}
	now, err := c.o.Journal.Get(ctx, r.ID)
	if err == nil && now.State.Final() {
		b.State, b.Reason = now.State, now.Reason
		return b, nil
	}
	r.State, r.Started = model.Running, b.At
	c.o.Journal.Say(r.ID, "", model.LevelInfo, "check pull request #%d by %s: %.12s of %s into %s at %.12s (%s)",
		r.Pull.Number, r.Pull.Author, r.Pull.Head, r.Pull.HeadBranch, r.Pull.Base, r.Pull.BaseCommit, r.Cause)
	return b, c.o.Journal.Put(ctx, r)
}

// checking is a check under way.
type checking struct {
	o   *Options
	run *model.Run
}

// say appends a line to the run's log.
func (k checking) say(scope string, level model.Level, format string, args ...any) {
	k.o.Journal.Say(k.run.ID, scope, level, format, args...)
}

// step runs a step of a check once and keeps what came of it.
func step[T any](ctx dbos.Context, k checking, name string, f func(context.Context) (T, error)) (runs.Outcome[T], error) {
	return dbos.RunAsStep(ctx, func(ctx context.Context) (runs.Outcome[T], error) { return runs.Attempt(ctx, k.o.Journal, k.run.ID, f) }, dbos.WithStepName(name))
}

// verdict is what a part of a check comes to.
type verdict struct {
	Failed   bool
	Summary  string
	Problems []model.Remark
}

// setPart sets a part by what its step came to.
func (k checking) setPart(name string, took time.Duration, x runs.Ending, v verdict) {
	p := k.run.Pull.Part(name)
	p.Took, p.Problems = took, v.Problems
	switch {
	case x.Superseded, x.Cancelled:
		k.run.State, k.run.Reason = x.State(), x.Err
		return
	case x.Err != "":
		p.State, p.Summary = model.PartErrored, oneLine(x.Err)
		k.say(name, model.LevelError, "%s", x.Err)
	case v.Failed:
		p.State, p.Summary = model.PartFailed, oneLine(v.Summary)
		k.say(name, model.LevelError, "%s", v.Summary)
	default:
		p.State, p.Summary = model.PartPassed, oneLine(v.Summary)
		k.say(name, model.LevelInfo, "%s", v.Summary)
	}
	for _, m := range v.Problems {
		k.say(name, model.LevelError, "%s", m)
	}
}

// judgeProcess says whether the change leaves the process alone. What alters it
// waits for a maintainer, whose approval the controller of pull requests finds.
func (k checking) judgeProcess(a assessed, failed string) {
	state, text := model.PartPassed, "does not change the process"
	switch p := a.Process; {
	case k.run.State != model.Running:
		return
	case failed != "":
		state, text = model.PartErrored, "unknown: see "+model.PartPlan
	case a.Merged == "":
		state, text = model.PartFailed, "unknown: the change conflicts with "+k.run.Pull.Base
	case !k.run.Pull.Decides:
		text = k.run.Pull.Base + " is not the process branch"
	case p == nil || !p.Altered():
	case p.Broken != "":
		state, text = model.PartFailed, "merging it would stop all deployments: "+p.Broken
	default:
		state, text = model.PartWaiting, "waits for a maintainer to approve this commit: "+p.Summary()
	}
	k.part(model.PartProcess, state, text)
}

func (k checking) part(name string, state model.PartState, summary string) {
	p := k.run.Pull.Part(name)
	p.State, p.Summary = state, oneLine(summary)
}

// oneLine is a text as a forge shows it of a status.
func oneLine(text string) string {
	return forge.Shorten(strings.Join(strings.Fields(text), " "), forge.MaxDescription)
}

// show records how far the check is, for people to look at: what is lost of
// it, the next record has.
func (k checking) show(ctx context.Context) {
	if err := k.o.Journal.Put(ctx, *k.run); err != nil && ctx.Err() == nil {
		k.o.Journal.Logger.Error("record a running check", "run", k.run.ID, "error", err)
	}
}

// finish records how the check ended.
func (k checking) finish(ctx dbos.Context) (model.Run, error) {
	r := *k.run
	if r.State == model.Running {
		r.State, r.Reason = conclude(r)
	}
	return dbos.RunAsStep(ctx, func(ctx context.Context) (model.Run, error) {
		level := model.LevelInfo
		if r.State == model.FailedRun {
			level = model.LevelError
		}
		return k.o.Journal.Finish(ctx, r, level, fmt.Sprintf("pull request #%d", r.Pull.Number))
	}, dbos.WithStepName("finish"))
}

// conclude folds the parts of a check into its state.
func conclude(r model.Run) (model.RunState, string) {
	for _, p := range r.Pull.Parts {
		if p.State == model.PartFailed || p.State == model.PartErrored {
			return model.FailedRun, p.Name + ": " + p.Summary
		}
	}
	if !r.Pull.Trusted && !r.Pull.Part(model.PartPlan).State.Final() {
		return model.Refused, r.Pull.AwaitingApproval
	}
	return model.Done, ""
}
