// Package cluster connects to the Kubernetes clusters that a deployment
// repository names. A cluster is always a kubeconfig and a context in it, both
// explicit: a kubeconfig's current context is never read.
package cluster

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/hubship/hubship/internal/model"
)

// Requests a second that one client may make, and how many at once. Each
// client has its own limiter; the API server's priority and fairness is what
// protects the server.
const (
	clientQPS   = 200
	clientBurst = 400
)

// requestTimeout bounds every request that is not a stream. Admission webhooks
// may take 30 s.
const requestTimeout = 60 * time.Second

// Options say how clusters are reached.
type Options struct {
	// Embedded is the cluster that `hubship up` runs. Clusters that the
	// configuration marks as embedded resolve to it.
	Embedded Embedded
	// Direct says that Services of the embedded cluster are reachable from
	// this machine at their cluster addresses.
	Direct bool
	// UserAgent names this program to API servers; empty means "hubship".
	UserAgent string
	// PodSecurity is the Pod Security Standard that the namespaces are held to
	// that hubship makes; empty means "baseline".
	PodSecurity string
	// Wrap, if set, sees every request to an API server.
	Wrap func(http.RoundTripper) http.RoundTripper
}

// Embedded locates the embedded cluster.
type Embedded struct {
	Kubeconfig string // path
	Context    string
}

// Set holds the connections to clusters. It is safe for concurrent use.
type Set struct {
	opts Options

	mu         sync.Mutex
	conns      map[connKey]*Conn
	transports map[transportKey]*http.Transport
}

type connKey struct {
	kubeconfig, context string
	embedded            bool
}

// New returns a Set without connections; they are made when first used.
func New(o Options) *Set {
	if o.UserAgent == "" {
		o.UserAgent = "hubship"
	}
	if o.PodSecurity == "" {
		o.PodSecurity = "baseline"
	}
	return &Set{opts: o, conns: map[connKey]*Conn{}, transports: map[transportKey]*http.Transport{}}
}

// Conn is the connection to one cluster. Everything in it is shared and safe
// for concurrent use; callers must not change the clients.
type Conn struct {
	Name      string // of the cluster in the configuration
	Client    kubernetes.Interface
	Dynamic   dynamic.Interface
	Metadata  metadata.Interface
	Discovery discovery.CachedDiscoveryInterface
	Mapper    *Mapper

	config  *rest.Config
	direct  bool
	pods    string // Pod Security Standard of namespaces that are made
	stamp   fileStamp
	address addressCache
}

// fileStamp tells whether a kubeconfig was written again.
type fileStamp struct {
	size int64
	mod  time.Time
}

// Conn returns the connection to the cluster. The kubeconfig is read again
// when the file has changed, so that renewed certificates are picked up.
func (s *Set) Conn(c model.Cluster) (*Conn, error) {
	key, err := s.resolve(c)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(key.kubeconfig)
	if err != nil {
		hint := "register it again: `hubship cluster add " + c.Name + " --kubeconfig FILE --context CONTEXT --replace`"
		if key.embedded {
			hint = "start the embedded node with `hubship up`"
		}
		return nil, model.WithHint(fmt.Errorf("cluster %s: find kubeconfig: %w", c.Name, err), hint)
	}
	stamp := fileStamp{size: info.Size(), mod: info.ModTime()}

	s.mu.Lock()
	defer s.mu.Unlock()
	if conn := s.conns[key]; conn != nil && conn.stamp == stamp {
		return conn, nil
	}
	cfg, err := loadConfig(key.kubeconfig, key.context)
	if err != nil {
		return nil, fmt.Errorf("cluster %s: %w", c.Name, err)
	}
	cfg.UserAgent = s.opts.UserAgent
	if s.opts.Wrap != nil {
		cfg.Wrap(s.opts.Wrap)
	}
	conn, err := connect(c.Name, cfg)
	if err != nil {
		return nil, fmt.Errorf("cluster %s: %w", c.Name, err)
	}
	conn.stamp = stamp
	conn.direct = key.embedded && s.opts.Direct
	conn.pods = s.opts.PodSecurity
	s.conns[key] = conn
	return conn, nil
}

