package app

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/hubship/hubship/internal/cluster/register"
	"github.com/hubship/hubship/internal/git"
	"github.com/hubship/hubship/internal/image"
	"github.com/hubship/hubship/internal/install"
	"github.com/hubship/hubship/internal/planner"
	"github.com/hubship/hubship/internal/planner/live"
	"github.com/hubship/hubship/internal/release/helm"
	"github.com/hubship/hubship/internal/repo"
	"github.com/hubship/hubship/internal/secrets"
)

// PlannerOptions configure a planner outside the server.
type PlannerOptions struct {
	Dir     string   // folder in a Git repository
	Data    string   // data directory of the installation, whose key opens secrets
	Charts  []string // folders with charts that the hubs' chart depends on
	Offline bool     // fetch no charts, ask no registries
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
	dirs, err := helm.ChartDirs(o.Charts, root)
	if err != nil {
		return nil, nil, nil, errors.Join(err, g.Close())
	}
	charts := helm.Charts{Dirs: dirs, Offline: o.Offline}
	if cache, err := os.UserCacheDir(); err == nil {
		charts.CacheDir = filepath.Join(cache, "hubship", "charts")
	}
	options := planner.Options{Repository: r, Renderer: helm.NewRenderer(helm.RendererOptions{Charts: charts})}
	settings, err := install.Load(o.Data)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil, errors.Join(err, g.Close())
	}
	if options.Charts = allowedCharts(settings); err != nil {
		// No installation is here to ask what its operator allows: what Zero to
		// JupyterHub has by default is no news to anybody.
		options.Charts.UserScheduler = true
	}
	if !o.Offline {
		options.Registry, options.Layers = image.Remote{}, image.Remote{}
	}
	if o.Live {
		options.Live, options.Clusters = live.Clusters{Set: reach(ctx, o.Data), Try: true}, register.At(install.At(o.Data).Clusters).Cluster
	}
	if p, err = planner.New(options); err != nil {
		return nil, nil, nil, errors.Join(err, g.Close())
	}
	return p, r, g.Close, nil
}

// Opener decrypts the encrypted files of a repository with the keys of the
// installation in a data directory, or with those in a file of age identities.
// It is for a person who asks to see them; the server never uses it.
func Opener(data, ageKey string) (planner.Opener, error) {
	keys := secrets.Keys{}
	if ageKey != "" {
		keys.AgeFiles = []string{ageKey}
	} else {
		settings, err := install.Load(data)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		keys = secretKeys(install.At(data), settings)
	}
	return func(name string, file []byte) (map[string]any, error) { return secrets.Decrypt(name, file, keys) }, nil
}
