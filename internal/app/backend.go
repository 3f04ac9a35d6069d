package app

import (
	"context"
	"fmt"

	"github.com/hubship/hubship/internal/attest"
	"github.com/hubship/hubship/internal/image"
	"github.com/hubship/hubship/internal/image/buildkit"
	"github.com/hubship/hubship/internal/install"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/node"
	"github.com/hubship/hubship/internal/outbound"
)

// backend is where the cluster, the registry and BuildKit are.
type backend struct {
	kubeconfig, context string
	registry            string
	credentials         string // docker configuration file for the registry, or ""
	buildkit            string
	tls                 buildkit.TLS
}

// locate asks the embedded node, or takes what `hubship up` was told.
func locate(ctx context.Context, s install.Settings) (backend, error) {
	if c := s.Cluster; c != nil {
		return backend{
			kubeconfig: c.Kubeconfig, context: c.Context,
			registry: c.Registry, credentials: c.RegistryCredentials,
			buildkit: c.BuildKit, tls: buildkit.TLS{CA: c.BuildKitCA, Cert: c.BuildKitCert, Key: c.BuildKitKey},
		}, nil
	}
	status, err := node.NewClient(s.NodeSocket()).Status(ctx)
	if err != nil {
		return backend{}, model.WithHint(fmt.Errorf("ask the embedded node: %w", err), "start it with `hubship up`")
	}
	return backend{
		kubeconfig: status.Kubeconfig, context: status.Context,
		registry: status.Registry, credentials: status.RegistryCredentials, buildkit: status.BuildKit,
	}, nil
}

// builder is how images are built there; what a change names is asked for
// through the guard, and what is built is signed with the keys.
func (b backend) builder(outside *outbound.Guard, keys attest.Keys) buildkit.Options {
	return buildkit.Options{
		Address: b.buildkit, TLS: b.tls, Registry: b.registry,
		Keychain: image.FileKeychain(b.credentials), Outside: outside, Keys: keys,
	}
}
