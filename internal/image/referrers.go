package image

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// MediaTypeEnvelope is the media type of a DSSE envelope, and of the artifact
// that attaches one to an image
// (https://github.com/secure-systems-lab/dsse/blob/master/envelope.md).
const MediaTypeEnvelope = "application/vnd.dsse.envelope.v1+json"

const (
	maxAttached      = 50      // envelopes of one image that are read
	maxEnvelopeBytes = 1 << 20 // of one of them
)

// Attach attaches an envelope to an image: as an OCI referrer, and in
// registries without the referrers API as the distribution specification has
// it for those, under a tag that is named by the image's digest.
func (r *Registry) Attach(ctx context.Context, repository, digest string, envelope []byte) error {
	of, err := r.digest(repository, digest)
	if err != nil {
		return err
	}
	err = r.persist(ctx, func() error {
		subject, err := r.ours.Head(ctx, of)
		if err != nil {
			return err
		}
		artifact, err := mutate.Append(mutate.MediaType(empty.Image, types.OCIManifestSchema1), mutate.Addendum{Layer: static.NewLayer(envelope, MediaTypeEnvelope)})
		if err != nil {
			return err
		}
		artifact = mutate.ConfigMediaType(artifact, MediaTypeEnvelope)
		attached, ok := mutate.Subject(artifact, v1.Descriptor{MediaType: subject.MediaType, Size: subject.Size, Digest: subject.Digest}).(v1.Image)
		if !ok {
			return errors.New("the artifact is not an image")
		}
		own, err := attached.Digest()
		if err != nil {
			return err
		}
		return remote.Write(of.Context().Digest(own.String()), attached, r.options(ctx)...)
	})
	if err != nil {
		return r.explain("attach a statement to", of.Name(), err)
	}
	return nil
}

// Attached returns the envelopes that are attached to an image. Whoever may
// push may attach one: none of them says anything before its signature is
// checked.
func (r *Registry) Attached(ctx context.Context, repository, digest string) (envelopes [][]byte, err error) {
	of, err := r.digest(repository, digest)
	if err != nil {
		return nil, err
	}
	err = r.persist(ctx, func() error {
		envelopes = nil
		index, err := remote.Referrers(of, r.options(ctx)...)
		if err != nil {
			return err
		}
		list, err := index.IndexManifest()
		if err != nil {
			return err
		}
		for _, d := range list.Manifests {
			if d.ArtifactType != MediaTypeEnvelope || len(envelopes) == maxAttached {
				continue
			}
			envelope, err := r.envelope(ctx, of.Context().Digest(d.Digest.String()))
			if isUnreachable(err) || ctx.Err() != nil {
				return err
			}
			if err == nil { // what somebody spoiled is passed over
				envelopes = append(envelopes, envelope)
			}
		}
		return nil
	})
	if err != nil {
		return nil, r.explain("read the statements about", of.Name(), err)
	}
	return envelopes, nil
}

func (r *Registry) envelope(ctx context.Context, ref name.Digest) ([]byte, error) {
	artifact, err := remote.Image(ref, r.options(ctx)...)
	if err != nil {
		return nil, err
	}
	layers, err := artifact.Layers()
	if err != nil {
		return nil, err
	}
	if len(layers) != 1 {
		return nil, fmt.Errorf("it has %d layers", len(layers))
	}
	if size, err := layers[0].Size(); err != nil || size > maxEnvelopeBytes {
		return nil, errors.Join(err, fmt.Errorf("it has %d bytes", size))
	}
	content, err := layers[0].Compressed() // as it is: it is not compressed
	if err != nil {
		return nil, err
	}
	defer content.Close()
	return io.ReadAll(content)
}

// Copy puts an image under a tag in another repository, by its digest. Layers
// are not transferred.
func (r *Registry) Copy(ctx context.Context, from, digest, to, tag string) error {
	source, err := r.digest(from, digest)
	if err != nil {
		return err
	}
	target, err := r.tag(to, tag)
	if err != nil {
		return err
	}
	err = r.persist(ctx, func() error {
		img, err := remote.Image(source, r.options(ctx)...)
		if err != nil {
			return err
		}
		return remote.Write(target, img, r.options(ctx)...)
	})
	if err != nil {
		return r.explain("copy "+source.Name()+" to", target.Name(), err)
	}
	return nil
}

func (r *Registry) digest(repository, digest string) (name.Digest, error) {
	ref, err := name.NewDigest(r.Name(repository)+"@"+digest, r.nameOptions()...)
	if err != nil {
		return name.Digest{}, fmt.Errorf("image name %s@%s: %w", r.Name(repository), digest, err)
	}
	return ref, nil
}

// options are those of requests to the installation's registry.
func (r *Registry) options(ctx context.Context) []remote.Option {
	return append(r.client(r.inside), remote.WithContext(ctx))
}
