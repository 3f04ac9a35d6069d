package ship

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/model"
)

// Check queues a check of a pull request and returns it at once. An older one
// of the same pull request ends.
func (e *Engine) Check(ctx context.Context, p model.PullRequest, cause string) (model.Run, error) {
	if e.Assessor == nil || e.Sandbox == nil || e.Results == nil {
		return model.Run{}, errors.New("check a pull request: a part of the engine's ports is missing")
	}
	older, err := e.History.List(ctx, model.RunFilter{Kind: model.CheckPull, Pull: p.Number, Active: true})
	if err != nil {
		return model.Run{}, fmt.Errorf("check pull request #%d: %w", p.Number, err)
	}
	subject, err := e.Repository.Subject(ctx, p.Head)
	if err != nil {
		return model.Run{}, fmt.Errorf("check pull request #%d at %.12s: %w", p.Number, p.Head, err)
	}
	now := time.Now()
	r := model.Run{
		ID: newRunID(now), Kind: model.CheckPull, Commit: p.Head, Subject: subject, Cause: cause,
		State: model.Queued, Created: now, Pull: &model.PullCheck{PullRequest: p},
	}
	for _, name := range model.PartNames {
		r.Pull.Parts = append(r.Pull.Parts, model.Part{Name: name, State: model.PartWaiting, Summary: "waits for its turn"})
	}
	for _, old := range older {
		if err := e.Supersede(ctx, old.ID, "superseded by run "+r.ID+": "+cause); err != nil {
			return model.Run{}, err
		}
	}
	if err := e.History.Put(ctx, r); err != nil {
		return model.Run{}, fmt.Errorf("record run %s: %w", r.ID, err)
	}
	_, err = dbos.RunWorkflow(e.flow, e.check, r, dbos.WithWorkflowID(r.ID), dbos.WithQueue(e.checks), dbos.WithQueuePartitionKey(fmt.Sprintf("pull/%d", p.Number)))
	if err != nil {
		r.State, r.Reason = model.FailedRun, "could not be queued: "+err.Error()
		return model.Run{}, errors.Join(fmt.Errorf("queue run %s: %w", r.ID, err), e.History.Put(ctx, r))
	}
	return r, nil
}

// Supersede ends a check that is not needed any more: one that waits never
// begins, one under way stops what it does. No error when it has ended.
func (e *Engine) Supersede(ctx context.Context, id, reason string) error {
	r, err := e.History.Get(ctx, id)
	if err != nil {
		return fmt.Errorf("end run %s: %w", id, err)
	}
	if r.State.Final() {
		return nil
	}
	e.mu.Lock()
	c, here := e.cancels[id]
	e.mu.Unlock()
	if here {
		c.cancel(errSuperseded{reason})
		return nil
	}
	if err := dbos.CancelWorkflow(e.flow, id); err != nil {
		return fmt.Errorf("end run %s: %w", id, err)
	}
	r.State, r.Reason, r.Finished = model.Superseded, reason, time.Now()
	return e.History.Put(ctx, r)
}

// errSuperseded is the cause of a step that ended because its run is not
// needed any more.
type errSuperseded struct{ reason string }

func (e errSuperseded) Error() string { return e.reason }

// check is the workflow of a check of a pull request: policy, plan, then the
// repository's tests and the images side by side. Only what is in the way of
// a part keeps it from running, so that a contributor hears of everything at
// once. It changes nothing outside of the history and the registry.
func (e *Engine) check(ctx dbos.Context, r model.Run) (model.Run, error) {
	defer e.watch(r.ID)()
	r, err := e.checkSteps(ctx, r)
	if err != nil && ctx.Err() == nil && !errors.Is(err, context.Canceled) {
		// A step that only records could not be done. What is not final in the
		// parts says that this was no answer.
		r.State, r.Reason, r.Finished = model.FailedRun, err.Error(), time.Now()
		e.say(r.ID, "", model.LevelError, "%s", r.Reason)
		err = errors.Join(err, e.History.Put(context.Background(), r))
	}
	return r, err
}

