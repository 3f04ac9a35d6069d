// Package app wires hubship together. It is the only package that knows all
// the others.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/hubship/hubship/internal/attest"
	"github.com/hubship/hubship/internal/cluster"
	"github.com/hubship/hubship/internal/cluster/evidence"
	"github.com/hubship/hubship/internal/cluster/register"
	"github.com/hubship/hubship/internal/image/buildkit"
	"github.com/hubship/hubship/internal/install"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/outbound"
	"github.com/hubship/hubship/internal/planner"
	"github.com/hubship/hubship/internal/planner/live"
	"github.com/hubship/hubship/internal/release/helm"
	"github.com/hubship/hubship/internal/repo"
	"github.com/hubship/hubship/internal/runplan"
	"github.com/hubship/hubship/internal/secrets"
	"github.com/hubship/hubship/internal/secrets/opener"
	"github.com/hubship/hubship/internal/server"
	"github.com/hubship/hubship/internal/ship"
	"github.com/hubship/hubship/internal/store"
	"github.com/hubship/hubship/internal/verify"
)

// Options configure Serve.
type Options struct {
	Version string
	Logger  *slog.Logger
	// Ready is called when the server answers; it may be nil.
	Ready func()
}

// Serve runs hubship's server for the installation in the data directory
// until ctx ends.
func Serve(ctx context.Context, data string, settings install.Settings, o Options) (err error) {
	p := install.At(data)
	unlock, err := install.Lock(p.ServerLock)
	if err != nil {
		return err
	}
	defer unlock()
	var closers []func() error
	defer func() {
		for i := len(closers) - 1; i >= 0; i-- {
			err = errors.Join(err, closers[i]())
		}
	}()
	backend, err := locate(ctx, settings)
	if err != nil {
		return err
	}
	gitRepo, err := openCopy(ctx, p, settings, o.Logger)
	if err != nil {
		return err
	}
	closers = append(closers, gitRepo.Close)
	history, err := store.Open(ctx, p.History)
	if err != nil {
		return err
	}
	closers = append(closers, history.Close)
	guard, err := guardOf(settings)
	if err != nil {
		return err
	}
	signing, err := attest.OpenFolder(p.SigningKeys)
	if err != nil {
		return err
	}
	builder, err := buildkit.New(backend.builder(guard, signing))
	if err != nil {
		return err
	}
	closers = append(closers, builder.Close)

	clusters := cluster.New(cluster.Options{
		Embedded: cluster.Embedded{Kubeconfig: backend.kubeconfig, Context: backend.context},
		Direct:   settings.Node != nil, UserAgent: "hubship/" + o.Version,
		PodSecurity: allowedCharts(settings).PodSecurity(),
	})
	repository := repo.New(gitRepo, repo.Options{Process: processOf(gitRepo, settings)})
	// The controller is there before the first run is taken up.
	var carried *forgeRuntime
	changed := func(r model.Run) { carried.control.Changed(r) }
	engine, err := newEngine(ctx, p, settings, repository, history, builder, clusters, signing, changed, o)
	if err != nil {
		return err
	}
	closers = append(closers, func() error { return engine.Stop(10 * time.Second) })
	carried, err = newForgeRuntime(ctx, deps{
		paths: p, settings: settings, repository: repository, engine: engine, memory: history, keep: history, log: o.Logger,
	})
	if err != nil {
		return err
	}
	if err := carried.fill(ctx, history); err != nil {
		return err
	}
	return serveHTTP(ctx, p, settings, engine, carried, clusters, o)
}

