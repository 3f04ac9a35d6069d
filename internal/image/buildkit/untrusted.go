package buildkit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path"
	"regexp"
	"strconv"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/moby/buildkit/frontend/dockerfile/dfgitutil"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
	sourcepolicy "github.com/moby/buildkit/sourcepolicy/pb"

	"github.com/hubship/hubship/internal/image"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/outbound"
)

// What an untrusted build may not do is refused twice: by its build file here,
// before anything runs, in words that its author understands; and by the policy
// that BuildKit applies to every source (allowOnly), which no variable and no
// ONBUILD of a base image gets around. Rights that a build has to ask for are
// granted to none, so BuildKit refuses those itself.

const untrustedHint = "images from forks are built without anything that could affect others: remove it, or let somebody with write access push the change to a branch of the repository itself"

// refused finds what the build file of an untrusted build must not have. Every
// finding is a *BuildError with its line.
func refused(dockerfile []byte, file, platform string, own ownRegistry) error {
	r := refusals{file: path.Clean(file), text: dockerfile}
	if ref, _, at, ok := parser.DetectSyntax(dockerfile); ok && !builtinFrontend(ref) {
		r.add(at, "another frontend would run with the builder's privileges: remove the line, or use docker/dockerfile")
	}
	ast, err := parser.Parse(bytes.NewReader(dockerfile))
	if err != nil {
		return err
	}
	stages, args, err := instructions.Parse(ast.AST, nil)
	if err != nil {
		return err
	}
	env, err := globalArgs(shell.NewLex(ast.EscapeToken), args, platform)
	if err != nil {
		return err
	}
	for i, st := range stages {
		base, _, err := shell.NewLex(ast.EscapeToken).ProcessWord(st.BaseName, shell.EnvsFromSlice(env))
		if err != nil {
			return fmt.Errorf("line %d: FROM %s: %w", line(st.Location), st.BaseName, err)
		}
		if _, ok := named(stages[:i], base); !ok {
			r.image(st.Location, base, own)
		}
		for _, cmd := range st.Commands {
			r.command(cmd, stages, own)
		}
	}
	if len(r.found) == 0 {
		return nil
	}
	return model.WithHint(errors.Join(r.found...), untrustedHint)
}

// builtinFrontend says whether a `# syntax=` line names what BuildKit brings
// along: that one is used in its place.
func builtinFrontend(ref string) bool {
	repo, err := name.ParseReference(ref)
	return err == nil && repo.Context().Name() == name.DefaultRegistry+"/docker/dockerfile"
}

type refusals struct {
	file  string
	text  []byte
	found []error
}

func (r *refusals) add(at []parser.Range, reason string) {
	e := &BuildError{File: r.file, Line: line(at), Reason: reason}
	if lines := bytes.Split(r.text, []byte("\n")); e.Line >= 1 && e.Line <= len(lines) {
		e.Instruction = oneLine(strings.TrimSuffix(strings.TrimSpace(string(lines[e.Line-1])), "\\"))
	}
	r.found = append(r.found, e)
}

// image looks at a name that may be an image's.
func (r *refusals) image(at []parser.Range, ref string, own ownRegistry) {
	if ref == "" || ref == scratch {
		return
	}
	if reason := own.refuses(ref); reason != "" {
		r.add(at, reason)
	}
}

// from looks at what COPY --from and RUN --mount=from name.
func (r *refusals) from(at []parser.Range, from string, stages []instructions.Stage, own ownRegistry) {
	if _, err := strconv.Atoi(from); err == nil {
		return
	}
	if _, ok := named(stages, from); !ok {
		r.image(at, from, own)
	}
}

func (r *refusals) command(cmd instructions.Command, stages []instructions.Stage, own ownRegistry) {
	switch c := cmd.(type) {
	case *instructions.CopyCommand:
		r.from(c.Location(), c.From, stages, own)
	case *instructions.AddCommand:
		for _, src := range c.SourcePaths {
			if isRemote(src) {
				r.add(c.Location(), fmt.Sprintf("%q is fetched by the builder itself, which can reach more than the build may: fetch it with RUN", src))
			}
		}
	case *instructions.RunCommand:
		r.run(c, stages, own)
	}
}

