package buildkit

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/moby/buildkit/client"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"github.com/hubship/hubship/internal/image"
	"github.com/hubship/hubship/internal/model"
)

// Builder builds and finds images. It is safe for concurrent use. The caller
// closes it.
type Builder struct {
	o         Options
	registry  *image.Registry
	anonymous *image.Registry // the same without credentials
	own       ownRegistry
	client    *client.Client
	slots     chan struct{}
	builds    buildGroup
}

// New returns a Builder. Neither BuildKit nor the registry is contacted yet.
func New(o Options) (*Builder, error) {
	if err := o.Validate(); err != nil {
		hint := model.HintOf(err)
		if hint == "" {
			hint = "fix the address of the registry or of BuildKit"
		}
		return nil, model.Usage(fmt.Errorf("set up image builds: %w", err), hint)
	}
	o = o.withDefaults()
	registry, err := image.NewRegistry(o.registry())
	if err != nil {
		return nil, fmt.Errorf("set up image builds: %w", err)
	}
	nobody := o.registry()
	nobody.Keychain = authn.NewMultiKeychain()
	anonymous, err := image.NewRegistry(nobody)
	if err != nil {
		return nil, fmt.Errorf("set up image builds: %w", err)
	}
	own, err := newOwnRegistry(o.Registry)
	if err != nil {
		return nil, fmt.Errorf("set up image builds: %w", err)
	}
	// A restarted BuildKit is to be found again within seconds, not after the
	// two minutes that gRPC backs off to.
	dial := client.WithGRPCDialOption(grpc.WithConnectParams(grpc.ConnectParams{
		Backoff:           backoff.Config{BaseDelay: 200 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
		MinConnectTimeout: 5 * time.Second,
	}))
	opts, err := o.dialOptions()
	if err != nil {
		return nil, fmt.Errorf("set up image builds: %w", err)
	}
	c, err := client.New(context.Background(), o.Address, append(opts, dial)...)
	if err != nil {
		return nil, fmt.Errorf("set up BuildKit client for %s: %w", o.Address, err)
	}
	return &Builder{
		o: o, registry: registry, anonymous: anonymous, own: own,
		client: c, slots: make(chan struct{}, o.Parallel),
	}, nil
}

// Close lets go of the connection to BuildKit. Builds under way fail.
func (b *Builder) Close() error { return b.client.Close() }

// Registry is where the images go.
func (b *Builder) Registry() *image.Registry { return b.registry }

// Digest implements ship.Images.
func (b *Builder) Digest(ctx context.Context, ref string) (string, error) {
	return b.registry.Resolve(ctx, ref)
}

// Find returns the image in the registry that was built from the source and
// the present digests of its base images. ok is false when it has to be built.
// tree is the root of the repository; of it, only the build file is read.
func (b *Builder) Find(ctx context.Context, tree fs.FS, src model.Source) (model.Built, bool, error) {
	dockerfile, err := fs.ReadFile(tree, src.Dockerfile)
	if err != nil {
		return model.Built{}, false, model.WithHint(fmt.Errorf("find image %s: read its build file: %w", src.ID, err),
			"commit the build file, or fix the image's `dockerfile` in hubship.yaml")
	}
	w, err := b.wanted(ctx, dockerfile, src, model.BuildOptions{Origin: model.Origin{Approved: true}})
	if err != nil {
		return model.Built{}, false, fmt.Errorf("find image %s: %w", src.ID, err)
	}
	built, ok, err := b.find(ctx, w)
	if err != nil {
		return model.Built{}, false, fmt.Errorf("find image %s: %w", src.ID, err)
	}
	return built, ok, nil
}

// Exists says whether the tag still names exactly this image in the registry,
// and a provenance that one of the installation's keys signed lets it be
// deployed.
func (b *Builder) Exists(ctx context.Context, built model.Built) (bool, error) {
	repository, ok := cutRepository(built.Name, b.o.Registry)
	if !ok {
		return false, nil // of a registry that was in use before
	}
	digest, ok, err := b.registry.Digest(ctx, repository, built.Tag)
	if err != nil {
		return false, fmt.Errorf("check image %s: %w", built.ID, err)
	}
	if !ok || digest != built.Digest || isUnapproved(repository) {
		return false, nil
	}
	if _, _, ok, err = b.provenance(ctx, repository, built, deployable); err != nil {
		return false, fmt.Errorf("check image %s: %w", built.ID, err)
	}
	return ok, nil
}

// Build builds the source and pushes it, unless the registry has it by now.
// dir has the build context and the build file at their paths in the
// repository, and is not changed. What happens goes to log, a line at a time.
// Callers that ask for the same image at the same time share one build. A
// failed instruction is a *BuildError.
//
// An untrusted build shares no cache mount with any other, reads base images
// that are public, and nothing else from anywhere but in its own containers.
// A build file that asks for more is refused before anything runs, naming
// every line at fault.
func (b *Builder) Build(ctx context.Context, dir string, src model.Source, opts model.BuildOptions, log io.Writer) (model.Built, error) {
	out := newLineWriter(log)
	defer out.Flush()
	dockerfile, err := readBuildFile(dir, src)
	if err != nil {
		return model.Built{}, fmt.Errorf("build image %s: %w", src.ID, err)
	}
	w, err := b.wanted(ctx, dockerfile, src, opts)
	if err != nil {
		return model.Built{}, fmt.Errorf("build image %s: %w", src.ID, err)
	}
	if w.proposed() {
		// What was approved is good enough for a check.
		approved := w.into(b.registry, src.Repository)
		approved.opts.Origin.Approved = true
		if built, ok, err := b.find(ctx, approved); err != nil || ok {
			return built, err
		}
	}
	built, err := b.builds.do(ctx, w.built.Ref(), opts.Untrusted, out, func(ctx context.Context, log io.Writer) (model.Built, error) {
		return b.build(ctx, filesOf(dir, src), w, log)
	})
	if err != nil {
		return model.Built{}, fmt.Errorf("build image %s: %w", src.ID, err)
	}
	built.ID = src.ID
	return built, nil
}

// want is an image by its identity, before its digest is known.
type want struct {
	src        model.Source
	untrusted  bool
	opts       model.BuildOptions
	repository string // of the registry: that of the source, or its unapproved one
	bases      []pin
	built      model.Built // without digest and size
}

// pin is a base image as the Dockerfile writes it and as it is used.
type pin struct {
	written string
	base    image.Base
}

// wanted computes the identity of the image that the source makes now.
func (b *Builder) wanted(ctx context.Context, dockerfile []byte, src model.Source, opts model.BuildOptions) (want, error) {
	refs, err := baseRefs(dockerfile, b.o.Platform)
	if err != nil {
		return want{}, model.WithHint(fmt.Errorf("%s: %w", src.Dockerfile, err), "fix the build file")
	}
	if err := refuseUnapproved(src, refs); err != nil {
		return want{}, err
	}
	resolve := b.registry.Base
	if opts.Untrusted {
		if err := refused(dockerfile, src.Dockerfile, b.o.Platform, b.own); err != nil {
			return want{}, err
		}
		resolve = b.publicBase
	}
	w := want{src: src, untrusted: opts.Untrusted, opts: opts, repository: src.Repository}
	if w.proposed() {
		w.repository = unapproved(src.Repository)
	}
	bases := make([]image.Base, 0, len(refs))
	for _, ref := range refs {
		base, err := resolve(ctx, ref)
		if err != nil {
			return want{}, fmt.Errorf("%s: %w", src.Dockerfile, err)
		}
		bases = append(bases, base)
		w.bases = append(w.bases, pin{written: ref, base: base})
	}
	key := image.Key(src.Hash, bases)
	w.built = model.Built{
		ID: src.ID, Source: src.Hash, Key: key,
		Name: b.registry.Name(w.repository), Tag: image.Tag(key),
	}
	return w, nil
}

// lookUp completes the image from the registry. A tag that holds anything but
// an image of this very key counts as absent, so that a build replaces it.
func (b *Builder) lookUp(ctx context.Context, w want) (model.Built, bool, error) {
	m, ok, err := b.registry.Manifest(ctx, w.repository, w.built.Tag)
	if err != nil || !ok || m.Key != w.built.Key {
		return model.Built{}, false, err
	}
	built := w.built
	built.Digest, built.Size = m.Digest, m.Size
	return built, true, nil
}

// build runs once for all callers of the same image.
func (b *Builder) build(ctx context.Context, at files, w want, log io.Writer) (model.Built, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, b.o.Timeout, model.WithHint(
		fmt.Errorf("not finished after %s", b.o.Timeout), "make the build shorter; its log shows which instruction takes so long"))
	defer cancel()
	select {
	case b.slots <- struct{}{}:
	default:
		fmt.Fprintf(log, "waiting for one of %d other builds to end\n", b.o.Parallel)
		select {
		case b.slots <- struct{}{}:
		case <-ctx.Done():
			return model.Built{}, context.Cause(ctx)
		}
	}
	defer func() { <-b.slots }()
	// Another process, or a run that was killed after its push, may have made
	// it since the caller looked.
	if built, ok, err := b.find(ctx, w); err != nil || ok {
		return built, err
	}
	if built, ok, err := b.takeOver(ctx, w, log); err != nil || ok {
		return built, err
	}
	started := time.Now()
	digest, err := b.solve(ctx, at, w, log)
	if err != nil {
		return model.Built{}, err
	}
	built, ok, err := b.lookUp(ctx, w)
	switch {
	case err != nil:
		return model.Built{}, err
	case !ok || built.Digest != digest:
		return model.Built{}, model.WithHint(
			fmt.Errorf("pushed %s as %s, but the registry does not have it", w.built.Ref(), digest),
			"check that BuildKit and hubship reach the same registry under the name "+b.o.Registry)
	}
	if err := b.sign(ctx, w, built, provenanceOf(w, started)); err != nil {
		return model.Built{}, err
	}
	built.Rebuilt = true
	return built, nil
}
