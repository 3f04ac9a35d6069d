// Package build writes parts of a commit to the work folder, to build images from
// them or to run tests on them.
package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/ship/runs"
)

// Repository is the deployment repository. internal/ship says what its method
// does.
type Repository interface {
	Checkout(ctx context.Context, commit, path, dir string) error
}

// Images builds images. internal/ship says what its method does.
type Images interface {
	Build(ctx context.Context, dir string, src model.Source, opts model.BuildOptions, log io.Writer) (model.Built, error)
}

// Builder builds images of commits, in folders below Dir.
type Builder struct {
	Repository Repository
	Images     Images
	Journal    *runs.Journal
	Dir        string // the work folder
}

// prefix begins the name of each folder that is made below Dir.
const prefix = "build-"

// Image checks out the build context of an image and builds it, and reports this in
// the run's log. An error that is model.ErrSource is the source's fault.
func (b Builder) Image(ctx context.Context, run, commit string, src model.Source, opts model.BuildOptions) (model.Built, error) {
	scope := "image " + src.ID
	dir, err := os.MkdirTemp(b.Dir, prefix)
	if err != nil {
		return model.Built{}, model.WithHint(fmt.Errorf("create a folder for the build context: %w", err), "check the free space and permissions of the data directory")
	}
	defer os.RemoveAll(dir)
	for _, p := range paths(src) {
		err := b.Repository.Checkout(ctx, commit, p, filepath.Join(dir, filepath.FromSlash(p)))
		if strings.HasSuffix(p, ".dockerignore") && errors.Is(err, fs.ErrNotExist) {
			continue // it need not exist
		}
		if err != nil {
			return model.Built{}, fmt.Errorf("check out %s at %.12s: %w", p, commit, err)
		}
	}
	b.Journal.Say(run, scope, model.LevelInfo, "building from %s at %.12s", src.Context, commit)
	log := b.Journal.Output(run, scope)
	built, err := b.Images.Build(ctx, dir, src, opts, log)
	log.Flush()
	if err != nil {
		for _, text := range strings.Split(err.Error(), "\n") {
			b.Journal.Say(run, scope, model.LevelError, "%s", text)
		}
		return built, err
	}
	if !built.Rebuilt {
		b.Journal.Say(run, scope, model.LevelInfo, "found %s (%s)", built.Ref(), built.Digest)
		return built, nil
	}
	b.Journal.Say(run, scope, model.LevelInfo, "pushed %s (%s, %.1f MB)", built.Ref(), built.Digest, float64(built.Size)/1e6)
	return built, nil
}

// paths lists what a build needs from the tree: the context, and the build file
// with its own ignore list when that is elsewhere.
func paths(src model.Source) []string {
	all := []string{src.Context}
	if src.Context != "." && !strings.HasPrefix(src.Dockerfile, strings.TrimSuffix(src.Context, "/")+"/") {
		all = append(all, src.Dockerfile, src.Dockerfile+".dockerignore")
	}
	return all
}

// Checkout writes those files of a commit that are wanted to a new folder,
// which the caller removes.
func (b Builder) Checkout(ctx context.Context, commit string, wanted func(name string) bool) (dir string, err error) {
	dir, err = os.MkdirTemp(b.Dir, prefix)
	if err != nil {
		return "", model.WithHint(fmt.Errorf("create a folder for a test: %w", err), "check the free space and permissions of the data directory")
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	if err := b.Repository.Checkout(ctx, commit, ".", dir); err != nil {
		return "", fmt.Errorf("check out %.12s: %w", commit, err)
	}
	return dir, filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil || wanted(filepath.ToSlash(rel)) {
			return err
		}
		return os.Remove(name)
	})
}

// Clear creates the work folder, and removes what a killed process left in it.
func (b Builder) Clear() error {
	if b.Dir == "" {
		return nil
	}
	if err := os.MkdirAll(b.Dir, 0o700); err != nil {
		return fmt.Errorf("create the work folder: %w", err)
	}
	left, err := filepath.Glob(filepath.Join(b.Dir, prefix+"*"))
	if err != nil {
		return err
	}
	for _, dir := range left {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("remove a leftover build context: %w", err)
		}
	}
	return nil
}
