package buildkit

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/session/auth"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/sourcepolicy"
	spb "github.com/moby/buildkit/sourcepolicy/pb"

	"github.com/hubship/hubship/internal/image"
	"github.com/hubship/hubship/internal/model"
)

func TestRefused(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		dockerfile string
		want       []string // what each refusal has; none: allowed
	}{
		"ordinary": {"# syntax=docker/dockerfile:1.7\nFROM debian AS a\nFROM a\nADD list.txt archive.tar.gz /\nCOPY --from=a /x /x\n" +
			"COPY --from=0 /x /x\nCOPY --from=nginx:1 /x /x\nRUN --mount=type=cache,target=/c --network=none true\n", nil},
		"variables in a mount": {"FROM debian\nARG U=1000\nRUN --mount=type=cache,target=/c,uid=$U true\n", nil},
		"own registry":         {"FROM 127.0.0.1:17420/datahub/user:h-1\n", []string{"Dockerfile:1: FROM 127.0.0.1:17420/datahub/user:h-1: images from this installation's registry"}},
		"own registry through a variable": {"ARG R=127.0.0.1\nFROM debian\nRUN true\nFROM ${R}:17420/hub\n",
			[]string{"Dockerfile:4: FROM ${R}:17420/hub: images"}},
		"own registry in a stage that is not used": {"FROM 127.0.0.1:17420/a AS b\nFROM debian\n", []string{"Dockerfile:1"}},
		"own registry, copied from":                {"FROM debian\nCOPY --from=127.0.0.1:17420/datahub/user /x /x\n", []string{"Dockerfile:2: COPY"}},
		"own registry, mounted from":               {"FROM debian\nRUN --mount=from=127.0.0.1:17420/datahub/user,target=/x true\n", []string{"Dockerfile:2: RUN"}},
		"own registry, mounted from beside a variable": {
			"FROM debian\nARG U=1\nRUN --mount=from=127.0.0.1:17420/u,target=/x --mount=type=cache,target=/c,uid=$U true\n", []string{"Dockerfile:3: RUN"}},
		"another spelling":       {"FROM localhost:17420/datahub/user\n", []string{"not public"}},
		"a private address":      {"FROM 10.0.0.7:5000/a\n", []string{"not public"}},
		"a cloud's metadata":     {"FROM 169.254.169.254/a\n", []string{"not public"}},
		"another frontend":       {"# syntax=evil.example/front:1\nFROM debian\n", []string{"Dockerfile:1: # syntax=evil.example/front:1: another frontend"}},
		"another's dockerfile":   {"# syntax=evil/dockerfile\nFROM debian\n", []string{"Dockerfile:1"}},
		"http":                   {"FROM debian\nADD https://example.org/a.tgz http://10.0.0.1/ /\n", []string{`Dockerfile:2: ADD https://example.org/a.tgz http://10.0.0.1/ /: "https://example.org/a.tgz" is fetched`, `"http://10.0.0.1/"`}},
		"git":                    {"FROM debian\nADD https://github.com/a/b.git /b\nADD git@example.org:a/b.git /c\n", []string{"Dockerfile:2", "Dockerfile:3"}},
		"secret":                 {"FROM debian\n\nRUN --mount=type=secret,id=x \\\n  cat /run/secrets/x\n", []string{"Dockerfile:3: RUN --mount=type=secret,id=x: --mount=type=secret: the build gets no credentials"}},
		"ssh":                    {"FROM debian\nRUN --mount=type=ssh true\n", []string{"Dockerfile:2"}},
		"the builder's network":  {"FROM debian\nRUN --network=host true\n", []string{"Dockerfile:2: RUN --network=host true: --network=host would"}},
		"all rights":             {"FROM debian\nRUN --security=insecure true\n", []string{"Dockerfile:2: RUN --security=insecure true: --security asks for"}},
		"a device":               {"FROM debian\nRUN --device=vendor/class=x true\n", []string{"Dockerfile:2"}},
		"two things":             {"FROM debian\nRUN --network=host true\nRUN --mount=type=ssh true\n", []string{"Dockerfile:2", "Dockerfile:3"}},
		"in a here-document":     {"FROM debian\nRUN <<EOF\nADD https://example.org /\nEOF\n", nil},
		"digest of an own image": {"FROM 127.0.0.1:17420/a@sha256:" + strings.Repeat("a", 64) + "\n", []string{"Dockerfile:1"}},
	}
	own, err := newOwnRegistry("127.0.0.1:17420")
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := refused([]byte(tt.dockerfile), "Dockerfile", "linux/amd64", own)
			if len(tt.want) == 0 {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			var be *BuildError
			if !errors.As(err, &be) || model.HintOf(err) == "" {
				t.Fatalf("error %v (%T), want a BuildError with a hint", err, err)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q lacks %q", err, want)
				}
			}
			if got := strings.Count(err.Error(), "\n") + 1; got != len(tt.want) {
				t.Errorf("%d refusals, want %d: %v", got, len(tt.want), err)
			}
		})
	}
}

