package planning

import (
	"context"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/ship/fleets"
	"github.com/hubship/hubship/internal/ship/runs"
)

// Environment observes the releases of the environment of a run and decides about
// each.
func (p *Planner) Environment(ctx context.Context, fleet *model.Fleet, r model.Run) (Plan, error) {
	made := Plan{Process: fleet.Process, Verify: fleet.Verify}
	env, ok := fleet.Environment(r.Environment)
	if !ok {
		return made, model.Usage(fmt.Errorf("environment %q is not in the process at %.12s", r.Environment, fleet.Process),
			"`hubship status` lists the environments")
	}
	desired, err := p.o.Repository.Desired(ctx, fleet, env.Name)
	if err != nil {
		return made, err
	}
	desired = slices.DeleteFunc(desired, func(d model.Desired) bool {
		return len(r.Hubs) > 0 && !slices.Contains(r.Hubs, d.Target.Hub)
	})
	if len(desired) == 0 {
		return made, fmt.Errorf("no hub of %s matches %s at %.12s", env.Name, runs.Hubs(r), r.Commit)
	}
	around := surroundings{fleet: fleet, env: env, finder: newFinder(p.o.Images, p.o.Repository, r.Commit)}
	if around.taken, err = p.o.Fleets.Taken(ctx, fleet, env.Name); err != nil {
		return made, err
	}
	if r.Kind == model.Deploy {
		if around.astray, err = p.o.Fleets.Astray(ctx, env, r.Commit); err != nil {
			return made, err
		}
	}
	made.Releases = make([]Release, len(desired))
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for i, d := range desired {
		group.Go(func() error {
			rel, err := p.release(gctx, around, r, d)
			if err != nil {
				return fmt.Errorf("plan %s: %w", d.Target, err)
			}
			made.Releases[i] = rel
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return made, err
	}
	made.Build = missing(made.Releases)
	return made, nil
}

// surroundings are what decisions about the releases of a run have in common.
type surroundings struct {
	fleet  *model.Fleet
	env    model.Environment
	astray string                  // why the commit is none for the environment; empty when it is
	taken  map[fleets.Place]string // places of other environments' releases
	finder *finder
}

// refused says why a release must be left alone before anything is asked about
// it, or "".
func (s surroundings) refused(d model.Desired) string {
	if d.Invalid != "" {
		return d.Invalid
	}
	if other, ok := s.taken[fleets.PlaceOf(d.Target)]; ok {
		return fmt.Sprintf("the namespace %s on cluster %s belongs to %s", d.Target.Namespace, d.Target.Cluster, other)
	}
	return ""
}
