package ship

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/plan"
)

// releaseInput is what the workflow of one release in a run is started with.
type releaseInput struct {
	Run      model.Run
	Plan     releasePlan
	Settings model.VerifySettings
	Images   []model.Built
	Resolved model.Resolved
	Inputs   string // digest of everything that the release is made from
	Revision int    // rollback only
	By       string
}

// shipReleases starts one child workflow for each release and gathers their
// results: hubs are independent, a broken one holds back itself.
func (e *Engine) shipReleases(ctx dbos.Context, r *model.Run, in runInput, p runPlan, built map[string]builtImage, resolved map[string]resolvedNames) error {
	handles := make([]dbos.WorkflowHandle[releaseOutcome], len(p.Releases))
	results := make([]model.ReleaseResult, len(p.Releases))
	for i, rel := range p.Releases {
		child, done, err := e.prepare(ctx, *r, in, p, rel, built, resolved, &results[i])
		if err != nil {
			return err
		}
		if done {
			continue
		}
		id := r.ID + "/" + rel.Desired.Target.Hub
		if handles[i], err = dbos.RunWorkflow(ctx, e.release, child, dbos.WithWorkflowID(id)); err != nil {
			return fmt.Errorf("start %s: %w", rel.Desired.Target, err)
		}
	}
	for i, h := range handles {
		if h == nil {
			continue
		}
		out, err := h.GetResult()
		if err != nil {
			if ctx.Err() != nil {
				return err
			}
			out.Result = model.ReleaseResult{Target: p.Releases[i].Desired.Target, State: model.FailedRun, Reason: err.Error()}
		}
		results[i] = out.Result
		// Side by side, so the run waited for the longest.
		r.Durations.Deploy = max(r.Durations.Deploy, out.Deploy)
		r.Durations.Verify = max(r.Durations.Verify, out.Verify)
	}
	r.Releases = results
	return nil
}

// prepare turns a planned release into the input of its workflow; done says
// that there is nothing to start and result holds why.
func (e *Engine) prepare(ctx dbos.Context, r model.Run, in runInput, p runPlan, rel releasePlan, built map[string]builtImage, resolved map[string]resolvedNames, result *model.ReleaseResult) (releaseInput, bool, error) {
	*result = model.ReleaseResult{Target: rel.Desired.Target, Revision: rel.Before.Revision, Reason: joinReasons(rel.Reasons)}
	child := releaseInput{Run: r, Plan: rel, Settings: p.Verify, Revision: in.Revision, By: in.By, Inputs: rel.Before.Inputs, Images: rel.Images, Resolved: rel.Resolved}
	switch rel.Action {
	case plan.None:
		result.State, result.Reason = model.Unchanged, ""
		return child, true, nil
	case plan.Refuse, plan.Hold:
		result.State = model.Refused
		return child, true, nil
	case plan.Upgrade:
		for _, src := range rel.Desired.Images {
			res, ok := built[src.ID]
			switch {
			case !ok:
			case res.Err != "":
				result.State = res.state()
				result.Reason = fmt.Sprintf("image %s: %s", src.ID, res.Err)
				return child, true, e.haltStep(ctx, child, result.Reason)
			default:
				child.Images = append(child.Images, res.Value)
			}
		}
		if res, ok := resolved[rel.Desired.Target.Key()]; ok {
			if res.Err != "" {
				result.State, result.Reason = res.state(), res.Err
				if res.Value.Unknown || res.Cancelled || res.Superseded {
					return child, true, nil // nobody is at fault
				}
				return child, true, e.haltStep(ctx, child, result.Reason)
			}
			child.Resolved = res.Value.Resolved
		}
		child.Inputs = plan.Inputs(rel.Desired, child.Images, child.Resolved)
	}
	return child, false, nil
}

// releaseOutcome is what a release's workflow returns.
type releaseOutcome struct {
	Result model.ReleaseResult
	Deploy time.Duration
	Verify time.Duration
}

