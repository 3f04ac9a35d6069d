package buildkit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hubship/hubship/internal/attest"
	"github.com/hubship/hubship/internal/image"
	"github.com/hubship/hubship/internal/model"
)

// unapproved is the repository that images of changes go to that were not
// merged.
func unapproved(repository string) string { return model.UnapprovedRepository + "/" + repository }

// isUnapproved says whether a repository is one of those, at whatever registry
// and below whatever path: a registry may be reached by many names.
func isUnapproved(repository string) bool {
	return slices.Contains(strings.Split(repository, "/"), model.UnapprovedRepository)
}

// refuseUnapproved is the error of what would let an unapproved image into
// another one.
func refuseUnapproved(src model.Source, bases []string) error {
	const hint = "images below " + model.UnapprovedRepository + " are from unmerged changes: use another one"
	if isUnapproved(src.Repository) {
		return model.WithHint(fmt.Errorf("image %s goes to %s, which is reserved for unmerged changes", src.ID, src.Repository), hint)
	}
	for _, base := range bases {
		ref, err := name.ParseReference(base)
		if err != nil {
			continue // said where it is resolved
		}
		if isUnapproved(ref.Context().RepositoryStr()) {
			return model.WithHint(fmt.Errorf("%s: image %s was built for a change that was not merged", src.Dockerfile, base), hint)
		}
	}
	return nil
}

// errNoKeys says that the builder cannot tell which images are its own.
var errNoKeys = errors.New("there are no signing keys to sign the provenance of images with")

// provenance returns what an installation's key signed about exactly this
// image. may says what of it is wanted; ok is false when nothing of that is
// attached. What is not genuine is passed over: anybody who may push may attach
// it.
func (b *Builder) provenance(ctx context.Context, repository string, built model.Built, may func(attest.Provenance) bool) (p attest.Provenance, envelope []byte, ok bool, err error) {
	if b.o.Keys == nil {
		return p, nil, false, errNoKeys
	}
	keys, err := b.o.Keys.Public()
	if err != nil {
		return p, nil, false, err
	}
	all, err := b.registry.Attached(ctx, repository, built.Digest)
	if err != nil {
		return p, nil, false, err
	}
	for _, envelope := range all {
		p, err := attest.OpenProvenance(envelope, keys, built)
		var refusal *attest.Refusal
		if errors.As(err, &refusal) || (err == nil && !may(p)) {
			continue
		}
		return p, envelope, err == nil, err
	}
	return p, nil, false, nil
}

func deployable(p attest.Provenance) bool { return p.Deployable() == nil }

func proposed(p attest.Provenance) bool { return p.Approval == attest.Proposed }

// find completes the image from the registry. One whose provenance does not
// let it be used for what it is wanted for counts as absent, so that a build
// replaces it.
func (b *Builder) find(ctx context.Context, w want) (model.Built, bool, error) {
	built, ok, err := b.lookUp(ctx, w)
	if err != nil || !ok {
		return model.Built{}, false, err
	}
	may := deployable
	if w.proposed() {
		may = proposed
	}
	if _, _, ok, err = b.provenance(ctx, w.repository, built, may); err != nil || !ok {
		return model.Built{}, false, err
	}
	return built, true, nil
}

// sign attaches the provenance of an image that was built or taken over.
func (b *Builder) sign(ctx context.Context, w want, built model.Built, p attest.Provenance) error {
	if b.o.Keys == nil {
		return errNoKeys
	}
	o := w.opts.Origin
	p.Image, p.Commit, p.Process, p.Into, p.Run = built, o.Commit, o.Process, o.Into, o.Run
	p.Context, p.Dockerfile, p.Platform = w.src.Context, w.src.Dockerfile, b.o.Platform
	p.Approval = attest.Approved
	if w.proposed() {
		p.Approval, p.Pull, p.Head = attest.Proposed, o.Pull, o.Head
	}
	envelope, err := p.Seal(b.o.Keys)
	if err != nil {
		return err
	}
	if err := b.registry.Attach(ctx, w.repository, built.Digest, envelope); err != nil {
		return err
	}
	same := func(found attest.Provenance) bool { return found.Run == o.Run && found.Approval == p.Approval }
	if _, _, ok, err := b.provenance(ctx, w.repository, built, same); err != nil || ok {
		return err
	}
	return model.WithHint(fmt.Errorf("the registry accepted the provenance of %s but does not return it", built.Ref()),
		"the registry must support OCI referrers or arbitrary tags, and the image must not have more than a few statements")
}

// provenanceOf is what a build of its own says.
func provenanceOf(w want, started time.Time) attest.Provenance {
	p := attest.Provenance{Untrusted: w.opts.Untrusted, Started: started, Finished: time.Now()}
	for _, pin := range w.bases {
		p.Bases = append(p.Bases, attest.Base{Ref: pin.base.Ref, Digest: pin.base.Digest})
	}
	return p
}

// takeOver lets a deploy have the image that the check of a pull request
// built: of the same key, so of the same sources and base images, and for a
// pull request that was merged with the very commit that was checked. The
// image is copied by its digest and gets a provenance of its own.
func (b *Builder) takeOver(ctx context.Context, w want, log io.Writer) (model.Built, bool, error) {
	if w.proposed() || w.opts.Merged == nil {
		return model.Built{}, false, nil
	}
	at := w.into(b.registry, unapproved(w.src.Repository))
	built, ok, err := b.lookUp(ctx, at)
	if err != nil || !ok {
		return model.Built{}, false, err
	}
	var asked error
	p, envelope, ok, err := b.provenance(ctx, at.repository, built, func(p attest.Provenance) bool {
		if !proposed(p) || p.Head == "" {
			return false
		}
		merged, err := w.opts.Merged(ctx, p.Head)
		asked = errors.Join(asked, err)
		return merged && err == nil
	})
	if err = errors.Join(err, asked); err != nil || !ok {
		return model.Built{}, false, err
	}
	if err := b.registry.Copy(ctx, at.repository, built.Digest, w.repository, built.Tag); err != nil {
		return model.Built{}, false, err
	}
	built.Name = w.built.Name
	sum := sha256.Sum256(envelope)
	taken := attest.Provenance{
		Untrusted: p.Untrusted, Started: p.Started, Finished: p.Finished, Bases: p.Bases,
		Pull: p.Pull, Head: p.Head, Promoted: "sha256:" + hex.EncodeToString(sum[:]),
	}
	if err := b.sign(ctx, w, built, taken); err != nil {
		return model.Built{}, false, err
	}
	fmt.Fprintf(log, "taken over from the check of pull request #%d, which was merged at %.12s\n", p.Pull, p.Head)
	return built, true, nil
}

// into is the same image in another repository of the registry.
func (w want) into(r *image.Registry, repository string) want {
	w.repository, w.built.Name = repository, r.Name(repository)
	return w
}

// proposed says that the image is built for a change that was not merged, as
// far as anybody has said.
func (w want) proposed() bool { return !w.opts.Origin.Approved }
