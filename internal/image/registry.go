package image

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/hubship/hubship/internal/loopback"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/outbound"
)

// RegistryOptions say where the installation's images live.
type RegistryOptions struct {
	// Address is the registry's host, with a port and a path prefix if it has
	// them: "127.0.0.1:17420", "ghcr.io/campus/hubs".
	Address string
	// Insecure speaks plain HTTP or accepts any certificate. A registry on
	// loopback is always spoken to in plain HTTP.
	Insecure bool
	// Mirrors are registries that are asked for images of docker.io before
	// docker.io itself. Nil means the registry at Address if it is on loopback.
	Mirrors []string
	// Keychain has the credentials; nil means those of the docker
	// configuration file. They are used in requests and go nowhere else.
	Keychain authn.Keychain
	// Patience is how long an unreachable installation's registry is tried
	// again, so that its restart is ridden out. 0 means 30 s, negative not at
	// all.
	Patience time.Duration
	// Outside reaches every registry but this one and the mirrors: which those
	// are is for a change to say. nil reaches the Internet alone.
	Outside *outbound.Guard
	// BaseTTL is how long the digest of a base image is believed. 0 means 3
	// minutes.
	BaseTTL time.Duration
}

// Validate reports what keeps the options from being used.
func (o RegistryOptions) Validate() error {
	if o.Address == "" {
		return errors.New("registry address is empty: want a host such as 127.0.0.1:17420")
	}
	if strings.Contains(o.Address, "://") {
		return fmt.Errorf("registry address %q has a scheme: want host, port and path only", o.Address)
	}
	if _, err := name.NewRepository(o.Address+"/x", name.StrictValidation); err != nil {
		return fmt.Errorf("registry address %q: %w", o.Address, err)
	}
	for _, m := range o.Mirrors {
		if _, err := name.NewRegistry(m, name.StrictValidation); err != nil {
			return fmt.Errorf("mirror %q: %w", m, err)
		}
	}
	return nil
}

// Registry looks images up. It is safe for concurrent use.
type Registry struct {
	o               RegistryOptions
	ours            *remote.Puller // of the installation's registry and the mirrors
	others          *remote.Puller // of those that a change names
	inside, outside http.RoundTripper

	mu    sync.Mutex
	bases map[string]knownBase
	now   func() time.Time
}

type knownBase struct {
	digest string
	until  time.Time
}

// Manifest is what a registry says about a tag.
type Manifest struct {
	Digest string // "sha256:…"
	Size   int64  // bytes of the compressed layers and the configuration
	Key    string // LabelKey among its annotations, or ""
}

// NewRegistry returns a Registry. Nothing is contacted yet.
func NewRegistry(o RegistryOptions) (*Registry, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o.Insecure = o.Insecure || isLoopback(o.Address)
	if o.Mirrors == nil && isLoopback(o.Address) {
		o.Mirrors = []string{hostOf(o.Address)}
	}
	if o.Keychain == nil {
		o.Keychain = authn.DefaultKeychain
	}
	if o.Patience == 0 {
		o.Patience = 30 * time.Second
	}
	if o.BaseTTL == 0 {
		o.BaseTTL = 3 * time.Minute
	}
	if o.Outside == nil {
		o.Outside = outbound.New(outbound.Options{})
	}
	outside := o.Outside.Transport(outbound.TransportOptions{MaxBody: maxAnswer})
	inside := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           dialOwn(append([]string{hostOf(o.Address)}, o.Mirrors...)),
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: 20 * time.Second,
		IdleConnTimeout:       90 * time.Second,
		MaxIdleConnsPerHost:   8,
		ForceAttemptHTTP2:     true,
	}
	r := &Registry{o: o, inside: inside, outside: outside, bases: map[string]knownBase{}, now: time.Now}
	for to, transport := range map[**remote.Puller]http.RoundTripper{&r.ours: inside, &r.others: outside} {
		var err error
		*to, err = remote.NewPuller(r.client(transport)...)
		if err != nil {
			return nil, fmt.Errorf("set up registry client for %s: %w", o.Address, err)
		}
	}
	return r, nil
}

// dialOwn connects to the installation's registries. What is sent there has an
// account that writes, and goes over the loopback as it is: a program of another
// user that has taken the port meanwhile does not get it.
func dialOwn(registries []string) func(ctx context.Context, network, addr string) (net.Conn, error) {
	d := &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := d.DialContext(ctx, network, addr)
		if err != nil || !slices.Contains(registries, addr) { // a proxy is whose it is
			return c, err
		}
		if err := loopback.Served(c); err != nil {
			_ = c.Close()
			return nil, model.WithHint(fmt.Errorf("registry %s: %w", addr, err), "stop that program (ss -ltnp shows it), or run the registry as root or as hubship's user")
		}
		return c, nil
	}
}

func (r *Registry) client(transport http.RoundTripper) []remote.Option {
	return []remote.Option{
		remote.WithAuthFromKeychain(r.o.Keychain),
		remote.WithTransport(transport),
		remote.WithUserAgent("hubship"),
		remote.WithRetryBackoff(remote.Backoff{Duration: 100 * time.Millisecond, Factor: 2, Steps: 2}),
	}
}