func newEngine(ctx context.Context, p install.Paths, settings install.Settings, repository *repo.Repository, history *store.Store, builder *buildkit.Builder, clusters *cluster.Set, signing attest.Keys, changed func(model.Run), o Options) (*ship.Engine, error) {
	guard, err := guardOf(settings)
	if err != nil {
		return nil, err
	}
	outside := guard.Transport(outbound.TransportOptions{MaxBody: maxOutside})
	releases, err := helm.New(helm.Options{
		AllowDestroy: func(ctx context.Context, passed, commit string) []string {
			names, err := repository.AllowedToDestroy(ctx, passed, commit)
			if err != nil {
				// What cannot be read allows nothing.
				o.Logger.Warn("read Allow-Destroy trailers", "commit", commit, "error", err)
			}
			return names
		},
		Clusters: clusters, CacheDir: filepath.Join(p.Data, "charts"), Transport: outside,
		Charts:  allowedCharts(settings),
		Decrypt: opener.New(opener.Options{Repository: repository, Keys: func() secrets.Keys { return secretKeys(p, settings) }}).Open,
	})
	if err != nil {
		return nil, err
	}
	verifier, err := verify.New(verify.Options{
		Transport: func(c model.Cluster, t model.Target) (http.RoundTripper, error) {
			return clusters.HTTPTransport(c, t.Namespace, "proxy-public", "http"), nil
		},
		Token: func(ctx context.Context, c model.Cluster, t model.Target, service string) (string, error) {
			secret, err := clusters.Secret(ctx, c, t.Namespace, verify.SecretName)
			if err != nil && !apierrors.IsNotFound(err) {
				return "", err
			}
			return verify.TokenFrom(secret, service)
		},
		Removing: func(ctx context.Context, c model.Cluster, t model.Target, user string) ([]string, error) {
			return clusters.ClaimsBeingRemoved(ctx, c, t.Namespace, user)
		},
		Progress: func(t model.Target, run, text string) {
			line := model.Line{Time: time.Now(), Level: model.LevelInfo, Scope: t.Key(), Text: text}
			if err := history.Append(context.WithoutCancel(ctx), run, line); err != nil {
				o.Logger.Error("append to a run's log", "run", run, "error", err)
			}
		},
	})
	if err != nil {
		return nil, err
	}
	made, err := planner.New(planner.Options{
		Repository: repository,
		Renderer:   helm.NewRenderer(helm.RendererOptions{Charts: helm.Charts{CacheDir: filepath.Join(p.Data, "charts"), Transport: outside}}),
		Charts:     allowedCharts(settings),
		Live:       live.Clusters{Set: clusters}, Clusters: register.At(p.Clusters).Cluster,
	})
	if err != nil {
		return nil, err
	}
	if err := install.Private(p.Workflows); err != nil {
		return nil, err
	}
	plans := runplan.Maker{Planner: made, Repository: repository, Folder: runplan.Folder(p.Plans), Log: o.Logger}
	proofs := evidence.New(clusters, signing, history, evidence.Timing{})
	return ship.New(ctx, ship.Ports{
		Previewer: plans, Assessor: plans,
		Repository: repository, Clusters: register.At(p.Clusters), Images: builder, Releases: releases,
		Evidence: proofs, Locks: proofs, Verifier: verifier, History: history,
		Sandbox: builder, Results: history,
	}, ship.Options{
		Database: "sqlite:" + p.Workflows, Replica: settings.Name, WorkDir: p.Work,
		Version: o.Version, Dashboard: settings.URL(), CloneURL: settings.CloneURL(), HubURL: settings.HubURL,
		Changed: changed, Logger: o.Logger,
	})
}

// protectLimit bounds how long the hubs wait for a forge that does not answer.
const protectLimit = 10 * time.Second

func serveHTTP(ctx context.Context, p install.Paths, settings install.Settings, engine *ship.Engine, carried *forgeRuntime, clusters *cluster.Set, o Options) error {
	opts := server.Options{
		Addr: net.JoinHostPort("127.0.0.1", fmt.Sprint(settings.Port)), Socket: p.Socket,
		Service: service{engine, runplan.Folder(p.Plans), carried}, Version: o.Version, Log: o.Logger,
		Dial: func(ctx context.Context, c model.Cluster, t model.Target) (net.Conn, error) {
			return clusters.Dial(ctx, c, t.Namespace, "proxy-public", "http")
		},
	}
	carried.mount(&opts)
	srv, err := server.New(opts)
	if err != nil {
		return err
	}
	// Nobody can push before this.
	soon, cancel := context.WithTimeout(ctx, protectLimit)
	err = carried.control.Protect(soon)
	cancel()
	if err != nil {
		o.Logger.Error("branches could not be protected as the process asks; hubship tries again", "error", err)
	}
	if err := srv.Listen(); err != nil {
		return err
	}
	if err := engine.Launch(ctx); err != nil {
		return errors.Join(err, srv.Close())
	}
	// What asks the engine ends before the engine does.
	working, stop := context.WithCancel(ctx)
	var group sync.WaitGroup
	group.Go(func() { carried.run(working) })
	defer group.Wait()
	defer stop()
	if o.Ready != nil {
		o.Ready()
	}
	return srv.Serve(ctx)
}

// service is the engine as the server sees it.
type service struct {
	*ship.Engine
	plans   runplan.Folder
	process *forgeRuntime
}

// Status implements server.Service.
func (s service) Status(ctx context.Context) (model.Status, error) {
	st, err := s.Engine.Status(ctx)
	st.Forge = s.process.status()
	st.Problems = append(st.Problems, s.process.problems()...)
	return st, err
}

// Start implements server.Service. The caller may have pushed a moment ago, so
// the forge is read before a deploy.
func (s service) Start(ctx context.Context, req model.RunRequest) (model.Run, error) {
	if req.Kind == model.Deploy {
		if err := s.process.control.Refresh(ctx); err != nil {
			// In need somebody deploys also while the forge is away.
			req.Cause += fmt.Sprintf("; from hubship's copy, since the forge cannot be read: %v", err)
		}
	}
	return s.Engine.Start(ctx, req)
}

// Promote implements server.Service: it merges the pull request that promotes.
func (s service) Promote(ctx context.Context, req model.PromoteRequest) (model.Promotion, error) {
	return s.process.control.Promote(ctx, req)
}

// Revert implements server.Service.
func (s service) Revert(ctx context.Context, number int, by string) (model.Reversion, error) {
	return s.process.revert(ctx, number, by)
}

// Plan is the page of what a run was about to change.
func (s service) Plan(_ context.Context, id string) ([]byte, error) { return s.plans.Page(id) }

// Hosts lists the hubs that the HTTP port serves by name.
func (s service) Hosts(ctx context.Context) (map[string]server.Route, error) {
	hosts, err := s.Engine.Hosts(ctx)
	if err != nil {
		return nil, err
	}
	routes := make(map[string]server.Route, len(hosts))
	for name, h := range hosts {
		routes[name] = server.Route{Target: h.Target, Cluster: h.Cluster}
	}
	return routes, nil
}
