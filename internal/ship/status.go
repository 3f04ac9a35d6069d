package ship

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/hubship/hubship/internal/model"
)

// Status observes the whole installation. What cannot be seen is said in it;
// it never fails as a whole.
func (e *Engine) Status(ctx context.Context) (model.Status, error) {
	s := model.Status{Version: e.opts.Version, Started: e.started, Repository: e.opts.CloneURL, Dashboard: e.opts.Dashboard}
	now, err := e.Repository.Now(ctx)
	if err != nil {
		s.Problems = append(s.Problems, describe(err))
		return s, nil
	}
	s.Process, s.ProcessCommit = now.Branch, now.Commit
	s.Environments = make([]model.EnvironmentStatus, len(now.Environments))
	var group errgroup.Group
	for i, env := range now.Environments {
		s.Environments[i] = model.EnvironmentStatus{Name: env.Name, Branch: env.Branch, After: env.After}
		group.Go(func() error {
			if err := e.environmentStatus(ctx, env.Name, &s.Environments[i]); err != nil {
				return fmt.Errorf("%s: %w", env.Name, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		s.Problems = append(s.Problems, describe(err))
	}
	return s, nil
}

func (e *Engine) environmentStatus(ctx context.Context, name string, s *model.EnvironmentStatus) error {
	active, err := e.History.List(ctx, model.RunFilter{Environment: name, Active: true, Limit: 10})
	if err != nil {
		return err
	}
	for _, r := range active {
		if s.Active == nil || r.State == model.Running {
			s.Active = &r
		}
	}
	fleet, env, head, err := e.environment(ctx, name)
	if err != nil {
		return err
	}
	s.Branch, s.After, s.Commit = env.Branch, env.After, head
	if s.Subject, err = e.Repository.Subject(ctx, head); err != nil {
		return err
	}
	desired, err := e.Repository.Desired(ctx, fleet, name)
	if err != nil {
		return err
	}
	s.Releases = make([]model.ReleaseStatus, len(desired))
	var group errgroup.Group
	group.SetLimit(8)
	for i, d := range desired {
		group.Go(func() error {
			s.Releases[i] = e.releaseStatus(ctx, d)
			return nil
		})
	}
	return group.Wait()
}

func (e *Engine) releaseStatus(ctx context.Context, d model.Desired) model.ReleaseStatus {
	st := model.ReleaseStatus{Observed: model.Observed{Target: d.Target, Status: model.Absent}, URL: e.opts.HubURL(d.Target.Host)}
	if d.Invalid != "" {
		st.Error = d.Invalid
		return st
	}
	cluster, err := e.cluster(ctx, d.Target)
	if err != nil {
		st.Error = describe(err)
		return st
	}
	obs, err := e.Releases.Observe(ctx, cluster, d.Target)
	if err != nil {
		st.Error = describe(err)
		return st
	}
	st.Observed = obs
	st.InSync = obs.Status == model.Deployed && e.sameInputs(ctx, obs.Commit, d)
	if ev, ok, err := e.Ledger.Evidence(ctx, cluster, d.Target, d.Shared); err != nil {
		st.Error = describe(err)
	} else if ok {
		st.Evidence = &ev
	}
	if records, err := e.Ledger.Records(ctx, cluster, d.Target); err != nil {
		st.Error = describe(err)
	} else {
		st.Refused = refusedRecords(records)
	}
	if halt, ok, err := e.Ledger.Halted(ctx, cluster, d.Target); err != nil {
		st.Error = describe(err)
	} else if ok {
		st.Halt = &halt
	}
	return st
}

// sameInputs says whether a commit wants the release to be what d says.
func (e *Engine) sameInputs(ctx context.Context, commit string, d model.Desired) bool {
	if commit == d.Commit {
		return true
	}
	if commit == "" {
		return false
	}
	fleet, err := e.fleet(ctx, commit)
	if err != nil {
		return false
	}
	all, err := e.Repository.Desired(ctx, fleet, d.Target.Environment)
	if err != nil {
		return false
	}
	for _, other := range all {
		if other.Target == d.Target {
			return other.Shared == d.Shared && other.Own == d.Own
		}
	}
	return false
}

// Host is a hub that the HTTP port serves by name.
type Host struct {
	Cluster model.Cluster
	Target  model.Target
}

// Hosts lists the hubs by the host name under which they are served.
func (e *Engine) Hosts(ctx context.Context) (map[string]Host, error) {
	now, err := e.Repository.Now(ctx)
	if err != nil {
		return nil, err
	}
	hosts := map[string]Host{}
	for _, env := range now.Environments {
		at, env, _, err := e.environment(ctx, env.Name)
		if err != nil {
			continue // its hubs cannot be known
		}
		for _, hub := range at.Hubs {
			t, err := at.Target(hub.Name, env.Name)
			if err != nil || !hub.In(env.Name) || hub.Problem(env.Name) != "" {
				continue
			}
			if cluster, err := e.cluster(ctx, t); err == nil {
				hosts[t.Host] = Host{Cluster: cluster, Target: t}
			}
		}
	}
	return hosts, nil
}
