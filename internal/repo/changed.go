package repo

import (
	"context"
	"fmt"
	"path"
	"slices"

	"github.com/hubship/hubship/internal/config"
	"github.com/hubship/hubship/internal/model"
)

// Changed names the files that differ between two commits and that the hub's
// releases share in all environments: chart, shared values, image sources and
// hubship.yaml. It says in words what the difference of two Shared hashes says;
// it decides nothing.
func (r *Repository) Changed(ctx context.Context, base, head, hub string) ([]string, error) {
	var inputs []string
	for _, commit := range []string{base, head} {
		paths, err := r.inputs(ctx, commit, hub)
		if err != nil {
			return nil, fmt.Errorf("compare hub %s at %.12s and %.12s: %w", hub, base, head, err)
		}
		inputs = append(inputs, paths...)
	}
	changed, err := r.git.ChangedPaths(ctx, base, head)
	if err != nil {
		return nil, fmt.Errorf("compare hub %s: %w", hub, err)
	}
	return slices.DeleteFunc(changed, func(name string) bool {
		return !slices.ContainsFunc(inputs, func(input string) bool {
			_, below := inside(input, name)
			return below || name == input
		})
	}), nil
}

// inputs lists the files and folders that the hub's releases share.
func (r *Repository) inputs(ctx context.Context, commit, hub string) ([]string, error) {
	s, err := r.snapshot(ctx, commit)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	cfg, err := s.configuration()
	if err != nil {
		return nil, err
	}
	if err := s.hashSources(cfg.Fleet, r.opts.Platform); err != nil {
		return nil, err
	}
	h, _ := cfg.Fleet.Hub(hub)
	paths := append([]string{config.FileName}, s.charts[cfg.Fleet.ChartOf(h)].paths...)
	if h, ok := cfg.Fleet.Hub(hub); ok && cfg.Fleet.Layout == model.LayoutHubploy {
		paths[0] = path.Join(h.Path, config.HubployFile)
	}
	for _, i := range cfg.Fleet.ImagesOf(hub) {
		paths = append(paths, i.Context)
		if i.Dockerfile != "" {
			paths = append(paths, i.Dockerfile)
		}
	}
	if h, ok := cfg.Fleet.Hub(hub); ok && len(cfg.Fleet.Environments) > 0 {
		files, err := cfg.Release(h.Name, cfg.Fleet.Environments[0].Name)
		if err != nil {
			return nil, err
		}
		paths = append(paths, files.Shared...)
	}
	return paths, nil
}