// maxAnswer bounds what a registry answers, in bytes: manifests and the
// configurations of images; layers are never read here.
const maxAnswer = 16 << 20

// Transport is what a repository is to be asked through: the installation's own
// registry and its mirrors are reached wherever they are, all others by what
// guards the installation against the names in a change.
func (r *Registry) Transport(repository name.Repository) http.RoundTripper {
	if r.isOurs(repository) {
		return r.inside
	}
	return r.outside
}

// isOurs says whether a repository is one of the installation's registry, which
// may have a part of a host alone, or of a mirror.
func (r *Registry) isOurs(repository name.Repository) bool {
	if slices.Contains(r.o.Mirrors, repository.RegistryStr()) {
		return true
	}
	ours, err := name.NewRepository(r.o.Address+"/x", r.nameOptions()...)
	return err == nil && strings.HasPrefix(repository.Name(), strings.TrimSuffix(ours.Name(), "x"))
}

func (r *Registry) pullerOf(repository name.Repository) *remote.Puller {
	if r.isOurs(repository) {
		return r.ours
	}
	return r.others
}

// Name is the full name of a repository of the installation's registry:
// "127.0.0.1:17420/datahub/user".
func (r *Registry) Name(repository string) string { return r.o.Address + "/" + repository }

// Host is the host and port of the installation's registry.
func (r *Registry) Host() string { return hostOf(r.o.Address) }

// Insecure says that the registry is spoken to in plain HTTP, or without
// checking its certificate.
func (r *Registry) Insecure() bool { return r.o.Insecure }

// Keychain has the credentials that the registry is used with.
func (r *Registry) Keychain() authn.Keychain { return r.o.Keychain }

// Manifest returns what the registry has under the tag; ok is false when there
// is no such tag. The error of a registry that does not answer has a hint.
func (r *Registry) Manifest(ctx context.Context, repository, tag string) (m Manifest, ok bool, err error) {
	ref, err := r.tag(repository, tag)
	if err != nil {
		return Manifest{}, false, err
	}
	var desc *remote.Descriptor
	err = r.persist(ctx, func() error {
		desc, err = r.ours.Get(ctx, ref)
		return err
	})
	if isAbsent(err) {
		return Manifest{}, false, nil
	}
	if err != nil {
		return Manifest{}, false, r.explain("look up", ref.Name(), err)
	}
	if !isImage(desc.MediaType) {
		// An index, a signature or the like is nothing that hubship pushed.
		return Manifest{Digest: desc.Digest.String()}, true, nil
	}
	img, err := desc.Image()
	if err != nil {
		return Manifest{}, false, fmt.Errorf("read manifest of %s: %w", ref.Name(), err)
	}
	manifest, err := img.Manifest()
	if err != nil {
		return Manifest{}, false, fmt.Errorf("read manifest of %s: %w", ref.Name(), err)
	}
	return Manifest{Digest: desc.Digest.String(), Size: sizeOf(manifest), Key: manifest.Annotations[LabelKey]}, true, nil
}

// Digest returns the digest of the manifest that the tag names; ok is false
// when there is no such tag.
func (r *Registry) Digest(ctx context.Context, repository, tag string) (digest string, ok bool, err error) {
	ref, err := r.tag(repository, tag)
	if err != nil {
		return "", false, err
	}
	var desc *v1.Descriptor
	err = r.persist(ctx, func() error {
		desc, err = r.ours.Head(ctx, ref)
		return err
	})
	if isAbsent(err) {
		return "", false, nil
	}
	if err != nil {
		return "", false, r.explain("look up", ref.Name(), err)
	}
	return desc.Digest.String(), true, nil
}

func (r *Registry) tag(repository, tag string) (name.Tag, error) {
	ref, err := name.NewTag(r.Name(repository)+":"+tag, r.nameOptions()...)
	if err != nil {
		return name.Tag{}, fmt.Errorf("image name %s:%s: %w", r.Name(repository), tag, err)
	}
	return ref, nil
}

func (r *Registry) nameOptions() []name.Option {
	if r.o.Insecure {
		return []name.Option{name.StrictValidation, name.Insecure}
	}
	return []name.Option{name.StrictValidation}
}

// persist repeats fn while the registry cannot be reached and patience lasts.
func (r *Registry) persist(ctx context.Context, fn func() error) error {
	deadline := time.Now().Add(r.o.Patience)
	wait := 200 * time.Millisecond
	for {
		err := fn()
		if err == nil || !isUnreachable(err) || ctx.Err() != nil || time.Now().Add(wait).After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait):
		}
		wait = min(2*wait, 3*time.Second)
	}
}

func isImage(t types.MediaType) bool {
	return t == types.OCIManifestSchema1 || t == types.DockerManifestSchema2
}

func sizeOf(m *v1.Manifest) int64 {
	size := m.Config.Size
	for _, l := range m.Layers {
		size += l.Size
	}
	return size
}

// hostOf is the part of a registry address before its path prefix.
func hostOf(address string) string {
	host, _, _ := strings.Cut(address, "/")
	return host
}

func isLoopback(address string) bool {
	host := hostOf(address)
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
