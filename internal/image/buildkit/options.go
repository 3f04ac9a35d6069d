// Package buildkit builds images with BuildKit. It alone imports BuildKit.
package buildkit

import (
	"errors"
	"fmt"
	"net/url"
	"runtime"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/hubship/hubship/internal/attest"
	"github.com/hubship/hubship/internal/image"
	"github.com/hubship/hubship/internal/outbound"
)

// Options say where images are built and where they go.
type Options struct {
	// Address of BuildKit: "unix:///run/hubship/default/buildkitd.sock" or
	// "tcp://10.0.0.7:1234".
	Address string
	// Registry that images are pushed to: host, with a port and a path prefix
	// if it has them. BuildKit must reach it under this very name.
	Registry string
	// Insecure lets the registry speak plain HTTP or show any certificate. A
	// registry on loopback always may.
	Insecure bool
	// Mirrors are asked for images of docker.io before docker.io; BuildKit
	// must be configured with the same. Nil means Registry if it is on
	// loopback.
	Mirrors []string
	// Platform that images are built for. "" means linux and the architecture
	// of this program.
	Platform string
	// Timeout of one build, push included. 0 means 30 minutes.
	Timeout time.Duration
	// Parallel is how many builds run at once. 0 means 2.
	Parallel int
	// Compression of new layers: zstd, gzip or uncompressed. "" means zstd: on
	// the layer of a user image it was 2.5 times as fast as gzip to write, 4
	// times as fast to unpack, and 15 % smaller.
	Compression string
	// Patience is how long BuildKit or the registry may be gone, for a restart
	// say, before that is an error. 0 means 1 minute, negative not at all.
	Patience time.Duration
	// Keychain has the registries' credentials; nil means those of the docker
	// configuration file. They go to BuildKit's own requests to the registry
	// and to those of base images, never into a build.
	Keychain authn.Keychain
	// Outside reaches registries that a change names; nil reaches the Internet
	// alone.
	Outside *outbound.Guard
	// Keys sign the provenance of what is built, and say whose provenance is
	// believed. Without them nothing can be built or found.
	Keys attest.Keys
}

// Validate reports what keeps the options from being used.
func (o Options) Validate() error {
	u, err := url.Parse(o.Address)
	if err != nil || (u.Scheme != "unix" && u.Scheme != "tcp") || (u.Path == "" && u.Host == "") {
		return fmt.Errorf("BuildKit address %q: want unix:///PATH or tcp://HOST:PORT", o.Address)
	}
	switch o.Compression {
	case "", "zstd", "gzip", "uncompressed":
	default:
		return fmt.Errorf("compression %q: want zstd, gzip or uncompressed", o.Compression)
	}
	if o.Timeout < 0 || o.Parallel < 0 {
		return errors.New("build timeout and number of parallel builds must not be negative")
	}
	return o.registry().Validate()
}

func (o Options) withDefaults() Options {
	if o.Platform == "" {
		o.Platform = "linux/" + runtime.GOARCH
	}
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Minute
	}
	if o.Parallel == 0 {
		o.Parallel = 2
	}
	if o.Compression == "" {
		o.Compression = "zstd"
	}
	if o.Patience == 0 {
		o.Patience = time.Minute
	}
	return o
}

func (o Options) registry() image.RegistryOptions {
	return image.RegistryOptions{
		Address: o.Registry, Insecure: o.Insecure, Mirrors: o.Mirrors,
		Keychain: o.Keychain, Patience: o.Patience, Outside: o.Outside,
	}
}
