// Package helm installs, upgrades and rolls back Helm releases. It alone
// imports the Helm SDK. Each action has a fresh Helm configuration; discovery,
// the kinds that a cluster serves and its capabilities are shared.
package helm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"sync"
	"time"

	"helm.sh/helm/v4/pkg/kube"
	rspb "helm.sh/helm/v4/pkg/release/v1"

	"github.com/hubship/hubship/internal/cluster"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/release"
	"github.com/hubship/hubship/internal/release/confine"
	"github.com/hubship/hubship/internal/release/ready"
)

// fieldManager owns the fields that are applied. It is that of Helm's command
// line, so that both can work on one release without conflicts.
const fieldManager = "helm"

// maxHistory is how many revisions of a release are kept, as by Helm's command
// line.
const maxHistory = 10

// Options of Releases.
type Options struct {
	Clusters *cluster.Set // required
	// Decrypt returns the values in a SOPS file of the deployment repository
	// for a release that is being upgraded. Required by releases that have
	// secrets. Nothing else in hubship opens one.
	Decrypt func(ctx context.Context, d model.Desired, name string, data []byte) (map[string]any, error)
	// CacheDir keeps charts that were fetched from repositories and
	// registries. Required by charts with dependencies that are not in the
	// deployment repository.
	CacheDir string
	// Transport asks those; nil reaches whatever this machine does.
	Transport http.RoundTripper
	// Timeout is how long one release may take to become ready; each Helm
	// hook has as long. 0 means 5 minutes.
	Timeout time.Duration
	// AllowDestroy lists what an upgrade to a commit may delete or replace, as
	// "PersistentVolumeClaim/NAME". The first is the commit that passed last,
	// empty when none has. nil means none ever.
	AllowDestroy func(ctx context.Context, passed, commit string) []string
	// Charts is what charts may do beyond the usual.
	Charts confine.Allowed
	// Limits say how long a release may be in a state that seldom mends
	// itself.
	Limits ready.Limits
}

// Validate returns what is missing.
func (o Options) Validate() error {
	if o.Clusters == nil {
		return errors.New("helm: Options.Clusters is missing")
	}
	if o.Timeout < 0 {
		return fmt.Errorf("helm: Options.Timeout is negative: %s", o.Timeout)
	}
	return nil
}

// Releases implements the workflows' releases with Helm. It is safe for
// concurrent use; two actions on one release at once are the caller's to
// prevent.
type Releases struct {
	opts     Options
	charts   *chartCache
	renderer *Renderer // tells what a release would run, and words errors without its secrets

	mu     sync.Mutex
	caps   map[*cluster.Conn]capabilities
	hidden map[string]*release.Redactor // by release: what was decrypted for it last
}

var setManager sync.Once

// New returns Releases.
func New(o Options) (*Releases, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Timeout == 0 {
		o.Timeout = 5 * time.Minute
	}
	// The SDK keeps the manager's name in a variable, and takes the
	// program's name when it is empty: releases made by the command line then
	// fail with conflicts.
	setManager.Do(func() { kube.ManagedFieldsManager = fieldManager })
	return &Releases{opts: o, charts: newChartCache(o.CacheDir, o.Transport), renderer: NewRenderer(RendererOptions{Charts: Charts{CacheDir: o.CacheDir, Transport: o.Transport}}), caps: map[*cluster.Conn]capabilities{}, hidden: map[string]*release.Redactor{}}, nil
}

// discard is a log that nobody reads.
func discard(model.Level, string) {}

// redactor returns what hides a release's secrets, without which nothing may be
// printed about it, and keeps it for those who look at the release later.
func (r *Releases) redactor(t model.Target, secrets []map[string]any) *release.Redactor {
	red := release.NewRedactor(secrets...)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hidden[t.Key()] = red
	return red
}

// recordRedactor hides what is known to be secret of a release that runs: what
// was decrypted for it since this program started, or the values in its records
// that have a secret's name.
func (r *Releases) recordRedactor(t model.Target, records ...*rspb.Release) *release.Redactor {
	r.mu.Lock()
	red := r.hidden[t.Key()]
	r.mu.Unlock()
	if red != nil {
		return red
	}
	var values []map[string]any
	for _, rec := range records[:min(len(records), 2)] {
		values = append(values, release.SecretValues(rec.Config))
	}
	return release.NewRedactor(values...)
}

// readFile reads a file of the deployment repository within a bound.
func readFile(tree fs.FS, name string) ([]byte, error) {
	info, err := fs.Stat(tree, name)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("%s has %d bytes; the limit is %d", name, info.Size(), int64(maxFile))
	}
	return fs.ReadFile(tree, name)
}

func (r *Releases) connect(ctx context.Context, c model.Cluster, t model.Target) (*cluster.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	conn, err := r.opts.Clusters.Conn(c)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t, err)
	}
	return conn, nil
}
