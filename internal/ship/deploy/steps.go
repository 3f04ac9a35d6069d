package deploy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/plan"
	"github.com/hubship/hubship/internal/ship/runs"
)

// upgraded is what the step of an upgrade found. It is recorded.
type upgraded struct {
	Observed     model.Observed
	Log          string
	RolledBackTo int
	Refused      string // why it was not begun
}

// upgrade is the step that upgrades the release.
func (s *shipment) upgrade(ctx dbos.Context) (runs.Outcome[upgraded], error) {
	d := s.Desired
	return dbos.RunAsStep(ctx, func(ctx context.Context) (runs.Outcome[upgraded], error) {
		return runs.Attempt(ctx, s.o.Journal, s.Run.ID, func(ctx context.Context) (upgraded, error) {
			ctx, cancel := s.bind(ctx)
			defer cancel()
			if why, err := s.o.Planner.RefusedNow(ctx, s.Release, s.Resolved); err != nil {
				return upgraded{}, err
			} else if why != "" {
				s.say(model.LevelWarn, "%s: not deployed: %s", d.Target, why)
				return upgraded{Refused: why}, nil
			}
			tree, err := s.o.Repository.FS(ctx, d.Commit)
			if err != nil {
				return upgraded{}, err
			}
			if err := s.deployable(ctx); err != nil {
				return upgraded{}, err
			}
			s.say(model.LevelInfo, "upgrading %s to %.12s", d.Target, d.Commit)
			began := time.Now()
			obs, err := s.o.Releases.Upgrade(ctx, s.Cluster, model.Upgrade{
				Desired: d, Images: s.Images, Resolved: s.Resolved, Proven: !s.First, Passed: s.Passed, Tree: tree, Inputs: s.Inputs, Run: s.Run.ID,
				Log: func(level model.Level, text string) { s.say(level, "%s", text) },
			})
			res := upgraded{Observed: obs}
			var failed *model.UpgradeError
			if errors.As(err, &failed) {
				res.Log, res.RolledBackTo = failed.Log, failed.RolledBackTo
				s.sayFailed(failed)
			}
			if err == nil {
				s.say(model.LevelInfo, "%s is ready: revision %d (%s)", d.Target, obs.Revision, time.Since(began).Round(100*time.Millisecond))
			}
			return res, err
		})
	}, dbos.WithStepName("upgrade "+d.Target.Key()))
}

// deployable refuses the release when images of it are not, at the last moment, in the registry
// with a provenance that lets them be deployed.
func (s *shipment) deployable(ctx context.Context) error {
	for _, b := range s.Images {
		ok, err := s.o.Images.Exists(ctx, b)
		if err != nil {
			return err
		}
		if !ok {
			return model.WithHint(fmt.Errorf("image %s (%s@%s) is not in the registry with a provenance that this installation signed", b.ID, b.Ref(), b.Digest),
				"deploy again: images without one are rebuilt in the first environment")
		}
	}
	return nil
}

func (s *shipment) sayFailed(failed *model.UpgradeError) {
	t := s.Desired.Target
	s.say(model.LevelError, "%s: upgrade failed: %s", t, failed.Err)
	s.o.Journal.Quote(s.Run.ID, t.Key(), failed.Log)
	switch {
	case failed.RollbackErr != nil:
		s.say(model.LevelError, "%s: the rollback failed, too: %s", t, failed.RollbackErr)
	case failed.RolledBackTo > 0:
		s.say(model.LevelWarn, "%s: rolled back to what revision %d ran", t, failed.RolledBackTo)
	}
}

// verify is the step that tests the release as a user.
func (s *shipment) verify(ctx dbos.Context) (runs.Outcome[model.Verification], error) {
	t := s.Desired.Target
	return dbos.RunAsStep(ctx, func(ctx context.Context) (runs.Outcome[model.Verification], error) {
		return runs.Attempt(ctx, s.o.Journal, s.Run.ID, func(ctx context.Context) (model.Verification, error) {
			ctx, cancel := s.bind(ctx)
			defer cancel()
			s.say(model.LevelInfo, "verifying %s as a user", t)
			return s.o.Verifier.Verify(ctx, s.Cluster, model.VerifyRequest{
				Target: t, Settings: s.Settings, Packages: s.Packages, Run: s.Run.ID, Check: s.sayCheck,
			})
		})
	}, dbos.WithStepName("verify "+t.Key()))
}

