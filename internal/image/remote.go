package image

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/hubship/hubship/internal/check"
)

// Remote asks any registry about images, with the credentials that docker's
// configuration has for it.
type Remote struct {
	// Transport asks them; nil reaches whatever this machine does, which is
	// right for a person's own machine alone.
	Transport http.RoundTripper
}

var (
	_ check.Registries = Remote{}
	_ check.Layers     = Remote{}
)

func (r Remote) options(ctx context.Context) []remote.Option {
	transport := r.Transport
	if transport == nil {
		transport = remote.DefaultTransport
	}
	return []remote.Option{
		remote.WithTransport(transport),
		remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain), remote.WithUserAgent("hubship"),
		remote.WithRetryBackoff(remote.Backoff{Steps: 1}),
		remote.WithPlatform(v1.Platform{OS: "linux", Architecture: "amd64"}),
	}
}

// Exists says whether a registry has the image. An error says that it could
// not be asked, or does not let this account see.
func (r Remote) Exists(ctx context.Context, reference string) (bool, error) {
	ref, err := name.ParseReference(reference)
	if err != nil {
		return false, fmt.Errorf("image %s: %w", reference, err)
	}
	_, err = remote.Head(ref, r.options(ctx)...)
	var refused *transport.Error
	if errors.As(err, &refused) && refused.StatusCode == http.StatusNotFound {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("ask %s about %s: %w", ref.Context().RegistryStr(), reference, err)
	}
	return true, nil
}

// Layers tells what the image for Linux on amd64 is made of.
func (r Remote) Layers(ctx context.Context, reference string) ([]check.Layer, error) {
	ref, err := name.ParseReference(reference)
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", reference, err)
	}
	img, err := remote.Image(ref, r.options(ctx)...)
	if err != nil {
		return nil, fmt.Errorf("read image %s: %w", reference, err)
	}
	manifest, err := img.Manifest()
	if err != nil {
		return nil, fmt.Errorf("read manifest of image %s: %w", reference, err)
	}
	out := make([]check.Layer, 0, len(manifest.Layers))
	for _, l := range manifest.Layers {
		out = append(out, check.Layer{Digest: l.Digest.String(), Size: l.Size})
	}
	return out, nil
}