func (e *Engine) checkSteps(ctx dbos.Context, r model.Run) (model.Run, error) {
	began, err := dbos.RunAsStep(ctx, func(ctx context.Context) (beginning, error) { return e.beginCheck(ctx, r) }, dbos.WithStepName("begin"))
	if err != nil {
		return r, err
	}
	if began.State != "" {
		r.State, r.Reason = began.State, began.Reason
		return r, nil // ended before it began, and is recorded so
	}
	r.State, r.Started = model.Running, began.At
	k := checking{Engine: e, run: &r}

	ruled, err := step(ctx, k, "policy", k.policy)
	if err != nil {
		return r, err
	}
	k.setPart(model.PartPolicy, ruled.Took, ruled.ending, ruled.Value.verdict)
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
			k.part(name, model.PartWaiting, r.Pull.Hold)
		}
		return k.finish(ctx)
	}

	k.part(model.PartPlan, model.PartRunning, "planning what it does")
	k.show(ctx)
	planned, err := step(ctx, k, "plan", func(ctx context.Context) (assessed, error) { return k.plan(ctx, ruled.Value) })
	if err != nil {
		return r, err
	}
	r.Durations.Plan = planned.Took
	r.Pull.Merged, r.Pull.Process = planned.Value.Merged, planned.Value.Process
	k.setPart(model.PartPlan, planned.Took, planned.ending, planned.Value.verdict)
	k.judgeProcess(planned.Value, planned.Err)
	switch {
	case planned.Err != "":
	case ruled.Value.Promotion:
		for _, name := range []string{model.PartTests, model.PartImages} {
			k.part(name, model.PartPassed, "proved in "+ruled.Value.After)
		}
	case ruled.Value.Mends:
		for _, name := range []string{model.PartTests, model.PartImages} {
			k.part(name, model.PartPassed, "not run: no process holds")
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

// beginCheck marks a check as running, unless it is not needed any more.
func (e *Engine) beginCheck(ctx context.Context, r model.Run) (beginning, error) {
	b := beginning{At: time.Now()}
	now, err := e.History.Get(ctx, r.ID)
	if err == nil && now.State.Final() {
		b.State, b.Reason = now.State, now.Reason
		return b, nil
	}
	r.State, r.Started = model.Running, b.At
	e.say(r.ID, "", model.LevelInfo, "check pull request #%d by %s: %.12s of %s into %s at %.12s (%s)",
		r.Pull.Number, r.Pull.Author, r.Pull.Head, r.Pull.HeadBranch, r.Pull.Base, r.Pull.BaseCommit, r.Cause)
	return b, e.History.Put(ctx, r)
}

// checking is a check under way.
type checking struct {
	*Engine
	run *model.Run
}

// step runs a step of a check once and keeps what came of it.
func step[T any](ctx dbos.Context, k checking, name string, f func(context.Context) (T, error)) (outcome[T], error) {
	return dbos.RunAsStep(ctx, func(ctx context.Context) (outcome[T], error) { return attempt(ctx, k.Engine, k.run.ID, f) }, dbos.WithStepName(name))
}

// verdict is what a part of a check comes to.
type verdict struct {
	Failed   bool
	Summary  string
	Problems []model.Remark
}

// setPart sets a part by what its step came to.
func (k checking) setPart(name string, took time.Duration, x ending, v verdict) {
	p := k.run.Pull.Part(name)
	p.Took, p.Problems = took, v.Problems
	switch {
	case x.Superseded, x.Cancelled:
		k.run.State, k.run.Reason = x.state(), x.Err
		return
	case x.Err != "":
		p.State, p.Summary = model.PartErrored, oneLine(x.Err)
		k.say(k.run.ID, name, model.LevelError, "%s", x.Err)
	case v.Failed:
		p.State, p.Summary = model.PartFailed, oneLine(v.Summary)
		k.say(k.run.ID, name, model.LevelError, "%s", v.Summary)
	default:
		p.State, p.Summary = model.PartPassed, oneLine(v.Summary)
		k.say(k.run.ID, name, model.LevelInfo, "%s", v.Summary)
	}
	for _, m := range v.Problems {
		k.say(k.run.ID, name, model.LevelError, "%s", m)
	}
}

// judgeProcess says whether the change leaves the process alone. What alters it
// waits for a maintainer, whose approval the controller of pull requests finds.
func (k checking) judgeProcess(a assessed, failed string) {
	state, text := model.PartPassed, "the process is left alone"
	switch p := a.Process; {
	case k.run.State != model.Running:
		return
	case failed != "":
		state, text = model.PartErrored, "not known: see "+model.PartPlan
	case a.Merged == "":
		state, text = model.PartFailed, "not known: the change conflicts with "+k.run.Pull.Base
	case !k.run.Pull.Decides:
		text = k.run.Pull.Base + " does not decide about the process"
	case p == nil || !p.Altered():
	case p.Broken != "":
		state, text = model.PartFailed, "merged, it would stop all deployments: "+p.Broken
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
	if err := k.History.Put(ctx, *k.run); err != nil && ctx.Err() == nil {
		k.opts.Logger.Error("record a check under way", "run", k.run.ID, "error", err)
	}
}

// finish records how the check ended.
func (k checking) finish(ctx dbos.Context) (model.Run, error) {
	r := *k.run
	if r.State == model.Running {
		r.State, r.Reason = conclude(r)
	}
	return dbos.RunAsStep(ctx, func(ctx context.Context) (model.Run, error) {
		r.Finished = time.Now()
		level := model.LevelInfo
		if r.State == model.FailedRun {
			level = model.LevelError
		}
		text := fmt.Sprintf("pull request #%d: %s", r.Pull.Number, r.State)
		if r.Reason != "" {
			text += ": " + r.Reason
		}
		k.say(r.ID, "", level, "%s (%s)", text, r.Finished.Sub(r.Started).Round(100*time.Millisecond))
		return r, k.History.Put(ctx, r)
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
		return model.Refused, r.Pull.Hold
	}
	return model.Done, ""
}
