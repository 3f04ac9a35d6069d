// Package programs knows how each program of a node is configured: its
// certificates, configuration files, arguments, environment and health check.
package programs

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hubship/hubship/node/internal/pki"
	"github.com/hubship/hubship/node/internal/settings"
	"github.com/hubship/hubship/node/internal/supervise"
)

// Dialer connects to the node's own loopback.
type Dialer interface {
	DialLoopback(port int) (net.Conn, error)
}

// Set configures the programs of one node.
type Set struct {
	s      settings.Settings
	pki    *pki.Dir
	helper string
	mtu    int
	client *http.Client
}

// New returns the programs of a node. helperDir holds them all. mtu is that of
// the link to the machine, in bytes.
func New(s settings.Settings, helperDir string, mtu int, dialer Dialer) *Set {
	return &Set{
		s: s, pki: pki.Open(s.Data("pki")), helper: helperDir, mtu: mtu,
		client: loopbackClient(dialer),
	}
}

// Helper returns the path of one of the programs.
func (p *Set) Helper(name string) string { return filepath.Join(p.helper, name) }

// loopbackClient reaches ports of the node's loopback. It does not check
// certificates: nobody else can listen there, and it only asks for health.
func loopbackClient(dialer Dialer) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: func(_ context.Context, _, addr string) (net.Conn, error) {
			_, port, err := net.SplitHostPort(addr)
			if err != nil {
				return nil, err
			}
			n, err := net.LookupPort("tcp", port)
			if err != nil {
				return nil, err
			}
			return dialer.DialLoopback(n)
		},
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // see above
		DisableKeepAlives: true,
	}}
}

// Client returns a client for ports of the node's loopback.
func (p *Set) Client() *http.Client { return p.client }

// healthy asks for a page of the node's loopback and wants status 200.
func (p *Set) healthy(scheme string, port int, path string) func(context.Context) error {
	url := fmt.Sprintf("%s://127.0.0.1:%d%s", scheme, p.s.Port(port), path)
	return func(ctx context.Context) error { return get(ctx, p.client, url) }
}

func get(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", req.URL.Path, resp.Status)
	}
	return nil
}

// socketAnswers checks that somebody accepts connections at a Unix socket.
func socketAnswers(path string) func(context.Context) error {
	return func(ctx context.Context) error {
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
		if err != nil {
			return err
		}
		return conn.Close()
	}
}

// passed lists the variables of the machine's environment that programs of the
// node need to reach the outside as the machine does.
var passed = []string{"SSL_CERT_FILE", "SSL_CERT_DIR", "TZ", "LANG"}

// Proxied lists those of a proxy. The node's own addresses are never behind it.
var Proxied = []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"}

// Env is the environment of a program, with extra variables at its end.
func (p *Set) Env(extra ...string) []string {
	env := []string{
		"PATH=" + p.helper + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root",
		"TMPDIR=" + p.s.Data("tmp"),
	}
	for _, key := range append(slices.Clone(passed), Proxied...) {
		if value, ok := os.LookupEnv(key); ok {
			env = append(env, key+"="+value)
		}
	}
	direct := []string{"127.0.0.1", "localhost", p.s.PodCIDR, p.s.ServiceCIDR, ".svc", ".cluster.local"}
	for _, key := range []string{"NO_PROXY", "no_proxy"} {
		if value := os.Getenv(key); value != "" {
			direct = append([]string{value}, direct...)
			break
		}
	}
	list := strings.Join(direct, ",")
	return append(append(env, "NO_PROXY="+list, "no_proxy="+list), extra...)
}

// small is the environment of a Go program that shall trade a little time for
// memory. limit is its soft memory limit in MiB.
func (p *Set) small(limit int, extra ...string) []string {
	return p.Env(append([]string{"GOGC=50", fmt.Sprintf("GOMEMLIMIT=%dMiB", limit)}, extra...)...)
}

// kube describes a component of Kubernetes.
func (p *Set) kube(name string, env []string, ready func(context.Context) error, args ...string) supervise.Spec {
	return supervise.Spec{
		Name: name, Path: p.Helper("kube"), Args: append([]string{name}, args...),
		Env: env, Log: p.s.Log(name), Ready: ready,
	}
}

func writeFile(path, content string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	// One that was there keeps its mode otherwise.
	if err := os.Chmod(path, 0o600); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	return nil
}

// Prepare makes directories, certificates, kubeconfigs and every configuration
// file. It may run again at any time while the node is stopped.
func (p *Set) Prepare() error {
	for _, dir := range []string{"etcd", "containerd", "kubelet", "registry", "volumes", "pod-logs", "logs", "tmp", "buildkit"} {
		if err := os.MkdirAll(p.s.Data(dir), 0o755); err != nil {
			return fmt.Errorf("make the data directory: %w", err)
		}
	}
	// etcd refuses a directory that others can read.
	if err := os.Chmod(p.s.Data("etcd"), 0o700); err != nil {
		return fmt.Errorf("make the data directory: %w", err)
	}
	// Configuration files have a part of these in them.
	if err := errors.Join(p.ensureCertificates(), p.ensureRegistryAccounts()); err != nil {
		return err
	}
	return errors.Join(
		p.writeKubeletConfig(),
		p.writeKubeProxyConfig(),
		p.writeContainerdConfig(),
		p.writePodNetwork(),
		p.writeRegistryConfig(),
		p.writeBuildKitConfig(),
	)
}

// requestTimeout bounds one health check made outside of a supervised probe.
const requestTimeout = 3 * time.Second

// APIServerReady asks the API server whether it serves, as the administrator.
func (p *Set) APIServerReady(ctx context.Context) error {
	config, err := p.RestConfig()
	if err != nil {
		return err
	}
	config.Timeout = requestTimeout
	return restReady(ctx, config)
}
