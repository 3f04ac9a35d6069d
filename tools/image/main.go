// Command image writes hubship's container image as an OCI image layout, for
// one or more platforms. Equal inputs make equal images.
//
// Usage: image VERSION SECONDS DIR ARCHITECTURE:ROOTFS:PROGRAM[:PROGRAM]...
//
// SECONDS since 1970 are the time that the image is said to be made at, DIR is
// the folder to write, ROOTFS a tar file with what is below the programs, which
// keep their file names. The argument after DIR is one for each platform.
package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// The account that the server runs as in the image, and its data directory.
const (
	account = 65532
	data    = "var/lib/hubship"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 4 {
		return errors.New("usage: image VERSION SECONDS DIR ARCHITECTURE:ROOTFS:PROGRAM[:PROGRAM]...")
	}
	seconds, err := strconv.ParseInt(args[1], 10, 64)
	if err != nil {
		return fmt.Errorf("the time: %w", err)
	}
	made := time.Unix(seconds, 0).UTC()
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, arg := range args[3:] {
		parts := strings.Split(arg, ":")
		if len(parts) < 3 {
			return fmt.Errorf("%q is not ARCHITECTURE:ROOTFS:PROGRAM[:PROGRAM]", arg)
		}
		img, err := build(args[0], made, parts[0], parts[1], parts[2:])
		if err != nil {
			return fmt.Errorf("the image for %s: %w", parts[0], err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{
			MediaType: types.OCIManifestSchema1, Platform: &v1.Platform{OS: "linux", Architecture: parts[0]},
		}})
	}
	if _, err := layout.Write(args[2], index); err != nil {
		return err
	}
	written, err := layout.ImageIndexFromPath(args[2])
	if err != nil {
		return err
	}
	return validate.Index(written)
}

// build makes the image of one platform.
func build(version string, made time.Time, architecture, rootfs string, programs []string) (v1.Image, error) {
	base, err := tarball.LayerFromFile(rootfs, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	own, err := programLayer(made, programs)
	if err != nil {
		return nil, err
	}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	at := v1.Time{Time: made}
	img, err = mutate.Append(img,
		mutate.Addendum{Layer: base, History: v1.History{Created: at, CreatedBy: "Debian: git, ca-certificates"}},
		mutate.Addendum{Layer: own, History: v1.History{Created: at, CreatedBy: "hubship " + version}})
	if err != nil {
		return nil, err
	}
	file, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Created = "linux", architecture, at
	file.Config = v1.Config{
		User:       fmt.Sprintf("%d:%d", account, account),
		Entrypoint: []string{"/usr/bin/hubship"},
		Cmd:        []string{"serve"},
		WorkingDir: "/" + data,
		Env:        []string{"PATH=/usr/bin:/bin", "HOME=/" + data},
		Labels: map[string]string{
			"org.opencontainers.image.title":    "hubship",
			"org.opencontainers.image.version":  version,
			"org.opencontainers.image.licenses": "Apache-2.0",
			"org.opencontainers.image.source":   "https://github.com/hubship/hubship",
		},
	}
	return mutate.ConfigFile(img, file)
}

// programLayer holds the programs and their data directory.
func programLayer(made time.Time, programs []string) (v1.Layer, error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	add := func(h *tar.Header, content []byte) error {
		h.ModTime, h.Format = made, tar.FormatPAX
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		_, err := w.Write(content)
		return err
	}
	for _, program := range programs {
		bin, err := os.ReadFile(program)
		if err != nil {
			return nil, err
		}
		if err := add(&tar.Header{Typeflag: tar.TypeReg, Name: "usr/bin/" + filepath.Base(program), Mode: 0o755, Size: int64(len(bin))}, bin); err != nil {
			return nil, err
		}
	}
	if err := add(&tar.Header{Typeflag: tar.TypeDir, Name: data + "/", Mode: 0o700, Uid: account, Gid: account}, nil); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(buf.Bytes())), nil }, tarball.WithMediaType(types.OCILayer))
}
