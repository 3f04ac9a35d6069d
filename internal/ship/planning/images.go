package planning

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/plan"
)

// finder looks sources up in the registry, each once a run.
type finder struct {
	images Images
	repo   Repository
	commit string

	mu   sync.Mutex
	tree fs.FS
	seen map[string]*found // by Source.ID
}

type found struct {
	once  sync.Once
	built model.Built
	ok    bool
	err   error
}

func newFinder(images Images, repo Repository, commit string) *finder {
	return &finder{images: images, repo: repo, commit: commit, seen: map[string]*found{}}
}

// find returns those of the sources that the registry has.
func (f *finder) find(ctx context.Context, sources []model.Source) ([]model.Built, error) {
	f.mu.Lock()
	if f.tree == nil {
		tree, err := f.repo.FS(ctx, f.commit)
		if err != nil {
			f.mu.Unlock()
			return nil, err
		}
		f.tree = tree
	}
	f.mu.Unlock()
	var have []model.Built
	for _, src := range sources {
		f.mu.Lock()
		hit, ok := f.seen[src.ID]
		if !ok {
			hit = &found{}
			f.seen[src.ID] = hit
		}
		f.mu.Unlock()
		hit.once.Do(func() { hit.built, hit.ok, hit.err = f.images.Find(ctx, f.tree, src) })
		if hit.err != nil {
			return nil, fmt.Errorf("look for image %s: %w", src.ID, hit.err)
		}
		if hit.ok {
			have = append(have, hit.built)
		}
	}
	return have, nil
}

// allExist says whether the registry still has every one of the images. One
// that does not answer says neither: nothing is built or refused for that.
func (p *Planner) allExist(ctx context.Context, images []model.Built) (bool, error) {
	for _, b := range images {
		if ok, err := p.o.Images.Exists(ctx, b); err != nil || !ok {
			return false, err
		}
	}
	return true, nil
}

// missing lists the sources of releases to be upgraded that no registry has.
func missing(releases []Release) []model.Source {
	var all []model.Source
	for _, rel := range releases {
		if rel.Action != plan.Upgrade {
			continue
		}
		for _, src := range rel.Desired.Images {
			found := slices.ContainsFunc(rel.Images, func(b model.Built) bool { return b.ID == src.ID })
			listed := slices.ContainsFunc(all, func(s model.Source) bool { return s.ID == src.ID })
			if !found && !listed {
				all = append(all, src)
			}
		}
	}
	return all
}
