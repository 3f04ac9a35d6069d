package deploy

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/dbos-inc/dbos-transact-golang/dbos"
	"golang.org/x/sync/errgroup"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/plan"
	"github.com/hubship/hubship/internal/ship/planning"
	"github.com/hubship/hubship/internal/ship/runs"
)

// resolvedNames is the outcome of resolving what one release names.
type resolvedNames = runs.Outcome[resolution]

// resolution is what the names of a release stand for. It is recorded.
type resolution struct {
	Resolved model.Resolved
	Unknown  bool // nobody answered: the change is not at fault
}

// resolveNames resolves, in an environment that comes after no other, what the
// releases to be upgraded name of what is made elsewhere: each release as a step
// of its own, side by side. What its evidence knows stays as it is. Later
// environments take what is found here with the evidence.
func (d *Deployer) resolveNames(ctx dbos.Context, r model.Run, p planning.Plan, images map[string]builtImage) (map[string]resolvedNames, error) {
	results := map[string]resolvedNames{}
	channels := make([]<-chan dbos.StepOutcome[resolvedNames], len(p.Releases))
	for i, rel := range p.Releases {
		own, ok := withBuilt(rel, images)
		if !rel.First || rel.Action != plan.Upgrade || !ok {
			continue
		}
		t := rel.Desired.Target
		ch, err := dbos.Go(ctx, func(ctx context.Context) (resolvedNames, error) {
			unknown := false
			out, err := runs.Attempt(ctx, d.o.Journal, r.ID, func(ctx context.Context) (resolution, error) {
				found, err := d.resolve(ctx, r.ID, rel, own)
				unknown = errors.Is(err, model.ErrUnknown)
				return resolution{Resolved: found}, err
			})
			out.Value.Unknown = unknown
			if out.Err != "" {
				d.o.Journal.Say(r.ID, t.Key(), model.LevelError, "%s", out.Err)
			}
			d.unanswered.note(t.Key(), r.Commit, unknown)
			if unknown {
				d.o.Journal.Say(r.ID, t.Key(), model.LevelWarn, "%s: nobody is at fault and nothing was changed; hubship will try again", t)
			}
			return out, err
		}, dbos.WithStepName("resolve "+t.Key()))
		if err != nil {
			return nil, err
		}
		channels[i] = ch
	}
	for i, ch := range channels {
		if ch == nil {
			continue
		}
		out := <-ch
		if out.Err != nil {
			return nil, out.Err
		}
		results[p.Releases[i].Desired.Target.Key()] = out.Result
	}
	return results, nil
}

// askedAtOnce bounds how many registries are asked side by side for a release.
const askedAtOnce = 8

// resolve finds what a release names of what is made elsewhere, and what that
// is now.
func (d *Deployer) resolve(ctx context.Context, run string, rel planning.Release, images []model.Built) (model.Resolved, error) {
	tree, err := d.o.Repository.FS(ctx, rel.Desired.Commit)
	if err != nil {
		return model.Resolved{}, err
	}
	found, err := d.o.Releases.Foreign(ctx, model.Upgrade{Desired: rel.Desired, Images: images, Resolved: rel.Resolved, Tree: tree, Run: run}, false)
	if err != nil {
		return model.Resolved{}, err
	}
	out := model.Resolved{Charts: found.Charts, Images: make([]model.ResolvedImage, len(found.Images))}
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(askedAtOnce)
	for i, f := range found.Images {
		out.Images[i] = model.ResolvedImage{Ref: f.Ref, Digest: rel.Resolved.Digest(f.Ref)}
		if out.Images[i].Digest != "" {
			continue
		}
		group.Go(func() error {
			digest, err := d.o.Images.Digest(gctx, f.Ref)
			if err != nil {
				return fmt.Errorf("%s%w", placeOfImage(f), err)
			}
			out.Images[i].Digest = digest
			d.o.Journal.Say(run, rel.Desired.Target.Key(), model.LevelInfo, "%s is %s", f.Ref, digest)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return model.Resolved{}, err
	}
	if len(out.Images) == 0 {
		out.Images = nil
	}
	return out, nil
}

// placeOfImage is where an image is named, before what is wrong with it.
func placeOfImage(f model.ForeignImage) string {
	var b strings.Builder
	if f.File != "" {
		b.WriteString(f.File)
		if f.Line > 0 {
			fmt.Fprintf(&b, ":%d", f.Line)
		}
		b.WriteString(": ")
	}
	if f.At != "" {
		b.WriteString(f.At + ": ")
	}
	return b.String()
}
