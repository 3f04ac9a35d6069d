// Package repo is the deployment repository: what it describes at a commit,
// and what each release should be, known from Git trees alone.
package repo

import (
	"context"
	"fmt"
	"io/fs"
	"sync"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/hubship/hubship/internal/config"
	"github.com/hubship/hubship/internal/git"
	"github.com/hubship/hubship/internal/model"
)

// Options say how a Repository works.
type Options struct {
	// Platform is that of the images; empty means "linux/amd64". It is part
	// of what an image is made of.
	Platform string
	// Commits is how many commits are kept in memory; 0 means 16.
	Commits int
}

const (
	defaultCommits = 16
	maxLog         = 1000
)

// Repository is a deployment repository. It is safe for concurrent use.
type Repository struct {
	git  *git.Repo
	opts Options

	mu        sync.Mutex // guards the look-up and insertion together
	snapshots *lru.Cache[string, *snapshot]
}

// New returns the deployment repository in a Git repository, which the caller
// keeps open for as long and closes.
func New(r *git.Repo, opts Options) *Repository {
	if opts.Platform == "" {
		opts.Platform = "linux/amd64"
	}
	if opts.Commits <= 0 {
		opts.Commits = defaultCommits
	}
	cache, _ := lru.New[string, *snapshot](opts.Commits) // fails only for a size below 1
	return &Repository{git: r, opts: opts, snapshots: cache}
}

// Git returns the Git repository below.
func (r *Repository) Git() *git.Repo { return r.git }

// Resolve returns the full commit id that a revision names.
func (r *Repository) Resolve(ctx context.Context, rev string) (string, error) {
	return r.git.Resolve(ctx, rev)
}

// Head returns the commit of a branch, or "" if there is no such branch.
func (r *Repository) Head(ctx context.Context, branch string) (string, error) {
	return r.git.Head(ctx, branch)
}

// Subject returns the first line of the commit's message.
func (r *Repository) Subject(ctx context.Context, commit string) (string, error) {
	return r.git.Subject(ctx, commit)
}

// IsAncestor says whether old is new or one of its ancestors.
func (r *Repository) IsAncestor(ctx context.Context, old, new string) (bool, error) {
	return r.git.IsAncestor(ctx, old, new)
}

// Log lists the commits that head has and base has not, newest first, as
// "abc1234 subject (author)"; an empty base means all. At most 1,000 are
// listed.
func (r *Repository) Log(ctx context.Context, base, head string) ([]string, error) {
	commits, err := r.git.Log(ctx, base, head, maxLog)
	if err != nil {
		return nil, err
	}
	lines := make([]string, 0, len(commits))
	for _, c := range commits {
		lines = append(lines, c.String())
	}
	return lines, nil
}

// Fleet reads what the repository describes at the commit. The answer is kept
// and must not be changed.
func (r *Repository) Fleet(ctx context.Context, commit string) (*model.Fleet, error) {
	s, err := r.snapshot(ctx, commit)
	if err != nil {
		return nil, fmt.Errorf("read deployment repository: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	cfg, err := s.configuration()
	if err != nil {
		return nil, fmt.Errorf("read deployment repository at %.12s: %w", commit, err)
	}
	return cfg.Fleet, nil
}

// FS is the tree of the commit, read-only. Symbolic links are not followed out
// of it.
func (r *Repository) FS(ctx context.Context, commit string) (fs.FS, error) {
	s, err := r.snapshot(ctx, commit)
	if err != nil {
		return nil, err
	}
	return s.tree.FS(), nil
}

// Files names every file, symbolic link and submodule of the commit, with its
// mode and object id.
func (r *Repository) Files(ctx context.Context, commit string) (map[string]string, error) {
	s, err := r.snapshot(ctx, commit)
	if err != nil {
		return nil, err
	}
	files := map[string]string{}
	return files, s.tree.Below(".", func(e git.Entry) error {
		if !e.IsDir() {
			files[e.Path] = fmt.Sprintf("%o %s", e.Mode, e.ID)
		}
		return nil
	})
}

// Checkout writes the files below a folder of the commit's tree to dir, which
// has to be new or empty, with their modes; or a single file to dir itself.
func (r *Repository) Checkout(ctx context.Context, commit, path, dir string) error {
	s, err := r.snapshot(ctx, commit)
	if err != nil {
		return err
	}
	return s.tree.Checkout(ctx, path, dir)
}

// snapshot is what is known about one commit. What takes time is found out
// when it is first asked for, and kept once it succeeded: a failure may have
// been one of the moment.
type snapshot struct {
	tree *git.Tree

	mu       sync.Mutex // guards all below
	cfg      *config.Config
	charts   map[string]chart        // by folder
	bySource map[string]model.Source // by image ID
	byEnv    map[string][]model.Desired
}

// snapshot returns what is kept about a commit, or reads its tree.
func (r *Repository) snapshot(ctx context.Context, rev string) (*snapshot, error) {
	if s, ok := r.snapshots.Get(rev); ok {
		return s, nil
	}
	commit, err := r.git.Resolve(ctx, rev)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if s, ok := r.snapshots.Get(commit); ok {
		return s, nil
	}
	tree, err := r.git.Tree(ctx, commit)
	if err != nil {
		return nil, err
	}
	s := &snapshot{tree: tree, byEnv: map[string][]model.Desired{}}
	r.snapshots.Add(commit, s)
	return s, nil
}

// configuration returns what the repository says about itself. The caller holds
// mu.
func (s *snapshot) configuration() (*config.Config, error) {
	if s.cfg != nil {
		return s.cfg, nil
	}
	cfg, err := config.Read(s.tree.FS(), s.tree.Commit)
	if err != nil {
		return nil, err
	}
	s.cfg = cfg
	return cfg, nil
}