// resolve says which kubeconfig and context a cluster means.
func (s *Set) resolve(c model.Cluster) (connKey, error) {
	key := connKey{kubeconfig: c.Kubeconfig, context: c.Context}
	if c.Embedded {
		key = connKey{kubeconfig: s.opts.Embedded.Kubeconfig, context: s.opts.Embedded.Context, embedded: true}
		if key.kubeconfig == "" || key.context == "" {
			return connKey{}, model.WithHint(fmt.Errorf("cluster %s is the embedded one, and this installation has none", c.Name),
				"start it with `hubship up`, or register the cluster: `hubship cluster add`")
		}
		return key, nil
	}
	if key.kubeconfig == "" || key.context == "" {
		return connKey{}, model.Usage(fmt.Errorf("cluster %s needs a kubeconfig and a context", c.Name),
			"register it: `hubship cluster add "+c.Name+" --kubeconfig FILE --context CONTEXT`; a current context is never used")
	}
	return key, nil
}

// loadConfig reads one context of one kubeconfig. Neither the environment nor
// the file's current-context has a say.
func loadConfig(path, context string) (*rest.Config, error) {
	raw, err := clientcmd.LoadFromFile(path)
	if err != nil {
		return nil, model.WithHint(fmt.Errorf("read kubeconfig %s: %w", path, err), "check that the file is a readable kubeconfig")
	}
	raw.CurrentContext = ""
	if _, ok := raw.Contexts[context]; !ok {
		return nil, model.WithHint(fmt.Errorf("kubeconfig %s has no context %q", path, context), "it has "+contextNames(raw))
	}
	if err := clientcmd.ResolveLocalPaths(raw); err != nil {
		return nil, fmt.Errorf("resolve paths in kubeconfig %s: %w", path, err)
	}
	overrides := &clientcmd.ConfigOverrides{CurrentContext: context}
	cfg, err := clientcmd.NewNonInteractiveClientConfig(*raw, context, overrides, nil).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("use context %q of kubeconfig %s: %w", context, path, err)
	}
	cfg.QPS, cfg.Burst, cfg.Timeout = clientQPS, clientBurst, requestTimeout
	// Otherwise client-go prints what API servers deprecate on standard error.
	cfg.WarningHandler = rest.NoWarnings{}
	return cfg, nil
}

func contextNames(c *clientcmdapi.Config) string {
	names := make([]string, 0, len(c.Contexts))
	for name := range c.Contexts {
		names = append(names, fmt.Sprintf("%q", name))
	}
	if len(names) == 0 {
		return "no contexts at all"
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

func connect(name string, cfg *rest.Config) (*Conn, error) {
	httpClient, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("prepare HTTP client: %w", err)
	}
	client, err1 := kubernetes.NewForConfigAndClient(cfg, httpClient)
	dyn, err2 := dynamic.NewForConfigAndClient(cfg, httpClient)
	meta, err3 := metadata.NewForConfigAndClient(metadata.ConfigFor(cfg), httpClient)
	disco, err4 := discovery.NewDiscoveryClientForConfigAndClient(cfg, httpClient)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return nil, fmt.Errorf("prepare clients: %w", err)
	}
	cached := memory.NewMemCacheClient(disco)
	return &Conn{
		Name: name, Client: client, Dynamic: dyn, Metadata: meta,
		Discovery: cached, Mapper: newMapper(cached), config: cfg,
	}, nil
}

// RESTConfig returns a copy of the connection's configuration.
func (c *Conn) RESTConfig() *rest.Config { return rest.CopyConfig(c.config) }

// Server is the API server's address, for people.
func (c *Conn) Server() string { return c.config.Host }