// release is the workflow of one release in a run. The release's Lease is
// held all through it, so that no two processes work on one release.
func (e *Engine) release(ctx dbos.Context, in releaseInput) (releaseOutcome, error) {
	rel := in.Plan
	out := releaseOutcome{Result: model.ReleaseResult{Target: rel.Desired.Target, Revision: rel.Before.Revision}}

	// Waiting for a slot is no step: nothing is recorded, nothing is done.
	select {
	case e.slots <- struct{}{}:
		defer func() { <-e.slots }()
	case <-ctx.Done():
		return out, context.Cause(ctx)
	}
	lease, err := e.takeLease(ctx, in)
	if err != nil {
		return out, err
	}
	defer lease.release()

	switch in.Run.Kind {
	case model.Rollback:
		return out, e.rollBackByHand(ctx, in, lease, &out)
	default:
		return out, e.upgradeAndVerify(ctx, in, lease, &out)
	}
}

// lease is the lock of a release while a workflow works on it.
type lease struct {
	held    context.Context
	release func()
}

// bind returns a context that ends with either: what it is used for must not
// go on when the lock is lost.
func (l lease) bind(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(l.held, func() { cancel(errors.New("the release's Lease was lost: another hubship may be working on it")) })
	return ctx, func() { stop(); cancel(nil) }
}

func (e *Engine) takeLease(ctx dbos.Context, in releaseInput) (lease, error) {
	target := in.Plan.Desired.Target
	held, unlock, err := e.Ledger.Lock(ctx, in.Plan.Cluster, target, in.Run.ID, func(holder string) {
		e.say(in.Run.ID, target.Key(), model.LevelInfo, "%s: waiting for run %s, which holds the release's Lease", target, holder)
	})
	if err != nil {
		return lease{}, fmt.Errorf("lock %s: %w", target, err)
	}
	return lease{held: held, release: unlock}, nil
}

// upgradeAndVerify brings the release to its inputs, tests it as a user, and
// records evidence; on failure it goes back and halts. A deploy applies the
// release also where it claims to run these inputs already: Helm's records are
// the namespace's, and only what hubship has just applied is proven by a test.
func (e *Engine) upgradeAndVerify(ctx dbos.Context, in releaseInput, l lease, out *releaseOutcome) error {
	if in.Run.Kind == model.Deploy {
		up, err := e.upgradeStep(ctx, in, l)
		if err != nil {
			return err
		}
		out.Deploy = up.Took
		if up.Value.Refused != "" {
			out.Result.State, out.Result.Reason = model.Refused, up.Value.Refused
			return nil // nothing was changed, and nobody is at fault
		}
		out.Result.Revision = up.Value.Observed.Revision
		if up.Err != "" {
			out.Result.State, out.Result.Reason = up.state(), up.Err
			out.Result.Log, out.Result.RolledBackTo = up.Value.Log, up.Value.RolledBackTo
			if err := e.haltStep(ctx, in, up.Err); err != nil || !up.Cancelled {
				return err
			}
			// An upgrade that fails rolls back by itself; one that is
			// interrupted stays where it was.
			return e.goBack(ctx, in, l, up.Err, out)
		}
	}
	ver, err := e.verifyStep(ctx, in, l)
	if err != nil {
		return err
	}
	out.Verify = ver.Took
	if ver.Err == "" && ver.Value.Passed {
		out.Result.State, out.Result.Verification = model.Done, &ver.Value
		return e.recordStep(ctx, in, ver.Value)
	}
	reason := ver.Err
	out.Result.State = ver.state()
	if reason == "" {
		reason = "verification failed: " + ver.Value.Reason
		out.Result.Verification = &ver.Value
	}
	out.Result.Reason = reason
	// A verification that a person asked for, of a release that nobody
	// changed, only reports.
	if in.Run.Kind != model.Deploy {
		return nil
	}
	// Halt first: were the process to end for good here, nothing would be
	// promoted.
	if err := e.haltStep(ctx, in, reason); err != nil {
		return err
	}
	return e.goBack(ctx, in, l, reason, out)
}

