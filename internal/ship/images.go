package ship

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/dbos-inc/dbos-transact-golang/dbos"

	"github.com/hubship/hubship/internal/model"
)

// imageFinder looks sources up in the registry, each once a run.
type imageFinder struct {
	images Images
	repo   Repository
	commit string

	mu   sync.Mutex
	tree fs.FS
	seen map[string]*found // by Source.ID
}

type found struct {
	once  sync.Once
	built model.Built
	ok    bool
	err   error
}

func newImageFinder(images Images, repo Repository, commit string) *imageFinder {
	return &imageFinder{images: images, repo: repo, commit: commit, seen: map[string]*found{}}
}

// find returns those of the sources that the registry has.
func (f *imageFinder) find(ctx context.Context, sources []model.Source) ([]model.Built, error) {
	f.mu.Lock()
	if f.tree == nil {
		tree, err := f.repo.FS(ctx, f.commit)
		if err != nil {
			f.mu.Unlock()
			return nil, err
		}
		f.tree = tree
	}
	f.mu.Unlock()
	var have []model.Built
	for _, src := range sources {
		f.mu.Lock()
		hit, ok := f.seen[src.ID]
		if !ok {
			hit = &found{}
			f.seen[src.ID] = hit
		}
		f.mu.Unlock()
		hit.once.Do(func() { hit.built, hit.ok, hit.err = f.images.Find(ctx, f.tree, src) })
		if hit.err != nil {
			return nil, fmt.Errorf("look for image %s: %w", src.ID, hit.err)
		}
		if hit.ok {
			have = append(have, hit.built)
		}
	}
	return have, nil
}

// builtImage is the outcome of building one image.
type builtImage = outcome[model.Built]

// buildImages builds what the plan misses, each image as a step of its own
// and side by side; the builder bounds how many at once. The result holds a
// failed build too: it holds back only the releases that use it.
func (e *Engine) buildImages(ctx dbos.Context, r *model.Run, p runPlan) (map[string]builtImage, error) {
	results := map[string]builtImage{}
	if len(p.Build) == 0 {
		return results, nil
	}
	channels := make([]<-chan dbos.StepOutcome[builtImage], len(p.Build))
	for i, src := range p.Build {
		ch, err := dbos.Go(ctx, func(ctx context.Context) (builtImage, error) {
			return attempt(ctx, e, r.ID, func(ctx context.Context) (model.Built, error) {
				return e.buildImage(ctx, r.ID, r.Commit, src, model.BuildOptions{
					Origin: model.Origin{Run: r.ID, Commit: r.Commit, Process: r.Process, Into: r.Environment},
					Merged: func(ctx context.Context, commit string) (bool, error) { return e.merged(ctx, commit, r.Commit) },
				})
			})
		}, dbos.WithStepName("image "+src.ID))
		if err != nil {
			return nil, err
		}
		channels[i] = ch
	}
	for i, ch := range channels {
		out := <-ch
		if out.Err != nil {
			return nil, out.Err
		}
		src, res := p.Build[i], out.Result
		results[src.ID] = res
		// Side by side, so the run waited for the longest.
		r.Durations.Build = max(r.Durations.Build, res.Took)
		if res.Err == "" {
			r.Images = append(r.Images, res.Value)
		}
	}
	return results, nil
}

// merged says whether a commit is part of another one. One that is not known
// any more is not.
func (e *Engine) merged(ctx context.Context, commit, into string) (bool, error) {
	ok, err := e.Repository.IsAncestor(ctx, commit, into)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return ok, err
}

// deployable refuses images that are not, at the last moment, in the registry
// with a provenance that lets them be deployed.
func (e *Engine) deployable(ctx context.Context, images []model.Built) error {
	for _, b := range images {
		ok, err := e.Images.Exists(ctx, b)
		if err != nil {
			return err
		}
		if !ok {
			return model.WithHint(fmt.Errorf("image %s (%s@%s) is not in the registry with a provenance that this installation signed", b.ID, b.Ref(), b.Digest),
				"deploy again: what has none is built anew in the first environment")
		}
	}
	return nil
}

// buildImage checks the build context out and builds it.
func (e *Engine) buildImage(ctx context.Context, run, commit string, src model.Source, opts model.BuildOptions) (model.Built, error) {
	scope := "image " + src.ID
	dir, err := os.MkdirTemp(e.opts.WorkDir, "build-")
	if err != nil {
		return model.Built{}, model.WithHint(fmt.Errorf("make a folder for the build context: %w", err), "check space and permissions of the data directory")
	}
	defer os.RemoveAll(dir)
	for _, p := range buildPaths(src) {
		err := e.Repository.Checkout(ctx, commit, p, filepath.Join(dir, filepath.FromSlash(p)))
		if strings.HasSuffix(p, ".dockerignore") && errors.Is(err, fs.ErrNotExist) {
			continue // it need not exist
		}
		if err != nil {
			return model.Built{}, fmt.Errorf("check out %s at %.12s: %w", p, commit, err)
		}
	}
	e.say(run, scope, model.LevelInfo, "building from %s at %.12s", src.Context, commit)
	log := &lineLog{emit: func(text string) { e.say(run, scope, model.LevelDebug, "%s", text) }}
	built, err := e.Images.Build(ctx, dir, src, opts, log)
	log.flush()
	if err != nil {
		for _, text := range strings.Split(err.Error(), "\n") {
			e.say(run, scope, model.LevelError, "%s", text)
		}
		return built, err
	}
	if !built.Rebuilt {
		e.say(run, scope, model.LevelInfo, "found %s (%s)", built.Ref(), built.Digest)
		return built, nil
	}
	e.say(run, scope, model.LevelInfo, "pushed %s (%s, %.1f MB)", built.Ref(), built.Digest, float64(built.Size)/1e6)
	return built, nil
}

// buildPaths lists what a build needs from the tree: the context, and the
// build file with its own ignore list when that is elsewhere.
func buildPaths(src model.Source) []string {
	paths := []string{src.Context}
	if src.Context != "." && !strings.HasPrefix(src.Dockerfile, strings.TrimSuffix(src.Context, "/")+"/") {
		paths = append(paths, src.Dockerfile, src.Dockerfile+".dockerignore")
	}
	return paths
}

// clearWorkDir removes build contexts that a killed process left.
func (e *Engine) clearWorkDir() error {
	if e.opts.WorkDir == "" {
		return nil
	}
	if err := os.MkdirAll(e.opts.WorkDir, 0o700); err != nil {
		return fmt.Errorf("make the work folder: %w", err)
	}
	left, err := filepath.Glob(filepath.Join(e.opts.WorkDir, "build-*"))
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

// lineLog splits what is written into lines.
type lineLog struct {
	mu   sync.Mutex
	rest []byte
	emit func(string)
}

// maxLogLine bounds a line of a run's log, in bytes.
const maxLogLine = 4000

func (l *lineLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest = append(l.rest, p...)
	for {
		i := bytes.IndexByte(l.rest, '\n')
		if i < 0 && len(l.rest) < maxLogLine {
			return len(p), nil
		}
		if i < 0 || i > maxLogLine {
			i = maxLogLine
			l.emit(string(l.rest[:i]))
			l.rest = l.rest[i:]
			continue
		}
		l.emit(string(l.rest[:i]))
		l.rest = l.rest[i+1:]
	}
}

func (l *lineLog) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.rest) > 0 {
		l.emit(string(l.rest))
		l.rest = nil
	}
}
