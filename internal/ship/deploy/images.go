package deploy

import (
	"context"
	"errors"
	"io/fs"
	"slices"

	"github.com/dbos-inc/dbos-transact-golang/dbos"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/ship/planning"
	"github.com/hubship/hubship/internal/ship/runs"
)

// builtImage is the outcome of building one image.
type builtImage = runs.Outcome[model.Built]

// buildImages builds what the plan misses, each image as a step of its own
// and side by side; the builder bounds how many at once. The result holds a
// failed build too: it holds back only the releases that use it.
func (d *Deployer) buildImages(ctx dbos.Context, r *model.Run, p planning.Plan) (map[string]builtImage, error) {
	results := map[string]builtImage{}
	if len(p.Build) == 0 {
		return results, nil
	}
	channels := make([]<-chan dbos.StepOutcome[builtImage], len(p.Build))
	for i, src := range p.Build {
		ch, err := dbos.Go(ctx, func(ctx context.Context) (builtImage, error) {
			return runs.Attempt(ctx, d.o.Journal, r.ID, func(ctx context.Context) (model.Built, error) {
				return d.o.Builder.Image(ctx, r.ID, r.Commit, src, model.BuildOptions{
					Origin: model.Origin{Run: r.ID, Commit: r.Commit, Process: r.Process, Approved: true, Into: r.Environment},
					Merged: func(ctx context.Context, commit string) (bool, error) { return d.merged(ctx, commit, r.Commit) },
				})
			})
		}, dbos.WithStepName("image "+src.ID))
		if err != nil {
			return nil, err
		}
		channels[i] = ch
	}
	for i, ch := range channels {
		out := <-ch
		if out.Err != nil {
			return nil, out.Err
		}
		src, res := p.Build[i], out.Result
		results[src.ID] = res
		// Side by side, so the run waited for the longest.
		r.Durations.Build = max(r.Durations.Build, res.Took)
		if res.Err == "" {
			r.Images = append(r.Images, res.Value)
		}
	}
	return results, nil
}

// merged says whether a commit is part of another one. One that is not known
// any more is not.
func (d *Deployer) merged(ctx context.Context, commit, into string) (bool, error) {
	ok, err := d.o.Repository.IsAncestor(ctx, commit, into)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return ok, err
}

// withBuilt are the images of a release, those that the run has built among
// them; ok is false when one could not be.
func withBuilt(rel planning.Release, built map[string]builtImage) (images []model.Built, ok bool) {
	images = slices.Clone(rel.Images)
	for _, src := range rel.Desired.Images {
		if res, made := built[src.ID]; made {
			if res.Err != "" {
				return nil, false
			}
			images = append(images, res.Value)
		}
	}
	return images, true
}
