// Package images fills a node's registry with what no public registry is needed
// for: the static programs that run in pods, and a Debian base image made from
// Debian packages.
package images

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/hubship/hubship/node/internal/registryauth"
)

// Dialer connects to the node's own loopback.
type Dialer interface {
	DialLoopback(port int) (net.Conn, error)
}

// Registry is the node's registry.
type Registry struct {
	addr      string
	transport http.RoundTripper
	account   authn.Authenticator
}

// Open returns the registry at addr, a port of the node's loopback. credentials
// is the docker configuration file of the account that pushes.
func Open(addr string, port int, credentials string, dialer Dialer) (*Registry, error) {
	account, password, err := registryauth.Read(credentials, addr)
	if err != nil {
		return nil, err
	}
	return &Registry{
		addr: addr, account: &authn.Basic{Username: account, Password: password},
		transport: &http.Transport{
			DialContext: func(context.Context, string, string) (net.Conn, error) {
				return dialer.DialLoopback(port)
			},
		},
	}, nil
}

func (r *Registry) options(ctx context.Context) []remote.Option {
	return []remote.Option{remote.WithContext(ctx), remote.WithTransport(r.transport), remote.WithAuth(r.account)}
}

func (r *Registry) ref(repository, tag string) (name.Tag, error) {
	return name.NewTag(r.addr+"/"+repository+":"+tag, name.Insecure, name.StrictValidation)
}

// Has reports whether the registry holds an image under a tag.
func (r *Registry) Has(ctx context.Context, repository, tag string) (bool, error) {
	ref, err := r.ref(repository, tag)
	if err != nil {
		return false, fmt.Errorf("look for image %s:%s: %w", repository, tag, err)
	}
	_, err = remote.Head(ref, r.options(ctx)...)
	var status *transport.Error
	switch {
	case err == nil:
		return true, nil
	case errors.As(err, &status) && status.StatusCode == http.StatusNotFound:
		return false, nil
	default:
		return false, fmt.Errorf("look for image %s:%s: %w", repository, tag, err)
	}
}

func (r *Registry) push(ctx context.Context, repository, tag string, image v1.Image) error {
	ref, err := r.ref(repository, tag)
	if err != nil {
		return fmt.Errorf("push image %s:%s: %w", repository, tag, err)
	}
	if err := remote.Write(ref, image, r.options(ctx)...); err != nil {
		return fmt.Errorf("push image %s:%s: %w", repository, tag, err)
	}
	return nil
}

// fixedTime makes an image the same whenever it is made.
var fixedTime = time.Unix(0, 0).UTC()

// Program describes an image that holds one static program.
type Program struct {
	Repository, Tag string
	// Path is the program on this machine; it becomes /NAME in the image.
	Path string
	// User is the numeric user that runs it.
	User string
}

// PushProgram makes the image of a static program and pushes it. An image that
// the registry has already with the same content is not sent again.
func (r *Registry) PushProgram(ctx context.Context, p Program) error {
	binary, err := os.ReadFile(p.Path)
	if err != nil {
		return fmt.Errorf("build image %s: %w", p.Repository, err)
	}
	program := filepath.Base(p.Path)
	layer, err := layerOf(binary, program)
	if err != nil {
		return fmt.Errorf("build image %s: %w", p.Repository, err)
	}
	image, err := assemble(layer, v1.Config{
		Entrypoint: []string{"/" + program}, User: p.User, WorkingDir: "/",
		Env: []string{"PATH=/"},
	}, fixedTime)
	if err != nil {
		return fmt.Errorf("build image %s: %w", p.Repository, err)
	}
	return r.push(ctx, p.Repository, p.Tag, image)
}

func layerOf(binary []byte, program string) (v1.Layer, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, dir := range []string{"tmp/", "etc/"} {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755, ModTime: fixedTime}); err != nil {
			return nil, err
		}
	}
	if err := w.WriteHeader(&tar.Header{Name: program, Mode: 0o755, Size: int64(len(binary)), ModTime: fixedTime}); err != nil {
		return nil, err
	}
	if _, err := w.Write(binary); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(b.Bytes())), nil
	}, tarball.WithMediaType(types.OCILayer), tarball.WithCompressionLevel(gzip.BestSpeed))
}

// assemble makes an image of one layer. Operating system and architecture are
// set: BuildKit refuses an image without them.
func assemble(layer v1.Layer, config v1.Config, created time.Time) (v1.Image, error) {
	image, err := mutate.AppendLayers(
		mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON), layer)
	if err != nil {
		return nil, err
	}
	file, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture = "linux", runtime.GOARCH
	file.Created = v1.Time{Time: created}
	file.Config = config
	return mutate.ConfigFile(image, file)
}