// upgraded is what an upgrade step found.
type upgraded struct {
	Observed     model.Observed
	Log          string
	RolledBackTo int
	Refused      string // why it was not begun
}

func (e *Engine) upgradeStep(ctx dbos.Context, in releaseInput, l lease) (outcome[upgraded], error) {
	d := in.Plan.Desired
	return dbos.RunAsStep(ctx, func(ctx context.Context) (outcome[upgraded], error) {
		return attempt(ctx, e, in.Run.ID, func(ctx context.Context) (upgraded, error) {
			ctx, cancel := l.bind(ctx)
			defer cancel()
			if why, err := e.refusedNow(ctx, in); err != nil {
				return upgraded{}, err
			} else if why != "" {
				e.say(in.Run.ID, d.Target.Key(), model.LevelWarn, "%s: not deployed: %s", d.Target, why)
				return upgraded{Refused: why}, nil
			}
			tree, err := e.Repository.FS(ctx, d.Commit)
			if err != nil {
				return upgraded{}, err
			}
			if err := e.deployable(ctx, in.Images); err != nil {
				return upgraded{}, err
			}
			e.say(in.Run.ID, d.Target.Key(), model.LevelInfo, "upgrading %s to %.12s", d.Target, d.Commit)
			began := time.Now()
			obs, err := e.Releases.Upgrade(ctx, in.Plan.Cluster, model.Upgrade{
				Desired: d, Images: in.Images, Resolved: in.Resolved, Proven: !in.Plan.First, Passed: in.Plan.Passed, Tree: tree, Inputs: in.Inputs, Run: in.Run.ID,
				Log: func(level model.Level, text string) { e.say(in.Run.ID, d.Target.Key(), level, "%s", text) },
			})
			res := upgraded{Observed: obs}
			var failed *model.UpgradeError
			if errors.As(err, &failed) {
				res.Log, res.RolledBackTo = failed.Log, failed.RolledBackTo
				e.sayFailedUpgrade(in, failed)
			}
			if err == nil {
				e.say(in.Run.ID, d.Target.Key(), model.LevelInfo, "%s is ready: revision %d (%s)", d.Target, obs.Revision, time.Since(began).Round(100*time.Millisecond))
			}
			return res, err
		})
	}, dbos.WithStepName("upgrade "+d.Target.Key()))
}

func (e *Engine) sayFailedUpgrade(in releaseInput, failed *model.UpgradeError) {
	t := in.Plan.Desired.Target
	e.say(in.Run.ID, t.Key(), model.LevelError, "%s: upgrade failed: %s", t, failed.Err)
	log := &lineLog{emit: func(text string) { e.say(in.Run.ID, t.Key(), model.LevelError, "  %s", text) }}
	_, _ = log.Write([]byte(failed.Log))
	log.flush()
	switch {
	case failed.RollbackErr != nil:
		e.say(in.Run.ID, t.Key(), model.LevelError, "%s: rolling back failed too: %s", t, failed.RollbackErr)
	case failed.RolledBackTo > 0:
		e.say(in.Run.ID, t.Key(), model.LevelWarn, "%s: rolled back to what revision %d ran", t, failed.RolledBackTo)
	}
}

func (e *Engine) verifyStep(ctx dbos.Context, in releaseInput, l lease) (outcome[model.Verification], error) {
	t := in.Plan.Desired.Target
	return dbos.RunAsStep(ctx, func(ctx context.Context) (outcome[model.Verification], error) {
		return attempt(ctx, e, in.Run.ID, func(ctx context.Context) (model.Verification, error) {
			ctx, cancel := l.bind(ctx)
			defer cancel()
			e.say(in.Run.ID, t.Key(), model.LevelInfo, "verifying %s as a user", t)
			return e.Verifier.Verify(ctx, in.Plan.Cluster, model.VerifyRequest{
				Target: t, Settings: in.Settings, Packages: in.Plan.Packages, Run: in.Run.ID,
				Check: func(c model.Check) { e.sayCheck(in.Run.ID, t, c) },
			})
		})
	}, dbos.WithStepName("verify "+t.Key()))
}

