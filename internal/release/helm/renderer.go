package helm

import (
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"helm.sh/helm/v4/pkg/chart/common"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"

	"github.com/hubship/hubship/internal/cache"
	"github.com/hubship/hubship/internal/release"
)

// renderTimeout is how long one release may take to render, unless the options
// say otherwise.
const renderTimeout = 20 * time.Second

// Charts says where chart dependencies come from, besides the tree itself.
type Charts struct {
	CacheDir string   // of what was fetched; "" fetches nothing
	Dirs     []string // folders with chart archives (*.tgz) or unpacked charts, looked into before anything is fetched
	Offline  bool     // nothing is fetched; what the cache has is used
	// Timeout bounds all that is fetched for one chart. 0 means 15 seconds.
	Timeout time.Duration
	// Transport asks chart repositories and registries, whose addresses the
	// change names; nil reaches whatever this machine does, which is right for
	// a person's own machine alone.
	Transport http.RoundTripper
}

// ChartDirs returns the folders that charts are looked for in on a person's machine:
// those that are named, which have to exist, and those that `helm dependency update`
// left in a work tree. root is the folder of the work tree; "" for none.
func ChartDirs(named []string, root string) ([]string, error) {
	dirs := slices.Clone(named)
	for _, dir := range dirs {
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			return nil, fmt.Errorf("--charts %s: no such folder", dir)
		}
	}
	if root == "" {
		return dirs, nil
	}
	left, err := filepath.Glob(filepath.Join(root, "*", "charts"))
	if err != nil {
		return dirs, nil //nolint:nilerr // a folder whose name is a bad pattern is done without
	}
	return append(dirs, left...), nil
}

// RendererOptions of a Renderer. The zero value renders charts whose
// dependencies are in the tree.
type RendererOptions struct {
	Charts  Charts
	Workers int           // renders at a time, 0: one for each processor
	Timeout time.Duration // of one render, 0: 20 seconds
	// KubeVersion is the Kubernetes version that templates are told, such as
	// "1.34". "" is the one that Helm was made for, as by `helm template`.
	KubeVersion string
}

// Renderer renders releases as `helm template` prints them, without a cluster.
// What is the same for all releases of a chart (its files, parsed templates,
// compiled schemas) is made once and shared; what a template can change is
// made for each render. It is safe for concurrent use.
type Renderer struct {
	sources *sources
	timeout time.Duration
	turns   chan struct{}
	caps    *common.Capabilities
	capsErr error

	kept *cache.Cache[*compiled]
}

// NewRenderer returns a Renderer.
func NewRenderer(o RendererOptions) *Renderer {
	muteValues()
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Timeout <= 0 {
		o.Timeout = renderTimeout
	}
	caps, err := templateCapabilities(o.KubeVersion)
	return &Renderer{
		caps: caps, capsErr: err,
		sources: newSources(o.Charts), timeout: o.Timeout, turns: make(chan struct{}, o.Workers),
		kept: cache.New[*compiled](keptCharts),
	}
}

// RenderRequest is one release to render.
type RenderRequest struct {
	Tree  fs.FS  // of the commit
	Chart string // folder in it
	// Key is the identity of the chart and its file:// dependencies, such as a
	// digest. What has the same key is loaded, parsed and compiled once. ""
	// keeps nothing.
	Key       string
	Release   string
	Namespace string
	Values    map[string]any // of the values files, merged; not changed
	// Deterministic gives template functions that draw at random, or read the clock,
	// fixed values, so that two renders can be compared.
	Deterministic bool
	// NoObjects leaves Rendered.Objects out.
	NoObjects bool
}

// Rendered is what a release consists of. It holds the release's secrets.
type Rendered struct {
	// Manifest is what `helm template` prints: objects in Helm's install
	// order, then hooks.
	Manifest []byte
	// Objects are those of the manifest, in its order, hooks included. An
	// object that lacks a kind or a name is among them. Equal documents of
	// several renders share their Content: it must not be changed.
	Objects []release.Object
}

