package buildkit

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/moby/buildkit/session/auth"

	"github.com/hubship/hubship/internal/image"
)

// wallet has credentials for some hosts and a broken helper for others.
type wallet map[string]authn.AuthConfig

func (w wallet) Resolve(r authn.Resource) (authn.Authenticator, error) {
	cfg, ok := w[r.RegistryStr()]
	if !ok {
		return authn.Anonymous, nil
	}
	if cfg.Username == "broken" {
		return nil, errors.New("helper said: " + cfg.Password)
	}
	return authn.FromConfig(cfg), nil
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	b, err := New(Options{
		Address: "unix:///none.sock", Registry: "registry.campus.example/hubs",
		Keychain: wallet{
			"registry.campus.example": {Username: "ci", Password: "p1"},
			"index.docker.io":         {Username: "hub", Password: "p2"},
			"token.example":           {IdentityToken: "t3"},
			"elsewhere.example":       {Username: "ci", Password: "p4"},
			"broken.example":          {Username: "broken", Password: "p5"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	ring := b.credentials(want{bases: []pin{
		{base: image.Base{Ref: "docker.io/library/debian:bookworm-slim"}},
		{base: image.Base{Ref: "token.example/a:1"}}, {base: image.Base{Ref: "broken.example/a:1"}},
	}}).(*keyring)

	for host, want := range map[string][2]string{
		"registry.campus.example": {"ci", "p1"},
		"registry-1.docker.io":    {"hub", "p2"}, // as BuildKit asks for docker.io
		"docker.io":               {"hub", "p2"},
		"token.example":           {"", "t3"},
		"elsewhere.example":       {"", ""}, // no image of this build is there
		"unknown.example":         {"", ""},
	} {
		got, err := ring.Credentials(t.Context(), &auth.CredentialsRequest{Host: host})
		if err != nil || got.Username != want[0] || got.Secret != want[1] {
			t.Errorf("Credentials(%s) = %v, %v; want %v", host, got, err, want)
		}
	}
	_, err = ring.Credentials(t.Context(), &auth.CredentialsRequest{Host: "broken.example"})
	if err == nil || strings.Contains(err.Error(), "p5") {
		t.Errorf("a broken credential helper: %v; want an error without its output", err)
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	good := Options{Address: "unix:///run/buildkitd.sock", Registry: "127.0.0.1:17420"}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for what, change := range map[string]func(*Options){
		"no address":            func(o *Options) { o.Address = "" },
		"address without a way": func(o *Options) { o.Address = "/run/buildkitd.sock" },
		"other scheme":          func(o *Options) { o.Address = "ssh://host" },
		"no registry":           func(o *Options) { o.Registry = "" },
		"registry with scheme":  func(o *Options) { o.Registry = "https://ghcr.io" },
		"compression":           func(o *Options) { o.Compression = "lzma" },
		"negative timeout":      func(o *Options) { o.Timeout = -1 },
		"mirror":                func(o *Options) { o.Mirrors = []string{"a b"} },
	} {
		o := good
		change(&o)
		if err := o.Validate(); err == nil {
			t.Errorf("%s: no error", what)
		}
		if b, err := New(o); err == nil {
			t.Errorf("%s: New takes it", what)
			_ = b.Close()
		}
	}
}