func (e *Engine) sayCheck(run string, t model.Target, c model.Check) {
	mark, level := "ok", model.LevelInfo
	switch {
	case c.Skipped:
		mark, level = "skipped", model.LevelWarn
	case !c.Passed:
		mark, level = "FAILED", model.LevelError
	}
	text := fmt.Sprintf("%s: %s", c.Name, mark)
	if c.Detail != "" {
		text += ": " + c.Detail
	}
	if c.Duration >= 100*time.Millisecond {
		text += fmt.Sprintf(" (%s)", c.Duration.Round(100*time.Millisecond))
	}
	e.say(run, t.Key(), level, "%s", text)
	if !c.Passed && c.Log != "" {
		log := &lineLog{emit: func(text string) { e.say(run, t.Key(), model.LevelError, "  %s", text) }}
		_, _ = log.Write([]byte(c.Log))
		log.flush()
	}
}

// recordStep writes evidence that the release passed, and ends its halt.
func (e *Engine) recordStep(ctx dbos.Context, in releaseInput, v model.Verification) error {
	d := in.Plan.Desired
	if in.Run.Kind != model.Deploy {
		return nil // what was not applied just now is not known to be made of these inputs
	}
	_, err := dbos.RunAsStep(ctx, func(ctx context.Context) (bool, error) {
		if len(in.Images) != len(d.Images) || plan.Inputs(d, in.Images, in.Resolved) != in.Inputs {
			e.say(in.Run.ID, d.Target.Key(), model.LevelWarn, "%s passed, but what runs is not made of commit %.12s and known images alone: no evidence is written", d.Target, d.Commit)
			return false, nil
		}
		ev := model.Evidence{
			Hub: d.Target.Hub, Environment: d.Target.Environment, Commit: d.Commit,
			Shared: d.Shared, Inputs: in.Inputs, Images: in.Images, Resolved: in.Resolved, Run: in.Run.ID, Process: in.Run.Process, Verified: v,
		}
		if err := e.Ledger.Record(ctx, in.Plan.Cluster, d.Target, ev); err != nil {
			return false, fmt.Errorf("record evidence for %s: %w", d.Target, err)
		}
		if in.Plan.Halted {
			if err := e.Ledger.Clear(ctx, in.Plan.Cluster, d.Target); err != nil {
				return false, fmt.Errorf("clear the halt of %s: %w", d.Target, err)
			}
			e.say(in.Run.ID, d.Target.Key(), model.LevelInfo, "%s: the halt is over: a newer change passed", d.Target)
		}
		e.say(in.Run.ID, d.Target.Key(), model.LevelInfo, "%s passed in %s: evidence recorded", d.Target.Hub, d.Target.Environment)
		return true, nil
	}, retried("record "+d.Target.Key())...)
	return err
}

// haltStep holds the hub back until a newer change passes or a person clears
// it.
func (e *Engine) haltStep(ctx dbos.Context, in releaseInput, reason string) error {
	d := in.Plan.Desired
	_, err := dbos.RunAsStep(ctx, func(ctx context.Context) (bool, error) {
		err := e.Ledger.Halt(ctx, in.Plan.Cluster, d.Target, model.Halt{
			Hub: d.Target.Hub, Environment: d.Target.Environment, Reason: reason, Commit: d.Commit,
			Inputs: plan.Inputs(d, nil, model.Resolved{}), Shared: d.Shared, Run: in.Run.ID, Since: time.Now(),
		})
		if err != nil {
			return false, fmt.Errorf("halt %s: %w", d.Target, err)
		}
		e.say(in.Run.ID, d.Target.Key(), model.LevelWarn, "%s is halted in %s: nothing is promoted from here until a newer change passes or a person clears it with `hubship resume --env %s --hub %s`",
			d.Target.Hub, d.Target.Environment, d.Target.Environment, d.Target.Hub)
		return true, nil
	}, retried("halt "+d.Target.Key())...)
	return err
}

