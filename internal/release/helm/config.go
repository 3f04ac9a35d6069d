package helm

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"sync"
	"time"

	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/storage"
	"helm.sh/helm/v4/pkg/storage/driver"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/hubship/hubship/internal/cluster"
	"github.com/hubship/hubship/internal/model"
)

// configuration is Helm's configuration for one action, and what belongs to
// it. It is never used twice: an action changes its configuration underneath.
type configuration struct {
	*action.Configuration
	kube    *kubeClient
	storage *guardedDriver
	lookup  *lookup
}

// configure returns a fresh configuration for one action on the target. The
// action's requests end with the context, except those for Helm's records:
// how an action ended is recorded also when it was cancelled.
func (r *Releases) configure(ctx context.Context, conn *cluster.Conn, t model.Target) (*configuration, error) {
	caps, err := r.capabilities(conn)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t, err)
	}
	quiet := slog.New(slog.DiscardHandler).Handler()
	cfg := action.NewConfiguration(action.ConfigurationSetLogger(quiet))
	get := &clientGetter{conn: conn, namespace: t.Namespace, ctx: ctx}
	secrets := driver.NewSecrets(conn.Client.CoreV1().Secrets(t.Namespace))
	secrets.SetLogger(quiet)
	guard := &guardedDriver{Driver: secrets}
	store := storage.Init(guard)
	store.MaxHistory = maxHistory
	store.SetLogger(quiet)
	kc := newKubeClient(ctx, conn, get, confinement{t, r.opts.Charts})
	kc.SetLogger(quiet)
	cfg.RESTClientGetter = get
	cfg.KubeClient = kc
	cfg.Releases = store
	cfg.Capabilities = caps
	cfg.HookOutputFunc = func(_, _, _ string) io.Writer { return io.Discard }
	looked := newLookup(ctx, conn, t.Namespace)
	cfg.CustomTemplateFuncs = withoutCircles()
	maps.Copy(cfg.CustomTemplateFuncs, looked.funcs())
	return &configuration{Configuration: cfg, kube: kc, storage: guard, lookup: looked}, nil
}

// capabilities are what a cluster serves, for templates to ask.
type capabilities struct {
	value      *common.Capabilities
	generation int
	read       time.Time
}

// capabilitiesTTL is how long a cluster is believed to serve the same: it may
// be upgraded, or an API be added, while this program runs.
const capabilitiesTTL = 5 * time.Minute

// capabilities returns the cluster's, read at most every few minutes and after
// a kind was missing. Each caller gets its own copy.
func (r *Releases) capabilities(conn *cluster.Conn) (*common.Capabilities, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	generation := conn.Mapper.Generation()
	if c, ok := r.caps[conn]; ok && c.generation == generation && time.Since(c.read) < capabilitiesTTL {
		return c.value.Copy(), nil
	}
	if _, ok := r.caps[conn]; ok {
		conn.Discovery.Invalidate()
	}
	version, err := conn.Discovery.ServerVersion()
	if err != nil {
		return nil, fmt.Errorf("ask cluster %s for its version: %w", conn.Name, err)
	}
	apis, err := action.GetVersionSet(conn.Discovery)
	if err != nil && !discovery.IsGroupDiscoveryFailedError(err) {
		return nil, fmt.Errorf("ask cluster %s for its API resources: %w", conn.Name, err)
	}
	caps := &common.Capabilities{
		APIVersions: apis,
		KubeVersion: common.KubeVersion{Version: version.GitVersion, Major: version.Major, Minor: version.Minor},
		HelmVersion: common.DefaultCapabilities.HelmVersion,
	}
	for old := range r.caps {
		if old.Name == conn.Name {
			delete(r.caps, old) // of a connection that was made again
		}
	}
	r.caps[conn] = capabilities{value: caps, generation: generation, read: time.Now()}
	return caps.Copy(), nil
}

// clientGetter gives the SDK the shared connection.
type clientGetter struct {
	conn      *cluster.Conn
	namespace string
	ctx       context.Context
}

var _ action.RESTClientGetter = (*clientGetter)(nil)

// ToRESTConfig returns a configuration whose requests end with the action's
// context: the SDK's own calls take none.
func (g *clientGetter) ToRESTConfig() (*rest.Config, error) {
	cfg := g.conn.RESTConfig()
	cfg.Wrap(func(next http.RoundTripper) http.RoundTripper { return &boundTransport{ctx: g.ctx, next: next} })
	return cfg, nil
}

// ToDiscoveryClient returns the shared, cached one.
func (g *clientGetter) ToDiscoveryClient() (discovery.CachedDiscoveryInterface, error) {
	return g.conn.Discovery, nil
}

// ToRESTMapper returns the shared one.
func (g *clientGetter) ToRESTMapper() (meta.RESTMapper, error) { return g.conn.Mapper, nil }

// ToRawKubeConfigLoader only answers which namespace to use.
func (g *clientGetter) ToRawKubeConfigLoader() clientcmd.ClientConfig {
	return clientcmd.NewDefaultClientConfig(*clientcmdapi.NewConfig(), &clientcmd.ConfigOverrides{
		Context: clientcmdapi.Context{Namespace: g.namespace},
	})
}

// boundTransport ends requests when a context ends.
type boundTransport struct {
	ctx  context.Context
	next http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (b *boundTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if b.ctx.Err() != nil {
		return nil, context.Cause(b.ctx)
	}
	ctx, cancel := context.WithCancelCause(req.Context())
	stop := context.AfterFunc(b.ctx, func() { cancel(context.Cause(b.ctx)) })
	end := func() { stop(); cancel(nil) }
	resp, err := b.next.RoundTrip(req.WithContext(ctx))
	if err != nil {
		end()
		return nil, err
	}
	resp.Body = &endingBody{ReadCloser: resp.Body, end: end}
	return resp, nil
}

type endingBody struct {
	io.ReadCloser
	once sync.Once
	end  func()
}

// Close implements io.Closer.
func (b *endingBody) Close() error {
	err := b.ReadCloser.Close()
	b.once.Do(b.end)
	return err
}
