// Package git is the only user of the git program. It reads commits and trees,
// writes files out, and records commits on branches, all without a work tree.
//
// The repository's contents are treated as hostile: hooks, replace objects and
// configuration outside of the repository are ignored, revisions are checked
// before git sees them, and nothing is ever written outside of the folder that
// a caller named.
package git

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/hubship/hubship/internal/model"
)

type missing struct{}

func (missing) Error() string        { return "not found in the repository" }
func (missing) Is(target error) bool { return target == fs.ErrNotExist }

// Errors that callers tell apart with errors.Is.
var (
	// ErrNotFound says that a revision, branch or object does not exist. It
	// is fs.ErrNotExist too.
	ErrNotFound error = missing{}
	// ErrTooLarge says that an object is larger than what is read.
	ErrTooLarge = errors.New("too large to be read")
	// ErrMoved says that a branch was not at the commit the caller expected.
	ErrMoved = errors.New("the branch has moved")
	// ErrNothingToMerge says that the target already contains the source.
	ErrNothingToMerge = errors.New("nothing to merge")
	// ErrClosed says that the repository was closed.
	ErrClosed = errors.New("the repository is closed")
)

// openTimeout bounds the one git process that Open starts.
const openTimeout = 20 * time.Second

// Repo is a Git repository on disk. It is safe for concurrent use and must be
// closed.
type Repo struct {
	dir     string // absolute path of the git directory
	bare    bool
	objects objectReader
	fetch   chan struct{} // holds one while git fetch runs: two would be in each other's way

	mu     sync.Mutex
	closed bool
}

// InitOptions say what kind of repository Init makes.
type InitOptions struct {
	Bare          bool   // no work tree
	DefaultBranch string // branch that HEAD names; empty means "main"
}

// Identity is who a commit is by.
type Identity struct {
	Name  string
	Email string
}

// Hubship signs the commits that hubship makes itself.
var Hubship = Identity{Name: "hubship", Email: "hubship@localhost"}

// validate refuses what git would silently cut out of a commit's header.
func (i Identity) validate() error {
	for _, s := range []string{i.Name, i.Email} {
		if strings.TrimSpace(s) == "" || strings.ContainsAny(s, "<>\n\r\x00") {
			return fmt.Errorf("commit author %q <%q> is empty or contains characters that a commit cannot hold", i.Name, i.Email)
		}
	}
	return nil
}

// Open opens the repository whose work tree or git directory is dir. Folders
// above dir are not searched.
func Open(dir string) (*Repo, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open repository %s: %w", dir, err)
	}
	if real, err := filepath.EvalSymlinks(abs); err == nil {
		abs = real
	}
	if _, err := os.Stat(abs); err != nil {
		return nil, model.WithHint(fmt.Errorf("open repository: %w", err), "give the folder of an existing Git repository")
	}
	ctx, cancel := context.WithTimeout(context.Background(), openTimeout)
	defer cancel()
	out, err := runGit(ctx, command{
		args: []string{"-C", abs, "rev-parse", "--absolute-git-dir", "--is-bare-repository"},
		env:  []string{"GIT_CEILING_DIRECTORIES=" + filepath.Dir(abs)},
	})
	if err != nil {
		return nil, model.WithHint(fmt.Errorf("open repository %s: %w", dir, err), "give the folder of a Git repository, or create one with `hubship init`")
	}
	lines := strings.Split(strings.TrimRight(string(out), "\n"), "\n")
	if len(lines) != 2 {
		return nil, fmt.Errorf("open repository %s: git rev-parse answered %q", dir, out)
	}
	r := &Repo{dir: lines[0], bare: lines[1] == "true", fetch: make(chan struct{}, 1)}
	r.objects.dir = r.dir
	return r, nil
}

// Init makes a repository in dir, or opens the one that is there already.
func Init(ctx context.Context, dir string, opts InitOptions) (*Repo, error) {
	branch := opts.DefaultBranch
	if branch == "" {
		branch = "main"
	}
	if err := CheckBranchName(branch); err != nil {
		return nil, fmt.Errorf("create repository %s: %w", dir, err)
	}
	args := []string{"init", "--quiet", "--template=", "--initial-branch=" + branch}
	if opts.Bare {
		args = append(args, "--bare")
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("create repository %s: %w", dir, err)
	}
	if _, err := runGit(ctx, command{args: append(args, "--", abs)}); err != nil {
		return nil, fmt.Errorf("create repository %s: %w", dir, err)
	}
	return Open(abs)
}

// Dir returns the absolute path of the git directory.
func (r *Repo) Dir() string { return r.dir }

// Close ends the process that reads objects. The repository cannot be used
// any more.
func (r *Repo) Close() error {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	return r.objects.close()
}

func (r *Repo) isClosed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closed
}

// git runs one git command on the repository.
func (r *Repo) git(ctx context.Context, args ...string) ([]byte, error) {
	return r.exec(ctx, command{args: args})
}

// exec runs one git command with input or environment on the repository.
func (r *Repo) exec(ctx context.Context, c command) ([]byte, error) {
	if r.isClosed() {
		return nil, ErrClosed
	}
	c.args = append([]string{"--git-dir=" + r.dir}, c.args...)
	return runGit(ctx, c)
}
