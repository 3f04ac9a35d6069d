package proof

import (
	"context"
	"slices"

	"github.com/hubship/hubship/internal/gate"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/ship/runs"
)

// Names finds which images made elsewhere a release names in an environment that
// comes after another, and what they are known to stand for: from here, what is
// proven in this environment, and from before, the evidence of the previous one.
// Nothing is resolved again. The names are nil when nothing was proven before, and
// here is returned unchanged wherever no more is known.
func (f Finder) Names(ctx context.Context, d model.Desired, here model.Resolved, before *model.Evidence) (*gate.Names, model.Resolved, error) {
	if before == nil {
		return nil, here, nil // nothing was proven, which is reason enough
	}
	tree, err := f.Repository.FS(ctx, d.Commit)
	if err != nil {
		return nil, here, err
	}
	known := overlay(here, before.Resolved)
	found, err := f.Releases.Foreign(ctx, model.Upgrade{Desired: d, Images: before.Images, Resolved: known, Tree: tree}, true)
	if ctx.Err() != nil {
		return nil, here, context.Cause(ctx)
	}
	if err != nil {
		return &gate.Names{Unknown: runs.Describe(err)}, here, nil
	}
	names := &gate.Names{}
	resolved := model.Resolved{Charts: found.Charts}
	for _, i := range found.Images {
		names.Images = append(names.Images, i.Ref)
		if digest := known.Digest(i.Ref); digest != "" {
			resolved.Images = append(resolved.Images, model.ResolvedImage{Ref: i.Ref, Digest: digest})
		}
	}
	return names, resolved, nil
}

// Named are the names of images that are resolved already.
func Named(r model.Resolved) *gate.Names {
	names := &gate.Names{}
	for _, i := range r.Images {
		names.Images = append(names.Images, i.Ref)
	}
	return names
}

// overlay is what is known of both: what was proven here stays what it was.
func overlay(here, before model.Resolved) model.Resolved {
	out := model.Resolved{Images: slices.Clone(here.Images), Charts: slices.Clone(here.Charts)}
	for _, i := range before.Images {
		if here.Digest(i.Ref) == "" {
			out.Images = append(out.Images, i)
		}
	}
	for _, c := range before.Charts {
		if !slices.ContainsFunc(here.Charts, func(h model.ResolvedChart) bool {
			return h.Name == c.Name && h.Version == c.Version && h.Repository == c.Repository
		}) {
			out.Charts = append(out.Charts, c)
		}
	}
	return out
}
