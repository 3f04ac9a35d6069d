package image

import (
	"context"
	"fmt"
	"net"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/outbound"
)

// dockerHub is what the client library calls docker.io.
const dockerHub = name.DefaultRegistry

// Base resolves a base image, written as in a Dockerfile, to its digest. An
// image of docker.io is looked up in the mirrors first. A digest is believed
// for RegistryOptions.BaseTTL; a reference that carries one is not looked up.
func (r *Registry) Base(ctx context.Context, written string) (Base, error) {
	ref, err := name.ParseReference(written)
	if err != nil {
		return Base{}, model.WithHint(fmt.Errorf("base image %q: %w", written, err), "write it as in `FROM debian:bookworm-slim`")
	}
	if d, ok := ref.(name.Digest); ok {
		return Base{Ref: canonical(d.Context()), Digest: d.DigestStr()}, r.mayBeReached(ctx, d.Context())
	}
	tag := ref.(name.Tag)
	base := Base{Ref: canonical(tag.Context()) + ":" + tag.TagStr()}
	if base.Digest = r.recall(base.Ref); base.Digest != "" {
		return base, nil
	}
	if base.Digest, err = r.resolve(ctx, tag); err != nil {
		return Base{}, err
	}
	r.remember(base)
	return base, nil
}

// mayBeReached says whether a registry that only BuildKit is going to ask may
// be. Docker's own is public.
func (r *Registry) mayBeReached(ctx context.Context, repository name.Repository) error {
	if r.isOurs(repository) || repository.RegistryStr() == dockerHub {
		return nil
	}
	address := repository.RegistryStr()
	if _, _, err := net.SplitHostPort(address); err != nil {
		address = net.JoinHostPort(strings.Trim(address, "[]"), "443")
	}
	if err := r.o.Outside.Check(ctx, address); err != nil {
		return model.WithHint(fmt.Errorf("base image %s: %w", repository.Name(), err), model.HintOf(err))
	}
	return nil
}

// resolve asks the mirrors and then the image's home for its digest.
func (r *Registry) resolve(ctx context.Context, tag name.Tag) (string, error) {
	var tried, failures []string
	hint := ""
	for _, place := range r.places(tag) {
		var digest string
		ask := func() error {
			desc, err := r.pullerOf(place.ref.Context()).Head(ctx, place.ref)
			if err == nil {
				digest = desc.Digest.String()
			}
			return err
		}
		var err error
		if place.ours {
			err = r.persist(ctx, ask)
		} else {
			err = ask()
		}
		if err == nil {
			return digest, nil
		}
		if ctx.Err() != nil {
			return "", fmt.Errorf("resolve base image %s: %w", tag.String(), context.Cause(ctx))
		}
		if outbound.IsRefused(err) {
			hint = model.HintOf(err)
		}
		tried = append(tried, place.ref.RegistryStr())
		failures = append(failures, place.ref.RegistryStr()+" "+describe(err))
	}
	err := fmt.Errorf("resolve base image %s: %s", tag.String(), strings.Join(failures, "; "))
	switch {
	case hint != "":
	case len(tried) == 1:
		hint = fmt.Sprintf("check the name in the Dockerfile; %s must have it and be reachable", tried[0])
	default:
		hint = fmt.Sprintf("check the name in the Dockerfile; otherwise push the image to %s, or make %s reachable", tried[0], strings.Join(tried[1:], ", "))
	}
	return "", model.WithHint(err, hint)
}

// describe puts into words why a registry did not return a digest.
func describe(err error) string {
	switch {
	case isAbsent(err):
		return "does not have it"
	case isDenied(err):
		return "does not have it, or does not show it to this account"
	case outbound.IsRefused(err):
		return "was not asked: " + plain(err).Error()
	}
	return fmt.Sprintf("does not answer: %v", err)
}

type place struct {
	ref  name.Tag
	ours bool // the installation's registry, worth waiting for
}

// places lists where an image may be, in the order they are asked.
func (r *Registry) places(tag name.Tag) []place {
	var out []place
	if tag.RegistryStr() == dockerHub {
		for _, m := range r.o.Mirrors {
			ours := m == r.Host()
			var opts []name.Option
			if isLoopback(m) || (ours && r.o.Insecure) {
				opts = append(opts, name.Insecure)
			}
			ref, err := name.NewTag(m+"/"+tag.RepositoryStr()+":"+tag.TagStr(), opts...)
			if err == nil {
				out = append(out, place{ref: ref, ours: ours})
			}
		}
	}
	if tag.RegistryStr() == r.Host() {
		if ref, err := name.NewTag(tag.Name(), r.nameOptions()...); err == nil {
			return append(out, place{ref: ref, ours: true})
		}
	}
	return append(out, place{ref: tag})
}

func (r *Registry) recall(ref string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if k, ok := r.bases[ref]; ok && r.now().Before(k.until) {
		return k.digest
	}
	return ""
}

func (r *Registry) remember(b Base) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	for ref, k := range r.bases {
		if !now.Before(k.until) {
			delete(r.bases, ref)
		}
	}
	r.bases[b.Ref] = knownBase{digest: b.Digest, until: now.Add(r.o.BaseTTL)}
}

// ForgetBases drops every digest that is believed, so that the next look-up
// asks the registries.
func (r *Registry) ForgetBases() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.bases)
}

// canonical spells a repository as BuildKit does.
func canonical(repo name.Repository) string {
	if repo.RegistryStr() == dockerHub {
		return "docker.io/" + repo.RepositoryStr()
	}
	return repo.Name()
}