// runFlags are the options of RUN that ask for no rights.
var runFlags = map[string]bool{"mount": true, "network": true}

func (r *refusals) run(c *instructions.RunCommand, stages []instructions.Stage, own ownRegistry) {
	for _, flag := range c.FlagsUsed {
		if !runFlags[flag] {
			r.add(c.Location(), "--"+flag+" asks for more privileges than a container has")
		}
	}
	if instructions.GetNetwork(c) == instructions.NetworkHost {
		r.add(c.Location(), "--network=host would use the builder's own network")
	}
	// The options of a mount are only read when variables are put in. Where
	// that fails, because one of them is a variable, what the mount is from
	// is known nevertheless; and there is no secret to be mounted.
	_ = c.Expand(func(word string) (string, error) { return word, nil })
	for _, m := range instructions.GetMounts(c) {
		switch m.Type {
		case instructions.MountTypeSecret, instructions.MountTypeSSH:
			r.add(c.Location(), fmt.Sprintf("--mount=type=%s: the build gets no credentials", m.Type))
		}
		r.from(c.Location(), m.From, stages, own)
	}
}

// isRemote says whether ADD would fetch a source.
func isRemote(src string) bool {
	if strings.Contains(src, "://") {
		return true
	}
	ref, isGit, err := dfgitutil.ParseGitRef(src)
	return isGit && (err != nil || ref != nil && !ref.IndistinguishableFromLocal)
}

// ownRegistry is where the installation's images live, as far as what is
// untrusted is concerned.
type ownRegistry struct {
	repositories string // canonical name of the address, ending in a slash
}

func newOwnRegistry(address string) (ownRegistry, error) {
	repo, err := name.NewRepository(address+"/x", name.StrictValidation)
	if err != nil {
		return ownRegistry{}, err
	}
	return ownRegistry{repositories: strings.TrimSuffix(repo.Name(), "x")}, nil
}

// refuses says why an image must not be used, or "".
func (o ownRegistry) refuses(written string) string {
	ref, err := name.ParseReference(written)
	if err != nil {
		return fmt.Sprintf("image %q: %v", written, err)
	}
	if strings.HasPrefix(ref.Context().Name(), o.repositories) {
		return "images from this installation's registry are not given to untrusted code"
	}
	if isInside(ref.Context().RegistryStr()) {
		return "the registry " + ref.Context().RegistryStr() + " is not public"
	}
	return ""
}

// isInside says whether a host, with or without a port, can only be meant where
// the builder stands: no address of the Internet, or a name without a domain.
func isInside(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.Trim(strings.TrimSuffix(host, "."), "[]"))
	if addr, err := netip.ParseAddr(host); err == nil {
		return outbound.Decide(netip.AddrPortFrom(addr, 443), outbound.Policy{}) != nil
	}
	if net.ParseIP(host) != nil || !strings.Contains(host, ".") {
		return true
	}
	// A last label of digits is an address in one of its older spellings.
	last := host[strings.LastIndexByte(host, '.')+1:]
	if _, err := strconv.ParseUint(last, 0, 64); err == nil {
		return true
	}
	switch last {
	case "localhost", "local", "internal", "svc", "lan", "home", "localdomain":
		return true
	}
	return false
}

// publicBase resolves an image that untrusted code names. It must be one that
// anybody may read, and none that this installation has built.
func (b *Builder) publicBase(ctx context.Context, written string) (image.Base, error) {
	if reason := b.own.refuses(written); reason != "" {
		return image.Base{}, model.WithHint(fmt.Errorf("image %s: %s", written, reason), untrustedHint)
	}
	base, err := b.anonymous.Base(ctx, written)
	if err != nil {
		return image.Base{}, err
	}
	if err := b.readable(ctx, base); err != nil {
		return image.Base{}, fmt.Errorf("image %s: %w", written, err)
	}
	return base, nil
}

