package planning

import (
	"context"
	"errors"
	"io/fs"
	"path"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/packages"
)

// packagesToImport lists what a verification imports: what the change added
// or altered since the commit that passed last, or everything when there is
// none or a person asked for a verification.
func (p *Planner) packagesToImport(ctx context.Context, r model.Run, passed string, d model.Desired) ([]model.Package, error) {
	wanted, err := p.packagesAt(ctx, d.Commit, d.Images)
	if err != nil {
		return nil, err
	}
	if r.Kind != model.Deploy || passed == "" {
		return toImport(wanted), nil
	}
	had, err := p.packagesOf(ctx, d.Target.Hub, passed)
	if err != nil {
		// The commit is gone or was unreadable: test more, not less.
		return toImport(wanted), nil
	}
	return toImport(packages.Changed(had, wanted)), nil
}

func toImport(list []packages.Package) []model.Package {
	out := make([]model.Package, len(list))
	for i, p := range list {
		out[i] = model.Package{Name: p.Name, Spec: p.Spec}
	}
	return out
}

// Packages lists what the users of a hub can import at a commit.
func (p *Planner) Packages(ctx context.Context, hub, commit string) ([]model.Package, error) {
	all, err := p.packagesOf(ctx, hub, commit)
	return toImport(all), err
}

// packagesOf reads the packages of a hub's users at a commit.
func (p *Planner) packagesOf(ctx context.Context, hub, commit string) ([]packages.Package, error) {
	fleet, err := p.o.Repository.Fleet(ctx, commit)
	if err != nil {
		return nil, err
	}
	var images []model.Source
	for _, img := range fleet.ImagesOf(hub) {
		images = append(images, model.Source{Image: img})
	}
	return p.packagesAt(ctx, commit, images)
}

// packagesAt reads requirements.txt in the contexts of the images that users'
// servers run.
func (p *Planner) packagesAt(ctx context.Context, commit string, images []model.Source) ([]packages.Package, error) {
	tree, err := p.o.Repository.FS(ctx, commit)
	if err != nil {
		return nil, err
	}
	var all []packages.Package
	for _, img := range images {
		if !img.ForUsers() {
			continue
		}
		pkgs, err := packages.Requirements(tree, path.Join(img.Context, "requirements.txt"))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, pkgs...)
	}
	return all, nil
}