func TestOwnRegistry(t *testing.T) {
	t.Parallel()
	for address, images := range map[string]map[string]bool{
		"ghcr.io/campus/hubs": {"ghcr.io/campus/hubs/user:1": true, "ghcr.io/campus/hubs-base:1": false, "ghcr.io/other/a": false, "debian": false},
		"docker.io/campus":    {"campus/user": true, "docker.io/campus/user": true, "index.docker.io/campus/user@sha256:" + strings.Repeat("a", 64): true, "debian": false, "campusx/user": false},
		"registry.example":    {"registry.example/a": true, "registry.example:443/a": false},
	} {
		own, err := newOwnRegistry(address)
		if err != nil {
			t.Fatal(err)
		}
		for ref, want := range images {
			if got := own.refuses(ref); (got != "") != want {
				t.Errorf("%s at %s: %q", ref, address, got)
			}
		}
	}
}

func TestIsInside(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]bool{
		"docker.io": false, "ghcr.io:443": false, "1.1.1.1": false, "[2606:4700::1111]:443": false, "93.184.216.34": false,
		"127.0.0.1:5000": true, "10.1.2.3": true, "172.16.0.1": true, "192.168.1.1:80": true, "169.254.169.254": true,
		"100.64.1.1": true, "0.0.0.0": true, "[::1]:5000": true, "[fd00::1]": true, "[fe80::1]": true, "[::ffff:10.0.0.1]": true,
		"localhost:5000": true, "registry": true, "registry:5000": true, "hub.default.svc": true, "kubernetes.default.svc.cluster.local": true,
		"metadata.google.internal": true, "printer.lan": true, "a.localhost": true, "127.1": true, "10.0.0.0x1": true, "docker.io.": false,
	} {
		if got := isInside(host); got != want {
			t.Errorf("isInside(%s) = %v", host, got)
		}
	}
}

// BuildKit's own engine says what the policy lets through.
func TestAllowOnly(t *testing.T) {
	t.Parallel()
	digest := "sha256:" + strings.Repeat("a", 64)
	policy := allowOnly([]pin{
		{written: "debian:bookworm-slim", base: image.Base{Ref: "docker.io/library/debian:bookworm-slim", Digest: digest}},
		{written: "nginx@" + digest, base: image.Base{Ref: "docker.io/library/nginx", Digest: digest}},
	})
	for identifier, want := range map[string]string{
		"docker-image://docker.io/library/debian:bookworm-slim": "docker-image://docker.io/library/debian:bookworm-slim@" + digest,
		"docker-image://docker.io/library/nginx@" + digest:      "docker-image://docker.io/library/nginx@" + digest,
		"docker-image://docker.io/library/nginx:1@" + digest:    "docker-image://docker.io/library/nginx:1@" + digest,
		"local://context":    "local://context",
		"local://dockerfile": "local://dockerfile",

		"docker-image://docker.io/library/debian:trixie":       "",
		"docker-image://docker.io/datahub/user:h-1":            "",
		"docker-image://127.0.0.1:17420/datahub/user:h-1":      "",
		"docker-image://docker.io/library/nginx/x:1@" + digest: "",
		"https://example.org/a.tgz":                            "",
		"http://10.0.0.1/":                                     "",
		"git://github.com/a/b.git#main":                        "",
		"oci-layout://x@" + digest:                             "",
		"local://other":                                        "",
	} {
		op := &pb.SourceOp{Identifier: identifier}
		_, err := sourcepolicy.NewEngine([]*spb.Policy{policy}).Evaluate(t.Context(), op)
		switch {
		case want == "" && !errors.Is(err, sourcepolicy.ErrSourceDenied):
			t.Errorf("%s is let through: %s, %v", identifier, op.Identifier, err)
		case want != "" && (err != nil || op.Identifier != want):
			t.Errorf("%s became %s, %v", identifier, op.Identifier, err)
		}
	}
}

