package buildkit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/session"
	sourcepolicy "github.com/moby/buildkit/sourcepolicy/pb"

	"github.com/hubship/hubship/internal/image"
	"github.com/hubship/hubship/internal/model"
)

// solve has BuildKit build and push the image, and returns the digest.
func (b *Builder) solve(ctx context.Context, at files, w want, log io.Writer) (digest string, err error) {
	err = b.persist(ctx, log, func() error {
		digest, err = b.solveOnce(ctx, at, w, log)
		return err
	})
	return digest, err
}

// persist has BuildKit do something. While BuildKit or the registry cannot be
// reached it tries again, for as long as the options' patience lasts: both are
// restarted under a running build.
func (b *Builder) persist(ctx context.Context, log io.Writer, do func() error) error {
	var gone time.Time // when what is missing now went missing
	pause := time.Second
	for {
		started := time.Now()
		err := do()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !isOutage(err, b.registry.Host()):
			return err
		}
		if gone.IsZero() || time.Since(started) > 10*time.Second {
			gone, pause = time.Now(), time.Second
		}
		if time.Since(gone)+pause > b.o.Patience {
			return b.explainOutage(err)
		}
		fmt.Fprintf(log, "interrupted: %s; trying again\n", brief(err))
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
		}
		pause = min(2*pause, 8*time.Second)
	}
}

func (b *Builder) solveOnce(ctx context.Context, at files, w want, log io.Writer) (string, error) {
	folders, err := locals(at)
	if err != nil {
		return "", err
	}
	opt := client.SolveOpt{
		Frontend: "dockerfile.v0",
		FrontendAttrs: map[string]string{
			"filename": filepath.Base(at.file),
			"platform": b.o.Platform,
			// With a command line given, the frontend leaves a `# syntax=` line
			// alone. An image of another frontend would be one more input, from
			// a registry that may be out of reach; the one inside BuildKit is
			// part of the builder's version.
			"cmdline":                    "dockerfile.v0",
			"label:" + image.LabelSource: w.src.Hash,
			"label:" + image.LabelKey:    w.built.Key,
		},
		LocalMounts:  folders,
		SharedKey:    "hubship/" + w.src.ID, // files that did not change since the last build are not sent again
		Exports:      []client.ExportEntry{{Type: client.ExporterImage, Attrs: b.exportAttrs(w)}},
		SourcePolicy: pinned(w.bases),
		Session:      []session.Attachable{b.credentials(w)},
	}

	if w.untrusted {
		harden(&opt, w)
	}
	p := newProgress(log)
	statuses, followed := p.follow()
	res, err := b.client.Solve(ctx, nil, opt, statuses)
	<-followed
	if err != nil {
		return "", p.failure(w.src, err)
	}
	digest := res.ExporterResponse["containerimage.digest"]
	if digest == "" {
		return "", errors.New("BuildKit returned no digest for the image that it pushed")
	}
	return digest, nil
}

// harden keeps an untrusted build apart from all others, the untrusted ones of
// other images included.
//
// A namespace gives it cache mounts of its own: into a shared one it could put
// what another build installs. That is not enough, for BuildKit leaves the
// names of cache mounts out of a step's cache key: a trusted build with the
// same step would take the result that this one made with its own mount. The
// host name is part of the key, so no step is shared. And the files that
// BuildKit keeps between builds of an image are compared by size and time
// alone, so one build could leave others in their place.
func harden(opt *client.SolveOpt, w want) {
	apart := "untrusted-" + w.built.Key[:min(40, len(w.built.Key))]
	opt.FrontendAttrs["build-arg:BUILDKIT_CACHE_MOUNT_NS"] = apart
	opt.FrontendAttrs["hostname"] = apart
	opt.SharedKey = "hubship/" + apart + "/" + w.built.Name
	opt.SourcePolicy = allowOnly(w.bases)
	opt.AllowedEntitlements = nil
}

// exportAttrs push one plain manifest: without attestations it is the same for
// the same layers, and the key among its annotations lets Find trust a tag
// with a single request. Timestamps are left as they are: rewriting them
// invalidates the bytecode that Python compiled during the build, and every
// server would start slower for it.
func (b *Builder) exportAttrs(w want) map[string]string {
	attrs := map[string]string{
		"name":                            w.built.Ref(),
		"push":                            "true",
		"oci-mediatypes":                  "true",
		"compression":                     b.o.Compression,
		"annotation." + image.LabelKey:    w.built.Key,
		"annotation." + image.LabelSource: w.src.Hash,
	}
	if b.o.Compression != "uncompressed" {
		attrs["compression-level"] = "1"
	}
	if b.registry.Insecure() {
		attrs["registry.insecure"] = "true"
	}
	return attrs
}

// pinned makes BuildKit use the very base images that the key names, also when
// a tag has moved since.
func pinned(pins []pin) *sourcepolicy.Policy {
	policy := &sourcepolicy.Policy{Version: 1}
	for _, p := range pins {
		policy.Rules = append(policy.Rules, &sourcepolicy.Rule{
			Action: sourcepolicy.PolicyAction_CONVERT,
			Selector: &sourcepolicy.Selector{
				Identifier: "docker-image://" + p.base.Ref,
				MatchType:  sourcepolicy.MatchType_EXACT,
			},
			Updates: &sourcepolicy.Update{Identifier: "docker-image://" + p.base.String()},
		})
	}
	return policy
}

func (b *Builder) explainOutage(err error) error {
	return model.WithHint(err, fmt.Sprintf("check that BuildKit at %s and the registry at %s are running: `hubship status` shows it for the embedded ones", b.o.Address, b.o.Registry))
}