// goBack rolls a release back after a failed verification or a cancelled
// upgrade.
func (e *Engine) goBack(ctx dbos.Context, in releaseInput, l lease, reason string, out *releaseOutcome) error {
	t := in.Plan.Desired.Target
	if in.Plan.Before.Good == 0 || in.Plan.Action != plan.Upgrade {
		e.say(in.Run.ID, t.Key(), model.LevelWarn, "%s: there is no earlier good revision to go back to", t)
		return nil
	}
	back, err := e.rollbackStep(ctx, in, l, in.Plan.Before.Good, reason)
	if err != nil {
		return err
	}
	out.Result.Revision = back.Value.Revision
	if back.Err != "" {
		out.Result.Reason += "; rolling back failed too: " + back.Err
		return nil
	}
	out.Result.RolledBackTo = in.Plan.Before.Good
	return nil
}

func (e *Engine) rollbackStep(ctx dbos.Context, in releaseInput, l lease, revision int, reason string) (outcome[model.Observed], error) {
	t := in.Plan.Desired.Target
	return dbos.RunAsStep(ctx, func(ctx context.Context) (outcome[model.Observed], error) {
		// Not cancellable by a person: a release must not stay half way.
		return attempt(ctx, e, "", func(ctx context.Context) (model.Observed, error) {
			ctx, cancel := l.bind(ctx)
			defer cancel()
			e.say(in.Run.ID, t.Key(), model.LevelWarn, "rolling back %s", t)
			obs, err := e.Releases.Rollback(ctx, in.Plan.Cluster, t, revision, in.Run.ID, reason,
				func(level model.Level, text string) { e.say(in.Run.ID, t.Key(), level, "%s", text) })
			if err != nil {
				e.say(in.Run.ID, t.Key(), model.LevelError, "%s: rollback failed: %s", t, err)
				return obs, err
			}
			e.say(in.Run.ID, t.Key(), model.LevelInfo, "%s runs commit %.12s again (revision %d)", t, obs.Commit, obs.Revision)
			return obs, nil
		})
	}, dbos.WithStepName("rollback "+t.Key()))
}

// rollBackByHand is a person's rollback: go back, hold the hub there, verify.
func (e *Engine) rollBackByHand(ctx dbos.Context, in releaseInput, l lease, out *releaseOutcome) error {
	reason := "rolled back by " + in.By
	// Halt first, or the next reconcile pass would undo the rollback.
	if err := e.haltStep(ctx, in, reason); err != nil {
		return err
	}
	back, err := e.rollbackStep(ctx, in, l, in.Revision, reason)
	if err != nil {
		return err
	}
	out.Deploy, out.Result.Revision = back.Took, back.Value.Revision
	if back.Err != "" {
		out.Result.State, out.Result.Reason = model.FailedRun, back.Err
		return nil
	}
	// What runs again has the packages of its own commit, and not the branch's.
	// Of a revision that was made by hand no commit is known.
	t := in.Plan.Desired.Target
	had, err := e.packagesOf(ctx, t.Hub, back.Value.Commit)
	if err != nil {
		e.say(in.Run.ID, t.Key(), model.LevelWarn, "the packages of revision %d are not known, so none is imported: %s", back.Value.Revision, describe(err))
	}
	in.Plan.Packages = toImport(had)
	ver, err := e.verifyStep(ctx, in, l)
	if err != nil {
		return err
	}
	out.Verify = ver.Took
	out.Result.State = model.Done
	if ver.Err != "" || !ver.Value.Passed {
		out.Result.State = model.FailedRun
		out.Result.Reason = "rolled back, but verification failed: " + ver.Err + ver.Value.Reason
	}
	out.Result.Verification = &ver.Value
	return nil
}

// retried are the options of a step that only writes a record and may meet a
// cluster that is busy.
func retried(name string) []dbos.StepOption {
	return []dbos.StepOption{
		dbos.WithStepName(name), dbos.WithStepMaxRetries(5),
		dbos.WithStepBaseInterval(500 * time.Millisecond), dbos.WithStepMaxInterval(10 * time.Second),
	}
}