// Render renders a release. An error may quote the values: whoever passes
// secrets does not show it. Errors are, among others, a *MissingChartError
// when a dependency of the chart cannot be had, a *SchemaError when the values
// violate a chart's schema, and a *TemplateError when a template fails.
func (r *Renderer) Render(ctx context.Context, q RenderRequest) (*Rendered, error) {
	out, err := r.render(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("render %s: %w", q.Release, err)
	}
	return out, nil
}

func (r *Renderer) render(ctx context.Context, q RenderRequest) (*Rendered, error) {
	c, err := r.compiled(ctx, q.Tree, q.Chart, q.Key)
	if err != nil {
		return nil, err
	}
	return r.renderChart(ctx, c, q)
}

// renderChart renders a release of a chart that is compiled.
func (r *Renderer) renderChart(ctx context.Context, c *compiled, q RenderRequest) (out *Rendered, err error) {
	select {
	case r.turns <- struct{}{}:
		defer func() { <-r.turns }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, r.timeout, fmt.Errorf("it took longer than %s; does a template loop?", r.timeout))
	defer cancel()
	defer func() {
		// The SDK has assertions that strange charts fail.
		if p := recover(); p != nil {
			err = &TemplateError{Message: fmt.Sprintf("rendering failed: %v", p)}
		}
	}()
	if err := chartutil.ValidateReleaseName(q.Release); err != nil {
		return nil, fmt.Errorf("release name %q: %w", q.Release, err)
	}
	if r.capsErr != nil {
		return nil, r.capsErr
	}
	ch, set, top, err := c.prepare(q, r.caps.Copy())
	if err != nil {
		return nil, err
	}
	files, err := set.execute(ctx, ch, top, q.Deterministic)
	if err != nil {
		return nil, err
	}
	return assemble(files, !q.NoObjects)
}

// Defaults returns the top chart's own values.yaml. The caller may change what
// it gets.
func (r *Renderer) Defaults(ctx context.Context, tree fs.FS, dir, key string) (map[string]any, error) {
	c, err := r.compiled(ctx, tree, dir, key)
	if err != nil {
		return nil, fmt.Errorf("read the defaults of chart %s: %w", dir, err)
	}
	return c.defaults(), nil
}

// compiled returns what is kept of a chart, and makes it at first. Callers
// with one key at a time wait for each other.
func (r *Renderer) compiled(ctx context.Context, tree fs.FS, dir, key string) (*compiled, error) {
	if tree == nil {
		return nil, fmt.Errorf("load chart %s: no tree was given", dir)
	}
	if key == "" {
		c := &compiled{}
		return c, c.load(ctx, r.sources, tree, dir)
	}
	// Others wait for the same chart: it is loaded to the end, whoever leaves.
	c, err := r.kept.Get(context.WithoutCancel(ctx), key+"\x00"+dir, func(ctx context.Context) (*compiled, error) {
		c := &compiled{}
		return c, c.load(ctx, r.sources, tree, dir)
	})
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return c, nil
}

// releaseValues are the parts of a template's data that name the release.
func releaseValues(q RenderRequest) map[string]any {
	return map[string]any{
		"Name": q.Release, "Namespace": q.Namespace, "IsUpgrade": false, "IsInstall": true,
		"Revision": 1, "Service": "Helm",
	}
}

// templateCapabilities are what templates are told of a cluster.
func templateCapabilities(version string) (*common.Capabilities, error) {
	caps := common.DefaultCapabilities.Copy()
	if version == "" {
		return caps, nil
	}
	v, err := common.ParseKubeVersion(version)
	if err != nil {
		return nil, fmt.Errorf("version %q of Kubernetes: %w", version, err)
	}
	caps.KubeVersion = *v
	return caps, nil
}

// checkKubeVersion refuses a chart that is not for the Kubernetes version that
// is taken for granted.
func checkKubeVersion(ch *chart.Chart, caps *common.Capabilities) error {
	want := ch.Metadata.KubeVersion
	if want == "" || chartutil.IsCompatibleRange(want, caps.KubeVersion.String()) {
		return nil
	}
	return fmt.Errorf("chart requires kubeVersion: %s which is incompatible with Kubernetes %s", want, caps.KubeVersion.Version)
}
