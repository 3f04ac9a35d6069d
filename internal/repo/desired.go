package repo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/hubship/hubship/internal/config"
	"github.com/hubship/hubship/internal/git"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/plan"
)

// Versions of the encodings below. A change of one makes every image or
// release new, so it has to be meant.
const (
	sharedVersion = "hubship-shared/1"
	ownVersion    = "hubship-own/1"
	sourceVersion = "hubship-source/1"
)

// BuilderVersion stands for how images are built: it is part of what an image
// is made of, and is raised when the same files would make another image.
const BuilderVersion = "1"

// Desired returns the releases of the environment as the commit of the fleet
// wants them, sorted by hub. It reads Git trees only. What the releases hold is
// kept and must not be changed; the list itself is the caller's.
func (r *Repository) Desired(ctx context.Context, fleet *model.Fleet, env string) ([]model.Desired, error) {
	wrap := func(err error) error {
		return fmt.Errorf("find out what %s should be at %.12s: %w", env, fleet.Commit, err)
	}
	s, err := r.under(ctx, fleet)
	if err != nil {
		return nil, wrap(err)
	}
	releases, err := s.releases(ctx, env, r.opts.Platform)
	if err != nil {
		return nil, wrap(err)
	}
	return slices.Clone(releases), nil
}

// releases returns the releases of an environment, found out once a commit.
func (s *snapshot) releases(ctx context.Context, env, platform string) ([]model.Desired, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if kept, ok := s.byEnv[env]; ok {
		return kept, nil
	}
	cfg, err := s.configuration()
	if err != nil {
		return nil, err
	}
	if err := s.hashSources(cfg.Fleet, platform); err != nil {
		return nil, err
	}
	imagesOf := groupImages(cfg.Fleet)
	out := make([]model.Desired, 0, len(cfg.Fleet.Hubs))
	for _, hub := range cfg.Fleet.Hubs {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if !hub.In(env) {
			continue
		}
		d, err := s.desired(cfg, hub, env, imagesOf(hub.Name))
		if err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	s.byEnv[env] = out
	return out, nil
}

// groupImages returns Fleet.ImagesOf without a search through all images for
// every hub.
func groupImages(f *model.Fleet) func(hub string) []model.Image {
	byHub := map[string][]model.Image{}
	for _, i := range f.Images {
		byHub[i.Hub] = append(byHub[i.Hub], i)
	}
	return func(hub string) []model.Image {
		var out []model.Image
		for _, i := range byHub[""] {
			if i.UsedBy(hub) {
				out = append(out, i)
			}
		}
		return append(out, byHub[hub]...)
	}
}

func (s *snapshot) desired(cfg *config.Config, hub model.Hub, env string, images []model.Image) (model.Desired, error) {
	target, err := cfg.Fleet.Target(hub.Name, env)
	if err != nil {
		return model.Desired{}, err
	}
	dir := cfg.Fleet.ChartOf(hub)
	if why := hub.Problem(env); why != "" {
		return model.Desired{Target: target, Commit: cfg.Fleet.Commit, Chart: dir, Invalid: why}, nil
	}
	if err := s.charts[dir].err; err != nil {
		return model.Desired{Target: target, Commit: cfg.Fleet.Commit, Chart: dir, Invalid: fmt.Sprintf("chart %s: %v", dir, err)}, nil
	}
	files, err := cfg.Release(hub.Name, env)
	if err != nil {
		return model.Desired{}, err
	}
	d := model.Desired{
		Target: target, Commit: cfg.Fleet.Commit,
		Chart: files.Chart, Values: files.Values, Secrets: files.Secrets, Pinned: hub.Pinned,
	}
	for _, i := range images {
		d.Images = append(d.Images, s.bySource[i.ID])
	}
	sortSources(d.Images)
	if d.Shared, err = s.shared(cfg, hub, files, d.Images); err != nil {
		return model.Desired{}, fmt.Errorf("hub %s: %w", hub.Name, err)
	}
	if d.Own, err = s.own(hub, files); err != nil {
		return model.Desired{}, fmt.Errorf("hub %s: %w", hub.Name, err)
	}
	return d, nil
}

// shared is the digest over what a hub's releases have in common. Paths count
// from the hub's folder, so that moving the folder changes nothing; the order
// of all values files counts, those of an environment included, because it
// decides which wins.
func (s *snapshot) shared(cfg *config.Config, hub model.Hub, files config.Release, images []model.Source) (string, error) {
	e := plan.NewEncoder(sharedVersion)
	e.Add("chart", s.charts[files.Chart].digest)
	e.Add(append([]string{"order"}, cfg.Patterns...)...)
	if err := s.addFiles(e, "values", hub, files.Shared); err != nil {
		return "", err
	}
	for _, i := range images {
		e.Add("image", i.ID, i.Hash, i.Values, i.Repository)
	}
	if err := s.addFiles(e, "secrets", hub, files.SharedSecrets); err != nil {
		return "", err
	}
	for _, p := range hub.Pinned {
		e.Add("pinned", p.Name, p.Tag, p.Values)
	}
	return e.Hex(), nil
}

// own is the digest over what belongs to one environment, all of its secrets
// among it.
func (s *snapshot) own(hub model.Hub, files config.Release) (string, error) {
	e := plan.NewEncoder(ownVersion)
	if err := s.addFiles(e, "values", hub, files.Own); err != nil {
		return "", err
	}
	if err := s.addFiles(e, "secrets", hub, files.Secrets); err != nil {
		return "", err
	}
	return e.Hex(), nil
}

func (s *snapshot) addFiles(e *plan.Encoder, kind string, hub model.Hub, files []string) error {
	for _, name := range files {
		entry, err := s.tree.Resolve(name)
		if err != nil {
			return err
		}
		e.Add(kind, strings.TrimPrefix(name, hub.Path+"/"), entry.ID)
	}
	return nil
}

// hashSources finds out, once a commit, what charts and images are made of. A
// chart of single hubs that cannot be read holds back those. The caller holds
// mu.
func (s *snapshot) hashSources(fleet *model.Fleet, platform string) error {
	if s.bySource != nil {
		return nil
	}
	charts := map[string]chart{}
	for _, dir := range fleet.Charts() {
		var c chart
		if c.digest, c.paths, c.err = s.chartDigest(dir); c.err != nil && dir == fleet.Chart {
			return fmt.Errorf("chart %s: %w", dir, c.err)
		}
		charts[dir] = c
	}
	bySource := make(map[string]model.Source, len(fleet.Images))
	for _, i := range fleet.Images {
		hash, err := s.source(i, platform)
		if err != nil {
			return fmt.Errorf("image %s: %w", i.ID, err)
		}
		bySource[i.ID] = model.Source{Image: i, Hash: hash}
	}
	s.charts, s.bySource = charts, bySource
	return nil
}

// source is the digest over what an image is built from. A symbolic link or
// submodule in the context counts by what it says, not by what it leads to:
// neither is followed out of the context when it is built.
func (s *snapshot) source(i model.Image, platform string) (string, error) {
	context, err := s.tree.Resolve(i.Context)
	if err != nil {
		return "", err
	}
	e := plan.NewEncoder(sourceVersion)
	e.Add("builder", BuilderVersion, platform)
	e.Add("context", context.ID)
	if i.Dockerfile == "" {
		e.Add("repo2docker")
		return e.Hex(), nil
	}
	dockerfile, err := s.tree.Resolve(i.Dockerfile)
	if err != nil {
		return "", err
	}
	// Beside a build file of its own may be a list of what to leave out: beside
	// its name, where the build looks for it, and not beside what that leads to.
	list := i.Dockerfile + ".dockerignore"
	ignored, err := s.tree.Resolve(list)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	rel, ok := inside(context.Path, dockerfile.Path)
	if !ok {
		e.Add("dockerfile", path.Base(dockerfile.Path), dockerfile.ID, ignored.ID)
		return e.Hex(), nil
	}
	e.Add("dockerfile", rel)
	if _, ok := inside(context.Path, ignored.Path); !ok && ignored.ID != "" {
		e.Add("ignored", ignored.ID)
	}
	return e.Hex(), nil
}

// inside returns the path of name from dir, if it is below dir.
func inside(dir, name string) (string, bool) {
	if dir == "." {
		return name, true
	}
	return strings.CutPrefix(name, dir+"/")
}

// follow visits a folder and, through symbolic links, whatever outside of it
// its files lead to, each once.
func (s *snapshot) follow(e *plan.Encoder, kind, label string, dir git.Entry, seen map[string]bool) error {
	if seen[dir.Path] {
		return nil
	}
	seen[dir.Path] = true
	e.Add(kind, label, dir.ID)
	if !dir.IsDir() {
		return nil
	}
	return s.tree.Below(dir.Path, func(entry git.Entry) error {
		if !entry.IsSymlink() {
			return nil
		}
		target, err := s.resolveLink(entry)
		if err != nil || target.Path == "" {
			return err
		}
		if _, ok := inside(dir.Path, target.Path); ok || target.Path == dir.Path {
			return nil
		}
		rel, _ := inside(dir.Path, entry.Path)
		return s.follow(e, "link", label+"/"+rel, target, seen)
	})
}