func TestHarden(t *testing.T) {
	t.Parallel()
	key := func(char string) want { return want{built: model.Built{Key: strings.Repeat(char, 64), Name: "r/a"}} }
	apart := func(w want) (mounts, steps, files string) {
		opt := client.SolveOpt{FrontendAttrs: map[string]string{}}
		harden(&opt, w)
		return opt.FrontendAttrs["build-arg:BUILDKIT_CACHE_MOUNT_NS"], opt.FrontendAttrs["hostname"], opt.SharedKey
	}
	mounts, steps, files := apart(key("a"))
	otherMounts, otherSteps, otherFiles := apart(key("b"))
	if mounts == otherMounts || steps == otherSteps || files == otherFiles {
		t.Error("two untrusted builds share something")
	}
	// With a slash in it, BuildKit would take a mount at its default place for
	// a named one, and leave it out of the step's key.
	if strings.Contains(mounts, "/") || mounts == "" || len(steps) > 63 {
		t.Errorf("namespace %q, host name %q", mounts, steps)
	}
}

func TestUntrustedCredentials(t *testing.T) {
	t.Parallel()
	b, err := New(Options{
		Address: "unix:///none.sock", Registry: "registry.campus.example/hubs",
		Keychain: wallet{"registry.campus.example": {Username: "ci", Password: "p1"}, "other.example": {Username: "ci", Password: "p2"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	ring := b.credentials(want{untrusted: true, bases: []pin{{base: image.Base{Ref: "other.example/a:1"}}}}).(*keyring)
	for host, want := range map[string]string{"registry.campus.example": "ci", "other.example": ""} {
		got, err := ring.Credentials(t.Context(), &auth.CredentialsRequest{Host: host})
		if err != nil || got.Username != want {
			t.Errorf("Credentials(%s) = %v, %v; want user %q", host, got, err, want)
		}
	}
}

// A registry that stands in for docker.io has base images, which are for
// everybody, and the installation's own.
func TestPublicBase(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(registry.New(registry.Logger(discard())))
	defer s.Close()
	host := strings.TrimPrefix(s.URL, "http://")
	push := func(repository string, annotations map[string]string) string {
		t.Helper()
		img, err := random.Image(100, 1)
		if err != nil {
			t.Fatal(err)
		}
		img = mutate.Annotations(img, annotations).(v1.Image)
		ref, err := name.NewTag(host + "/" + repository + ":1")
		if err != nil {
			t.Fatal(err)
		}
		if err := remote.Write(ref, img); err != nil {
			t.Fatal(err)
		}
		digest, err := img.Digest()
		if err != nil {
			t.Fatal(err)
		}
		return digest.String()
	}
	base := push("library/base", nil)
	built := push("datahub/user", map[string]string{image.LabelKey: "k"})
	b, err := New(Options{Address: "unix:///none.sock", Registry: host, Keychain: authn.NewMultiKeychain()})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for _, ref := range []string{"base:1", "base@" + base, "docker.io/library/base:1"} {
		if got, err := b.publicBase(t.Context(), ref); err != nil || got.Digest != base {
			t.Errorf("publicBase(%s) = %v, %v", ref, got, err)
		}
	}
	for _, ref := range []string{"datahub/user:1", "datahub/user@" + built, "docker.io/datahub/user:1", host + "/datahub/user:1", host + "/library/base:1"} {
		if got, err := b.publicBase(t.Context(), ref); err == nil || model.HintOf(err) == "" {
			t.Errorf("publicBase(%s) = %v, %v; want it refused", ref, got, err)
		}
	}
}
