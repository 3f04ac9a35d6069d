package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hubship/hubship/internal/cluster/register"
	"github.com/hubship/hubship/internal/git"
	"github.com/hubship/hubship/internal/image"
	"github.com/hubship/hubship/internal/install"
	"github.com/hubship/hubship/internal/planner"
	"github.com/hubship/hubship/internal/release/helm"
	"github.com/hubship/hubship/internal/repo"
	"github.com/hubship/hubship/internal/secrets"
)

// PlannerOptions say what a plan outside of the server works with.
type PlannerOptions struct {
	Dir     string   // folder in a Git repository
	Data    string   // data directory of the installation, whose key opens secrets
	Charts  []string // folders with charts that the hubs' chart depends on
	Offline bool     // fetch no charts, ask no registries
	Decrypt bool     // ask key services for keys too, not only this machine
	Live    bool     // ask the clusters that the repository names
}

// NewPlanner returns a planner of the Git repository that a folder is in. It
// works without a server, a cluster or an installation. The caller closes it.
func NewPlanner(ctx context.Context, o PlannerOptions) (p *planner.Planner, r *repo.Repository, closePlanner func() error, err error) {
	g, root, err := git.Find(ctx, o.Dir)
	if err != nil {
		return nil, nil, nil, err
	}
	r = repo.New(g, repo.Options{})
	dirs := append([]string(nil), o.Charts...)
	for _, dir := range dirs {
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			return nil, nil, nil, errors.Join(fmt.Errorf("--charts %s: there is no such folder", dir), g.Close())
		}
	}
	if root != "" {
		// What `helm dependency update` left in the work tree.
		found, err := filepath.Glob(filepath.Join(root, "*", "charts"))
		if err == nil {
			dirs = append(dirs, found...)
		}
	}
	charts := helm.Charts{Dirs: dirs, Offline: o.Offline}
	if cache, err := os.UserCacheDir(); err == nil {
		charts.CacheDir = filepath.Join(cache, "hubship", "charts")
	}
	keys := secrets.Keys{}
	if key := install.At(o.Data).AgeKey; readable(key) {
		keys.AgeFile = key
	}
	options := planner.Options{
		Repository: r, Renderer: helm.NewRenderer(helm.RendererOptions{Charts: charts}),
		Decrypt: func(name string, data []byte) (map[string]any, error) {
			if !o.Decrypt && !secrets.Local(name, data) {
				return nil, errNoKey
			}
			return secrets.Decrypt(name, data, keys)
		},
	}
	if !o.Offline {
		options.Registry, options.Layers = image.Remote{}, image.Remote{}
	}
	if o.Live {
		options.Live, options.Clusters = newLive(ctx, o.Data), register.At(install.At(o.Data).Clusters).Cluster
	}
	if p, err = planner.New(options); err != nil {
		return nil, nil, nil, errors.Join(err, g.Close())
	}
	return p, r, g.Close, nil
}

var errNoKey = errors.New("only a key service has the key")

func readable(name string) bool {
	f, err := os.Open(name)
	if err != nil {
		return false
	}
	return f.Close() == nil
}