func (s *shipment) sayCheck(c model.Check) {
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
	s.say(level, "%s", text)
	if !c.Passed && c.Log != "" {
		s.o.Journal.Quote(s.Run.ID, s.Desired.Target.Key(), c.Log)
	}
}

// record is the step that writes evidence that the release passed, and ends its
// halt.
func (s *shipment) record(ctx dbos.Context, v model.Verification) error {
	d := s.Desired
	if s.Run.Kind != model.Deploy {
		return nil // what was not applied just now is not known to be made of these inputs
	}
	_, err := dbos.RunAsStep(ctx, func(ctx context.Context) (bool, error) {
		if len(s.Images) != len(d.Images) || plan.Inputs(d, s.Images, s.Resolved) != s.Inputs {
			s.say(model.LevelWarn, "%s passed, but what runs does not consist only of commit %.12s and known images: no evidence is recorded", d.Target, d.Commit)
			return false, nil
		}
		ev := model.Evidence{
			Hub: d.Target.Hub, Environment: d.Target.Environment, Commit: d.Commit,
			Shared: d.Shared, Inputs: s.Inputs, Images: s.Images, Resolved: s.Resolved, Run: s.Run.ID, Process: s.Run.Process, Verified: v,
		}
		if err := s.o.Evidence.Record(ctx, s.Cluster, d.Target, ev); err != nil {
			return false, fmt.Errorf("record evidence for %s: %w", d.Target, err)
		}
		if s.Halted {
			if err := s.o.Evidence.Clear(ctx, s.Cluster, d.Target); err != nil {
				return false, fmt.Errorf("clear the halt of %s: %w", d.Target, err)
			}
			s.say(model.LevelInfo, "%s: the halt is cleared: a newer change passed", d.Target)
		}
		s.say(model.LevelInfo, "%s passed in %s: evidence recorded", d.Target.Hub, d.Target.Environment)
		return true, nil
	}, retried("record "+d.Target.Key())...)
	return err
}

// halt is the step that holds the hub back until a newer change passes or a
// person clears it.
func (s *shipment) halt(ctx dbos.Context, reason string) error {
	d := s.Desired
	_, err := dbos.RunAsStep(ctx, func(ctx context.Context) (bool, error) {
		err := s.o.Evidence.Halt(ctx, s.Cluster, d.Target, model.Halt{
			Hub: d.Target.Hub, Environment: d.Target.Environment, Reason: reason, Commit: d.Commit,
			Inputs: plan.Inputs(d, nil, model.Resolved{}), Shared: d.Shared, Run: s.Run.ID, Since: time.Now(),
		})
		if err != nil {
			return false, fmt.Errorf("halt %s: %w", d.Target, err)
		}
		s.say(model.LevelWarn, "%s is halted in %s: nothing is promoted from it until a newer change passes or a person clears it with `hubship resume --env %s --hub %s`",
			d.Target.Hub, d.Target.Environment, d.Target.Environment, d.Target.Hub)
		return true, nil
	}, retried("halt "+d.Target.Key())...)
	return err
}

// rollback is the step that brings the release back to a revision.
func (s *shipment) rollback(ctx dbos.Context, revision int, reason string) (runs.Outcome[model.Observed], error) {
	t := s.Desired.Target
	return dbos.RunAsStep(ctx, func(ctx context.Context) (runs.Outcome[model.Observed], error) {
		// Not cancellable by a person: a release must not stay half way.
		return runs.Attempt(ctx, s.o.Journal, "", func(ctx context.Context) (model.Observed, error) {
			ctx, cancel := s.bind(ctx)
			defer cancel()
			s.say(model.LevelWarn, "rolling back %s", t)
			obs, err := s.o.Releases.Rollback(ctx, s.Cluster, t, revision, s.Run.ID, reason,
				func(level model.Level, text string) { s.say(level, "%s", text) })
			if err != nil {
				s.say(model.LevelError, "%s: rollback failed: %s", t, err)
				return obs, err
			}
			s.say(model.LevelInfo, "%s runs commit %.12s again (revision %d)", t, obs.Commit, obs.Revision)
			return obs, nil
		})
	}, dbos.WithStepName("rollback "+t.Key()))
}

// retried are the options of a step that only writes a record and may meet a
// cluster that is busy.
func retried(name string) []dbos.StepOption {
	return []dbos.StepOption{
		dbos.WithStepName(name), dbos.WithStepMaxRetries(5),
		dbos.WithStepBaseInterval(500 * time.Millisecond), dbos.WithStepMaxInterval(10 * time.Second),
	}
}
