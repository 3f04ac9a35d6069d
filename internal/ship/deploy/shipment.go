package deploy

import (
	"context"
	"errors"
	"fmt"

	"github.com/dbos-inc/dbos-transact-golang/dbos"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/plan"
	"github.com/hubship/hubship/internal/ship/runs"
)

// release is the workflow of one release in a run. The release's Lease is
// held all through it, so that no two processes work on one release.
func (d *Deployer) release(ctx dbos.Context, in releaseInput) (released, error) {
	out := released{ReleaseResult: model.ReleaseResult{Target: in.Desired.Target, Revision: in.Before.Revision}}

	// Waiting for a slot is no step: nothing is recorded, nothing is done.
	select {
	case d.slots <- struct{}{}:
		defer func() { <-d.slots }()
	case <-ctx.Done():
		return out, context.Cause(ctx)
	}
	s := d.shipment(in)
	unlock, err := s.lock(ctx)
	if err != nil {
		return out, err
	}
	defer unlock()

	if in.Run.Kind == model.Rollback {
		err = s.rollBackByHand(ctx, &out)
	} else {
		err = s.upgradeAndVerify(ctx, &out)
	}
	return out, err
}

// shipment is one release of a run under way.
type shipment struct {
	releaseInput
	o    *Options
	held context.Context // ends when the release's Lease is lost; nil while it is not held
}

func (d *Deployer) shipment(in releaseInput) *shipment {
	return &shipment{releaseInput: in, o: &d.o}
}

// say appends a line about the release to the run's log.
func (s *shipment) say(level model.Level, format string, args ...any) {
	s.o.Journal.Say(s.Run.ID, s.Desired.Target.Key(), level, format, args...)
}

// lock takes the release's Lease.
func (s *shipment) lock(ctx dbos.Context) (unlock func(), err error) {
	target := s.Desired.Target
	s.held, unlock, err = s.o.Locks.Lock(ctx, s.Cluster, target, s.Run.ID, func(holder string) {
		s.say(model.LevelInfo, "%s: waiting for run %s, which holds the release's Lease", target, holder)
	})
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", target, err)
	}
	return unlock, nil
}

// bind returns a context that also ends with the Lease: what it is used for must
// not go on when the lock is lost.
func (s *shipment) bind(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(s.held, func() { cancel(errors.New("the release's Lease was lost: another hubship may be working on it")) })
	return ctx, func() { stop(); cancel(nil) }
}

// upgradeAndVerify brings the release to its inputs, tests it as a user, and
// records evidence; on failure it goes back and halts. A deploy applies the
// release also where it claims to run these inputs already: Helm's records are
// the namespace's, and only what hubship has just applied is proven by a test.
func (s *shipment) upgradeAndVerify(ctx dbos.Context, out *released) error {
	if s.Run.Kind == model.Deploy {
		up, err := s.upgrade(ctx)
		if err != nil {
			return err
		}
		out.Deploy = up.Took
		if up.Value.Refused != "" {
			out.State, out.Reason = model.Refused, up.Value.Refused
			return nil // nothing was changed, and nobody is at fault
		}
		out.Revision = up.Value.Observed.Revision
		if up.Err != "" {
			out.State, out.Reason = up.State(), up.Err
			out.Log, out.RolledBackTo = up.Value.Log, up.Value.RolledBackTo
			if err := s.halt(ctx, up.Err); err != nil || !up.Cancelled {
				return err
			}
			// An upgrade that fails rolls back by itself; one that is
			// interrupted stays where it was.
			return s.goBack(ctx, up.Err, out)
		}
	}
	ver, err := s.verify(ctx)
	if err != nil {
		return err
	}
	out.Verify = ver.Took
	if ver.Err == "" && ver.Value.Passed {
		out.State, out.Verification = model.Done, &ver.Value
		return s.record(ctx, ver.Value)
	}
	reason := ver.Err
	out.State = ver.State()
	if reason == "" {
		reason = "verification failed: " + ver.Value.Reason
		out.Verification = &ver.Value
	}
	out.Reason = reason
	// A verification that a person asked for, of a release that nobody
	// changed, only reports.
	if s.Run.Kind != model.Deploy {
		return nil
	}
	// Halt first: were the process to end for good here, nothing would be
	// promoted.
	if err := s.halt(ctx, reason); err != nil {
		return err
	}
	return s.goBack(ctx, reason, out)
}

// goBack rolls a release back after a failed verification or a cancelled
// upgrade.
func (s *shipment) goBack(ctx dbos.Context, reason string, out *released) error {
	if s.Before.Good == 0 || s.Action != plan.Upgrade {
		s.say(model.LevelWarn, "%s: there is no earlier good revision to roll back to", s.Desired.Target)
		return nil
	}
	back, err := s.rollback(ctx, s.Before.Good, reason)
	if err != nil {
		return err
	}
	out.Revision = back.Value.Revision
	if back.Err != "" {
		out.Reason += "; the rollback failed, too: " + back.Err
		return nil
	}
	out.RolledBackTo = s.Before.Good
	return nil
}

// rollBackByHand is a person's rollback: go back, hold the hub there, verify.
func (s *shipment) rollBackByHand(ctx dbos.Context, out *released) error {
	reason := "rolled back by " + s.By
	// Halt first, or the next reconcile pass would undo the rollback.
	if err := s.halt(ctx, reason); err != nil {
		return err
	}
	back, err := s.rollback(ctx, s.Revision, reason)
	if err != nil {
		return err
	}
	out.Deploy, out.Revision = back.Took, back.Value.Revision
	if back.Err != "" {
		out.State, out.Reason = model.FailedRun, back.Err
		return nil
	}
	// What runs again has the packages of its own commit, and not the branch's.
	// Of a revision that was made by hand no commit is known.
	if s.Packages, err = s.o.Planner.Packages(ctx, s.Desired.Target.Hub, back.Value.Commit); err != nil {
		s.say(model.LevelWarn, "the packages of revision %d are unknown, so none are imported: %s", back.Value.Revision, runs.Describe(err))
	}
	ver, err := s.verify(ctx)
	if err != nil {
		return err
	}
	out.Verify = ver.Took
	out.State = model.Done
	if ver.Err != "" || !ver.Value.Passed {
		out.State = model.FailedRun
		out.Reason = "rolled back, but verification failed: " + ver.Err + ver.Value.Reason
	}
	out.Verification = &ver.Value
	return nil
}
