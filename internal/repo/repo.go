// Package repo is the deployment repository: what it describes at a commit,
// and what each release should be, known from Git trees alone.
package repo

import (
	"context"
	"errors"
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
	// Process is the process that all content is read under. nil reads
	// proposals: each commit under what it says itself, which nothing may be
	// deployed by.
	Process Process
}

// Process answers which process holds; process.Owner does.
type Process interface {
	// Now is the process that holds at this moment.
	Now(ctx context.Context) (model.Process, error)
	// At is the process that a commit says, as a proposal.
	At(ctx context.Context, commit string) (model.Process, error)
}

const (
	defaultCommits = 16
	maxLog         = 1000
)

// Repository is a deployment repository. It is safe for concurrent use.
type Repository struct {
	git  *git.Repo
	opts Options

	mu        sync.Mutex                    // guards the look-up and insertion together
	trees     *lru.Cache[string, *git.Tree] // by commit
	snapshots *lru.Cache[viewKey, *snapshot]
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
	trees, _ := lru.New[string, *git.Tree](opts.Commits) // fails only for a size below 1
	cache, _ := lru.New[viewKey, *snapshot](opts.Commits)
	return &Repository{git: r, opts: opts, trees: trees, snapshots: cache}
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

// Judges says that content is read under a process, not as each commit proposes
// itself.
func (r *Repository) Judges() bool { return r.opts.Process != nil }

// Now is the process that holds at this moment. A repository that is read for
// proposals has none.
func (r *Repository) Now(ctx context.Context) (model.Process, error) {
	if r.opts.Process == nil {
		return model.Process{}, errors.New("this repository is read only for proposals: no process is in force here")
	}
	return r.opts.Process.Now(ctx)
}

// Fleet reads the content of the commit under the process of now, whatever the
// commit itself says about the process. The answer is kept and must not be
// changed.
func (r *Repository) Fleet(ctx context.Context, commit string) (*model.Fleet, error) {
	s, err := r.snapshot(ctx, commit)
	if err != nil {
		return nil, fmt.Errorf("read deployment repository: %w", err)
	}
	cfg, err := r.config(s)
	if err != nil {
		return nil, fmt.Errorf("read deployment repository at %.12s: %w", commit, err)
	}
	return cfg.Fleet, nil
}

// ProcessAt is the process that a commit proposes.
func (r *Repository) ProcessAt(ctx context.Context, commit string) (model.Process, error) {
	if r.opts.Process != nil {
		return r.opts.Process.At(ctx, commit)
	}
	tree, err := r.tree(ctx, commit)
	if err != nil {
		return model.Process{}, err
	}
	return config.ReadProcess(tree.FS(), tree.Commit)
}

// FS is the tree of the commit, read-only. Symbolic links are not followed out
// of it.
func (r *Repository) FS(ctx context.Context, commit string) (fs.FS, error) {
	tree, err := r.tree(ctx, commit)
	if err != nil {
		return nil, err
	}
	return tree.FS(), nil
}

// Files names every file, symbolic link and submodule of the commit, with its
// mode and object id.
func (r *Repository) Files(ctx context.Context, commit string) (map[string]string, error) {
	tree, err := r.tree(ctx, commit)
	if err != nil {
		return nil, err
	}
	files := map[string]string{}
	return files, tree.Below(".", func(e git.Entry) error {
		if !e.IsDir() {
			files[e.Path] = fmt.Sprintf("%o %s", e.Mode, e.ID)
		}
		return nil
	})
}

// Checkout writes the files below a folder of the commit's tree to dir, which
// has to be new or empty, with their modes; or a single file to dir itself.
func (r *Repository) Checkout(ctx context.Context, commit, path, dir string) error {
	tree, err := r.tree(ctx, commit)
	if err != nil {
		return err
	}
	return tree.Checkout(ctx, path, dir)
}

// snapshot is what is known about one commit under one process. What takes time
// is found out when it is first asked for, and kept once it succeeded: a failure
// may have been one of the moment.
type snapshot struct {
	tree  *git.Tree
	under *model.Process // nil: what the commit proposes itself

	mu       sync.Mutex // guards all below
	cfg      *config.Config
	charts   map[string]chart        // by folder
	bySource map[string]model.Source // by image ID
	byEnv    map[string][]model.Desired
}

// viewKey is a commit under the process of another one; with no process it is
// what the commit proposes itself.
type viewKey struct{ commit, process string }

// tree returns everything in a commit, read once.
func (r *Repository) tree(ctx context.Context, rev string) (*git.Tree, error) {
	if t, ok := r.trees.Get(rev); ok {
		return t, nil
	}
	commit, err := r.git.Resolve(ctx, rev)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if t, ok := r.trees.Get(commit); ok {
		return t, nil
	}
	t, err := r.git.Tree(ctx, commit)
	if err != nil {
		return nil, err
	}
	r.trees.Add(commit, t)
	return t, nil
}

// snapshot returns what is kept about a commit under the process of now, or
// reads its tree.
func (r *Repository) snapshot(ctx context.Context, rev string) (*snapshot, error) {
	tree, err := r.tree(ctx, rev)
	if err != nil {
		return nil, err
	}
	if r.opts.Process == nil {
		return r.view(ctx, tree, "")
	}
	now, err := r.opts.Process.Now(ctx)
	if err != nil {
		return nil, err
	}
	return r.view(ctx, tree, now.Commit)
}

// under returns what is kept about the commit of a fleet, under the fleet's own
// process: it may have moved on meanwhile.
func (r *Repository) under(ctx context.Context, fleet *model.Fleet) (*snapshot, error) {
	return r.at(ctx, fleet.Commit, fleet.Process)
}

// at returns what is kept about a commit under the process that another one
// says; with none it is what the commit proposes itself.
func (r *Repository) at(ctx context.Context, commit, process string) (*snapshot, error) {
	tree, err := r.tree(ctx, commit)
	if err != nil {
		return nil, err
	}
	return r.view(ctx, tree, process)
}

// view returns what is kept about a commit under the process that another one
// says.
func (r *Repository) view(ctx context.Context, tree *git.Tree, process string) (*snapshot, error) {
	key := viewKey{tree.Commit, process}
	if s, ok := r.snapshots.Get(key); ok {
		return s, nil
	}
	s := &snapshot{tree: tree, byEnv: map[string][]model.Desired{}}
	if process != "" {
		if r.opts.Process == nil {
			return nil, errors.New("this repository is read only for proposals and cannot provide a fleet under a process")
		}
		p, err := r.opts.Process.At(ctx, process)
		if err != nil {
			return nil, err
		}
		s.under = &p
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if s, ok := r.snapshots.Get(key); ok {
		return s, nil
	}
	r.snapshots.Add(key, s)
	return s, nil
}

// configuration returns what the repository says. The caller holds mu.
func (s *snapshot) configuration() (*config.Config, error) {
	if s.cfg != nil {
		return s.cfg, nil
	}
	var cfg *config.Config
	var err error
	if s.under == nil {
		cfg, err = config.ReadProposal(s.tree.FS(), s.tree.Commit)
	} else {
		cfg, err = config.Read(s.tree.FS(), s.tree.Commit, *s.under)
	}
	if err != nil {
		return nil, err
	}
	s.cfg = cfg
	return cfg, nil
}
