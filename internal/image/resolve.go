package image

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/outbound"
)

// Resolve returns the digest of what a reference names now, of the index where
// there is one for several platforms. A reference with a digest is that digest,
// and nobody is asked. An image of docker.io is looked up in the mirrors first,
// as the nodes do. Nothing is remembered.
//
// The error is fs.ErrNotExist when every registry that may have the image
// answers that it has not; model.ErrUnknown when one of them does not answer, or
// not to this account; and an outbound.RefusedError when one is where a change
// must not lead.
func (r *Registry) Resolve(ctx context.Context, written string) (string, error) {
	ref, err := name.ParseReference(written)
	if err != nil {
		return "", model.WithHint(fmt.Errorf("%q is not an image reference: %w", written, fs.ErrNotExist), "write it as registry/name:tag")
	}
	if d, ok := ref.(name.Digest); ok {
		return d.DigestStr(), nil
	}
	var silent, refused, absent error
	for _, place := range r.places(ref.(name.Tag)) {
		var digest string
		ask := func() error {
			desc, err := r.pullerOf(place.ref.Context()).Head(ctx, place.ref)
			if err == nil {
				digest = desc.Digest.String()
			}
			return err
		}
		if place.ours {
			err = r.persist(ctx, ask)
		} else {
			err = ask()
		}
		switch {
		case err == nil:
			return digest, nil
		case ctx.Err() != nil:
			return "", context.Cause(ctx)
		case isDenied(err):
			// Whether there is none, or the account of this installation has
			// run out, only the registry knows.
			silent = fmt.Errorf("image %s: %s %s: %w", written, place.ref.RegistryStr(), describe(err), model.ErrUnknown)
		case isAbsent(err):
			absent = fmt.Errorf("image %s: %s %s: %w", written, place.ref.RegistryStr(), describe(err), fs.ErrNotExist)
		case outbound.IsRefused(err):
			refused = model.WithHint(fmt.Errorf("image %s: %w", written, plain(err)), model.HintOf(err))
		case isAnswer(err):
			absent = fmt.Errorf("image %s: %s answers: %w: %w", written, place.ref.RegistryStr(), plain(err), fs.ErrNotExist)
		default:
			silent = fmt.Errorf("image %s: %s %w: %w", written, place.ref.RegistryStr(), model.ErrUnknown, plain(err))
		}
	}
	switch {
	case silent != nil: // it may be there
		return "", silent
	case refused != nil:
		return "", refused
	}
	return "", model.WithHint(absent, "check the name and tag, or push the image first")
}

// isAnswer says that a registry refused what was asked of it, for a reason that
// another try does not change.
func isAnswer(err error) bool {
	var te *transport.Error
	return errors.As(err, &te) && te.StatusCode >= 400 && te.StatusCode < 500 && te.StatusCode != http.StatusTooManyRequests && te.StatusCode != http.StatusRequestTimeout
}