// readable makes sure that anybody may read the image of that very digest. A
// registry that stands in for docker.io may be the installation's own, and
// docker.io/datahub/user then an image of one of its hubs.
func (b *Builder) readable(ctx context.Context, base image.Base) error {
	ref, err := name.ParseReference(base.Ref)
	if err != nil {
		return err
	}
	places := []name.Repository{ref.Context()}
	if ref.Context().RegistryStr() == name.DefaultRegistry {
		ours, err := b.beside(ref.Context().RepositoryStr())
		if err != nil {
			return err
		}
		built, err := b.isBuilt(ctx, ours.Digest(base.Digest))
		if err != nil {
			return err
		}
		if built {
			return model.WithHint(errors.New("the installation has built it, and its images are not given to untrusted code"), untrustedHint)
		}
		places = []name.Repository{ours, ref.Context()}
	}
	for _, place := range places {
		if _, err = remote.Head(place.Digest(base.Digest), b.lookUpIn(ctx, place, authn.NewMultiKeychain())...); err == nil {
			return nil
		}
	}
	return model.WithHint(fmt.Errorf("it cannot be read without credentials: %w", err), "use a public image, or let a maintainer push the change to a branch of the repository")
}

// beside is a repository at the host of the installation's registry.
func (b *Builder) beside(repository string) (name.Repository, error) {
	var options []name.Option
	if b.registry.Insecure() {
		options = append(options, name.Insecure)
	}
	return name.NewRepository(b.registry.Host()+"/"+repository, options...)
}

// isBuilt says whether the registry has the image and hubship has built it.
func (b *Builder) isBuilt(ctx context.Context, ref name.Digest) (bool, error) {
	desc, err := remote.Get(ref, b.lookUpIn(ctx, ref.Context(), b.registry.Keychain())...)
	var answer *transport.Error
	if errors.As(err, &answer) && answer.StatusCode < 500 {
		return false, nil // it has none, or has none for us
	}
	if err != nil {
		return false, err
	}
	var manifest struct {
		Annotations map[string]string `json:"annotations"`
	}
	if err := json.Unmarshal(desc.Manifest, &manifest); err != nil {
		return false, err
	}
	return manifest.Annotations[image.LabelKey] != "", nil
}

func (b *Builder) lookUpIn(ctx context.Context, place name.Repository, keychain authn.Keychain) []remote.Option {
	return []remote.Option{remote.WithContext(ctx), remote.WithTransport(b.registry.Transport(place)), remote.WithAuthFromKeychain(keychain), remote.WithUserAgent("hubship")}
}

// allowOnly makes BuildKit refuse every source but the build's own folders and
// these images, whoever names it.
func allowOnly(pins []pin) *sourcepolicy.Policy {
	policy := pinned(pins)
	rule := func(action sourcepolicy.PolicyAction, match sourcepolicy.MatchType, identifier string) {
		policy.Rules = append(policy.Rules, &sourcepolicy.Rule{
			Action: action, Selector: &sourcepolicy.Selector{Identifier: identifier, MatchType: match},
		})
	}
	// The last rule that matches decides.
	rule(sourcepolicy.PolicyAction_DENY, sourcepolicy.MatchType_REGEX, ".*")
	rule(sourcepolicy.PolicyAction_ALLOW, sourcepolicy.MatchType_REGEX, "^local://(context|dockerfile)$")
	for _, p := range pins {
		rule(sourcepolicy.PolicyAction_ALLOW, sourcepolicy.MatchType_EXACT, "docker-image://"+p.base.String())
		if !strings.Contains(p.written, "@") {
			continue
		}
		// Written with a digest, an image may have a tag besides.
		rule(sourcepolicy.PolicyAction_ALLOW, sourcepolicy.MatchType_REGEX,
			"^docker-image://"+regexp.QuoteMeta(p.base.Ref)+"(:[^@/]+)?@"+regexp.QuoteMeta(p.base.Digest)+"$")
	}
	return policy
}
