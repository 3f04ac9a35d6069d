package repo

import (
	"context"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/hubship/hubship/internal/config"
	"github.com/hubship/hubship/internal/git"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/plan"
)

// Revision describes the repository at a commit, or at a tree, as one side of a
// plan. The error is config.ErrNoHubs when it describes no hubs, and a
// *config.Error when the configuration is wrong.
//
// The commit is read under the process that another commit says; "" is what it
// proposes itself.
func (r *Repository) Revision(ctx context.Context, commit, process string) (plan.Revision, error) {
	s, err := r.at(ctx, commit, process)
	if err != nil {
		return plan.Revision{}, err
	}
	cfg, err := r.config(s)
	if err != nil {
		return plan.Revision{Commit: commit}, err
	}
	side := plan.Revision{Commit: commit, Layout: cfg.Fleet.Layout}
	users := map[string][]string{}
	for _, h := range cfg.Fleet.Hubs {
		files := map[string]string{}
		_ = s.tree.Below(h.Path, func(e git.Entry) error {
			if !e.IsDir() {
				files[strings.TrimPrefix(e.Path, h.Path+"/")] = e.ID
			}
			return nil
		})
		side.Hubs = append(side.Hubs, plan.SideHub{Name: h.Name, Files: files})
		for _, i := range cfg.Fleet.ImagesOf(h.Name) {
			users[i.ID] = append(users[i.ID], h.Name)
		}
	}
	desired := map[string]map[string]model.Desired{}
	for _, env := range cfg.Fleet.Environments {
		releases, err := s.releases(ctx, env.Name, r.opts.Platform)
		if err != nil {
			return side, err
		}
		for _, d := range releases {
			if desired[d.Target.Hub] == nil {
				desired[d.Target.Hub] = map[string]model.Desired{}
			}
			desired[d.Target.Hub][env.Name] = d
		}
	}
	for _, h := range cfg.Fleet.Hubs {
		for _, env := range cfg.Fleet.Environments {
			if d, ok := desired[h.Name][env.Name]; ok {
				side.Releases = append(side.Releases, s.sideRelease(cfg, h, env, d))
			}
		}
	}
	for _, i := range cfg.Fleet.Images {
		img := plan.SideImage{Image: i, Hash: s.bySource[i.ID].Hash, Hubs: users[i.ID], Inputs: []plan.Input{s.input(i.Context, "image context")}}
		if i.Dockerfile != "" && !strings.HasPrefix(i.Dockerfile, i.Context+"/") {
			img.Inputs = append(img.Inputs, s.input(i.Dockerfile, "build file"))
		}
		side.Images = append(side.Images, img)
	}
	return side, nil
}

// Release returns the release of a hub at a commit, by name.
func (r *Repository) Release(ctx context.Context, commit, hub, env string) (model.Desired, error) {
	fleet, err := r.Fleet(ctx, commit)
	if err != nil {
		return model.Desired{}, err
	}
	if _, err := fleet.Target(hub, env); err != nil {
		return model.Desired{}, err
	}
	all, err := r.Desired(ctx, fleet, env)
	if err != nil {
		return model.Desired{}, err
	}
	for _, d := range all {
		if d.Target.Hub == hub {
			return d, nil
		}
	}
	return model.Desired{}, fmt.Errorf("hub %s has no release in %s at %.12s", hub, env, commit)
}

// ChartDigests identify the charts that hubs use at a commit, by folder, each
// with the folders of its file:// dependencies: equal digests are equal charts.
func (r *Repository) ChartDigests(ctx context.Context, commit, process string) (map[string]string, error) {
	s, err := r.at(ctx, commit, process)
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
	out := make(map[string]string, len(s.charts))
	for dir, c := range s.charts {
		out[dir] = c.digest
	}
	return out, nil
}

// Config is the content of the commit, under a process as in Revision. The answer is
// kept and must not be changed.
func (r *Repository) Config(ctx context.Context, commit, process string) (*config.Config, error) {
	s, err := r.at(ctx, commit, process)
	if err != nil {
		return nil, err
	}
	return r.config(s)
}

// Tree returns everything in the commit.
func (r *Repository) Tree(ctx context.Context, commit string) (*git.Tree, error) {
	return r.tree(ctx, commit)
}

func (r *Repository) config(s *snapshot) (*config.Config, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.configuration()
}

// sideRelease lists what a release is made of.
func (s *snapshot) sideRelease(cfg *config.Config, hub model.Hub, env model.Environment, d model.Desired) plan.SideRelease {
	e := plan.NewEncoder("settings")
	cluster := d.Target.Cluster
	if hub.Place != "" {
		cluster = "" // Place says it
	}
	e.Add("target", cluster, d.Target.Namespace, d.Target.Release, d.Target.Host, d.Chart)
	e.Add(cfg.Patterns...)
	for _, i := range d.Images {
		e.Add("image", i.ID, i.Values, i.Repository)
	}
	r := plan.SideRelease{Target: d.Target, Place: hub.Place, Settings: e.Hex(), Pinned: d.Pinned, Invalid: d.Invalid}
	for _, name := range s.charts[d.Chart].paths {
		r.Inputs = append(r.Inputs, s.input(name, "chart"))
	}
	own, _ := cfg.Release(hub.Name, env.Name) // it was read before
	for _, name := range own.Shared {
		r.Inputs = append(r.Inputs, s.input(name, "values of every environment"))
	}
	for _, name := range own.Own {
		r.Inputs = append(r.Inputs, s.input(name, "values of "+env.Name))
	}
	for _, name := range own.Secrets {
		r.Inputs = append(r.Inputs, s.input(name, "secrets of "+env.Name))
	}
	if cfg.Fleet.Layout == model.LayoutHubploy {
		r.Inputs = append(r.Inputs, s.input(path.Join(hub.Path, config.HubployFile), plan.HubSettingsRole))
	}
	for _, i := range d.Images {
		r.Images = append(r.Images, i.ID)
	}
	slices.Sort(r.Images)
	return r
}

func (s *snapshot) input(name, role string) plan.Input {
	return plan.Input{Path: name, Role: role, ID: s.tree.Hash(name)}
}

var destroyTrailer = regexp.MustCompile(`(?mi)^Allow-Destroy:[ \t]*([A-Za-z]+/[A-Za-z0-9][-A-Za-z0-9.]*)[ \t]*$`)

// AllowedToDestroy lists what the messages of the commits that head has and
// base has not allow to be destroyed, as "KIND/NAME": the trailers
// "Allow-Destroy: KIND/NAME". Of an empty base the head's own message counts
// alone. A base that is not there is an error.
func (r *Repository) AllowedToDestroy(ctx context.Context, base, head string) ([]string, error) {
	messages, err := r.git.Messages(ctx, base, head, maxLog)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, m := range destroyTrailer.FindAllStringSubmatch(messages, -1) {
		out = append(out, m[1])
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}
