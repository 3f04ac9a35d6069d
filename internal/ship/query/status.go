package query

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/ship/proof"
	"github.com/hubship/hubship/internal/ship/runs"
)

// Status observes the whole installation. It reports what could not be observed,
// and never fails as a whole.
func (r *Reader) Status(ctx context.Context) (model.Status, error) {
	s := model.Status{Version: r.o.About.Version, Started: r.o.About.Started, Repository: r.o.About.CloneURL, Dashboard: r.o.About.Dashboard}
	now, err := r.o.Repository.Now(ctx)
	if err != nil {
		s.Problems = append(s.Problems, runs.Describe(err))
		return s, nil
	}
	s.Process, s.ProcessCommit = now.Branch, now.Commit
	s.Environments = make([]model.EnvironmentStatus, len(now.Environments))
	var group errgroup.Group
	for i, env := range now.Environments {
		s.Environments[i] = model.EnvironmentStatus{Name: env.Name, Branch: env.Branch, After: env.After}
		group.Go(func() error {
			if err := r.environmentStatus(ctx, env.Name, &s.Environments[i]); err != nil {
				return fmt.Errorf("%s: %w", env.Name, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		s.Problems = append(s.Problems, runs.Describe(err))
	}
	return s, nil
}

func (r *Reader) environmentStatus(ctx context.Context, name string, s *model.EnvironmentStatus) error {
	active, err := r.o.History.List(ctx, model.RunFilter{Environment: name, Active: true, Limit: 10})
	if err != nil {
		return err
	}
	for _, run := range active {
		if s.Active == nil || run.State == model.Running {
			s.Active = &run
		}
	}
	tip, err := r.o.Fleets.Tip(ctx, name)
	if err != nil {
		return err
	}
	s.Branch, s.After, s.Commit = tip.Branch, tip.After, tip.Head
	if s.Subject, err = r.o.Repository.Subject(ctx, tip.Head); err != nil {
		return err
	}
	desired, err := r.o.Repository.Desired(ctx, tip.Fleet, name)
	if err != nil {
		return err
	}
	s.Releases = make([]model.ReleaseStatus, len(desired))
	var group errgroup.Group
	group.SetLimit(8)
	for i, d := range desired {
		group.Go(func() error {
			s.Releases[i] = r.releaseStatus(ctx, d)
			return nil
		})
	}
	return group.Wait()
}

func (r *Reader) releaseStatus(ctx context.Context, d model.Desired) model.ReleaseStatus {
	st := model.ReleaseStatus{Observed: model.Observed{Target: d.Target, Status: model.Absent}, URL: r.o.HubURL(d.Target.Host)}
	if d.Invalid != "" {
		st.Error = d.Invalid
		return st
	}
	cluster, err := r.o.Fleets.Cluster(ctx, d.Target)
	if err != nil {
		st.Error = runs.Describe(err)
		return st
	}
	obs, err := r.o.Releases.Observe(ctx, cluster, d.Target)
	if err != nil {
		st.Error = runs.Describe(err)
		return st
	}
	st.Observed = obs
	st.InSync = obs.Status == model.Deployed && r.sameInputs(ctx, obs.Commit, d)
	if ev, ok, err := r.o.Evidence.Evidence(ctx, cluster, d.Target, d.Shared); err != nil {
		st.Error = runs.Describe(err)
	} else if ok {
		st.Evidence = &ev
	}
	if records, err := r.o.Evidence.Records(ctx, cluster, d.Target); err != nil {
		st.Error = runs.Describe(err)
	} else {
		st.Refused = proof.Refused(records)
	}
	if halt, ok, err := r.o.Evidence.Halted(ctx, cluster, d.Target); err != nil {
		st.Error = runs.Describe(err)
	} else if ok {
		st.Halt = &halt
	}
	return st
}

// sameInputs says whether a commit wants the release to be what d says.
func (r *Reader) sameInputs(ctx context.Context, commit string, d model.Desired) bool {
	if commit == d.Commit {
		return true
	}
	if commit == "" {
		return false
	}
	fleet, err := r.o.Fleets.At(ctx, commit)
	if err != nil {
		return false
	}
	all, err := r.o.Repository.Desired(ctx, fleet, d.Target.Environment)
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
func (r *Reader) Hosts(ctx context.Context) (map[string]Host, error) {
	now, err := r.o.Repository.Now(ctx)
	if err != nil {
		return nil, err
	}
	hosts := map[string]Host{}
	for _, env := range now.Environments {
		tip, err := r.o.Fleets.Tip(ctx, env.Name)
		if err != nil {
			continue // its hubs cannot be known
		}
		for _, hub := range tip.Fleet.Hubs {
			t, err := tip.Fleet.Target(hub.Name, env.Name)
			if err != nil || !hub.In(env.Name) || hub.Problem(env.Name) != "" {
				continue
			}
			if cluster, err := r.o.Fleets.Cluster(ctx, t); err == nil {
				hosts[t.Host] = Host{Cluster: cluster, Target: t}
			}
		}
	}
	return hosts, nil
}
