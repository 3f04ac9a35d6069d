package buildkit

import (
	"context"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/auth"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// credentials answers BuildKit's own requests for credentials, for the registry
// that is pushed to and those that base images come from, and for no other
// host. Instructions of the build never see them. An untrusted build has those
// of the registry that it is pushed to alone.
func (b *Builder) credentials(w want) session.Attachable {
	hosts := map[string]bool{dockerHost(b.registry.Host()): true}
	for _, p := range w.bases {
		if w.untrusted {
			break
		}
		host, _, _ := strings.Cut(p.base.Ref, "/")
		hosts[dockerHost(host)] = true
	}
	return &keyring{hosts: hosts, keychain: b.registry.Keychain()}
}

type keyring struct {
	auth.UnimplementedAuthServer
	hosts    map[string]bool
	keychain authn.Keychain
}

// Register implements session.Attachable.
func (k *keyring) Register(s *grpc.Server) { auth.RegisterAuthServer(s, k) }

// Credentials implements auth.AuthServer.
func (k *keyring) Credentials(ctx context.Context, req *auth.CredentialsRequest) (*auth.CredentialsResponse, error) {
	host := dockerHost(req.Host)
	if !k.hosts[host] {
		return &auth.CredentialsResponse{}, nil
	}
	registry, err := name.NewRegistry(host)
	if err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "registry host %q is malformed", host)
	}
	authenticator, err := authn.Resolve(ctx, k.keychain, registry)
	if err != nil {
		// The cause may quote a credential helper's output.
		return nil, status.Errorf(codes.Unavailable, "credentials for %s cannot be read from the docker configuration", host)
	}
	cfg, err := authn.Authorization(ctx, authenticator)
	if err != nil {
		return nil, status.Errorf(codes.Unavailable, "credentials for %s cannot be read from the docker configuration", host)
	}
	if cfg.IdentityToken != "" {
		return &auth.CredentialsResponse{Secret: cfg.IdentityToken}, nil
	}
	return &auth.CredentialsResponse{Username: cfg.Username, Secret: cfg.Password}, nil
}

// dockerHost gives the names of Docker Hub the one of docker's configuration.
func dockerHost(host string) string {
	switch host {
	case "docker.io", "registry-1.docker.io", "index.docker.io":
		return name.DefaultRegistry
	}
	return host
}
