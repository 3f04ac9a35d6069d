// Package host is what the embedded forge does, apart from how it is asked: it
// owns the repositories and the database, and holds the rules about who may do
// what, which pull requests go together with their bases, and what protects a
// branch.
package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/hubship/hubship/devforge/internal/refs"
	"github.com/hubship/hubship/devforge/internal/store"
	"github.com/hubship/hubship/internal/git"
	"github.com/hubship/hubship/internal/model"
)

// Errors that callers tell apart with errors.Is, besides those of store.
var (
	// ErrForbidden says that the account may not do this.
	ErrForbidden = errors.New("not allowed")
	// ErrInvalid says that the request makes no sense as it is.
	ErrInvalid = errors.New("not valid")
	// ErrConflict says that something moved, or does not go together.
	ErrConflict = errors.New("conflict")
	// ErrNotMergeable says that a rule or a conflict prevents the merge.
	ErrNotMergeable = errors.New("not mergeable")
)

// failure is an error whose text is for the person who asked.
type failure struct {
	kind error
	text string
}

func (f *failure) Error() string { return f.text }
func (f *failure) Unwrap() error { return f.kind }

func fail(kind error, format string, args ...any) error {
	return &failure{kind, fmt.Sprintf(format, args...)}
}

// Options are the settings of a Host.
type Options struct {
	Root     string // folder of the bare repositories
	Database string // file, outside of Root
	// Moved hears of branches that the host itself moved, by a merge or an
	// update; pushes come through the Git server. It may be nil.
	Moved func(ctx context.Context, repository store.Repository, updates []refs.Update, by string)
	// Own is the login of the account that hubship itself works with: what it
	// says of commits as hubship/* nobody else may say, nor record deployments.
	// Empty for none: then nobody may.
	Own string
	Log *slog.Logger // nil for slog.Default
}

// Host is safe for concurrent use and must be closed.
type Host struct {
	Store *store.Store
	opts  Options

	mu    sync.Mutex
	repos map[int64]*git.Repo
	locks map[int64]*sync.Mutex // of pull requests: see lock
	doors map[int64]*sync.Mutex // of references: see move
	hear  func(context.Context, Event)

	// What the host does by itself ends with alive.
	alive      context.Context
	stop       context.CancelFunc
	background sync.WaitGroup
}

// Open opens the database and returns a Host.
func Open(ctx context.Context, opts Options) (*Host, error) {
	if !filepath.IsAbs(opts.Root) {
		return nil, fmt.Errorf("open the embedded forge: the folder %q is not absolute", opts.Root)
	}
	if opts.Log == nil {
		opts.Log = slog.Default()
	}
	if err := os.MkdirAll(opts.Root, 0o700); err != nil {
		return nil, model.WithHint(fmt.Errorf("open the embedded forge: %w", err), "check that the data directory is writable")
	}
	s, err := store.Open(ctx, opts.Database)
	if err != nil {
		return nil, err
	}
	h := &Host{Store: s, opts: opts, repos: map[int64]*git.Repo{}, locks: map[int64]*sync.Mutex{}, doors: map[int64]*sync.Mutex{}}
	h.alive, h.stop = context.WithCancel(context.WithoutCancel(ctx))
	return h, nil
}

// Close ends everything.
func (h *Host) Close() error {
	h.stop()
	h.background.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	var errs []error
	for _, r := range h.repos {
		errs = append(errs, r.Close())
	}
	h.repos = map[int64]*git.Repo{}
	return errors.Join(append(errs, h.Store.Close())...)
}

// Subscribe sets who is told of events, once they are in the database. It is called
// before the Host is used.
func (h *Host) Subscribe(fn func(context.Context, Event)) { h.hear = fn }

// Event is something that happened, for webhooks.
type Event struct {
	Name   string // as GitHub calls it: push, pull_request, ...
	Action string
	Repo   store.Repository
	Sender store.Account

	Pull    *store.Pull
	Before  string // of a synchronized pull request, the head that it had
	Review  *store.Review
	Comment *store.Comment
	Line    *store.LineComment
	Status  *store.Status
	Check   *store.Check
	Update  *refs.Update   // of a push
	Asked   *store.Account // who is asked for a review
	Label   *store.Label   // that a pull request got or lost
	Fork    *store.Repository

	Deployment       *store.Deployment
	DeploymentStatus *store.DeploymentStatus
}

func (h *Host) tell(ctx context.Context, events ...Event) {
	if h.hear == nil {
		return
	}
	for _, e := range events {
		h.hear(context.WithoutCancel(ctx), e)
	}
}

// Publish tells of an event that a caller brought about in the Store itself.
func (h *Host) Publish(ctx context.Context, e Event) { h.tell(ctx, e) }

// Git returns the opened repository. It is the Host's, not to be closed.
func (h *Host) Git(repo store.Repository) (*git.Repo, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r, ok := h.repos[repo.ID]; ok {
		return r, nil
	}
	r, err := git.Open(h.Path(repo))
	if err != nil {
		return nil, err
	}
	// What a push brought before the process ended was not let in. None is under
	// way: each opens the repository first.
	if err := r.DropIncoming(context.Background(), git.Incoming); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	h.repos[repo.ID] = r
	return r, nil
}

// Path is the folder of a repository.
func (h *Host) Path(repo store.Repository) string {
	return filepath.Join(h.opts.Root, filepath.FromSlash(repo.Dir)+".git")
}

// lock serialises what changes a repository's pull requests.
func (h *Host) lock(id int64) (unlock func()) { return h.lockOf(h.locks, id) }

func (h *Host) lockOf(locks map[int64]*sync.Mutex, id int64) (unlock func()) {
	h.mu.Lock()
	l, ok := locks[id]
	if !ok {
		l = &sync.Mutex{}
		locks[id] = l
	}
	h.mu.Unlock()
	l.Lock()
	return l.Unlock
}

var repositoryName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// NewRepository are the settings of a repository that is made.
type NewRepository struct {
	Name          string
	DefaultBranch string
	Description   string
	// Dir is the folder of a repository that is there already, below Root and
	// without .git; empty makes a new one.
	Dir string
}

// CreateRepository makes a repository, or takes over one that is there.
func (h *Host) CreateRepository(ctx context.Context, owner store.Account, n NewRepository) (store.Repository, error) {
	if !repositoryName.MatchString(n.Name) {
		return store.Repository{}, fail(ErrInvalid, "%q is not a valid repository name: use lower-case letters, digits and hyphens", n.Name)
	}
	repo := store.Repository{Owner: owner.ID, Name: n.Name, Dir: n.Dir, DefaultBranch: n.DefaultBranch, Description: n.Description}
	if repo.Dir == "" {
		repo.Dir = owner.Login + "/" + n.Name
	} else if !repositoryName.MatchString(repo.Dir) {
		return store.Repository{}, fail(ErrInvalid, "%q is not a repository folder", repo.Dir)
	}
	if _, err := h.Store.RepositoryByName(ctx, owner.Login, n.Name); err == nil {
		return store.Repository{}, fmt.Errorf("create repository %s: %w", n.Name, store.ErrExists)
	}
	r, err := git.Init(ctx, h.Path(repo), git.InitOptions{Bare: true, DefaultBranch: n.DefaultBranch})
	if err != nil {
		return store.Repository{}, err
	}
	if repo.DefaultBranch == "" {
		if repo.DefaultBranch, err = r.DefaultBranch(ctx); err != nil {
			return store.Repository{}, errors.Join(err, r.Close())
		}
	}
	// Numbers are not given twice, also when the database was lost: the heads of
	// earlier pull requests are still in the repository.
	if repo.LastNumber, err = lastPull(ctx, r); err != nil {
		return store.Repository{}, errors.Join(err, r.Close())
	}
	return repo, errors.Join(h.Store.AddRepository(ctx, &repo), r.Close())
}

// lastPull is the highest number of a pull request whose head is kept.
func lastPull(ctx context.Context, r *git.Repo) (int64, error) {
	refs, err := r.Refs(ctx, "refs/pull/")
	if err != nil {
		return 0, err
	}
	var last int64
	for _, ref := range refs {
		number, _, _ := strings.Cut(strings.TrimPrefix(ref.Name, "refs/pull/"), "/")
		if n, err := strconv.ParseInt(number, 10, 64); err == nil {
			last = max(last, n)
		}
	}
	return last, nil
}

// Find returns a repository by its owner's login and its name.
func (h *Host) Find(ctx context.Context, owner, name string) (store.Repository, error) {
	return h.Store.RepositoryByName(ctx, owner, name)
}

// Fork returns the fork that an account has of a repository, made now if there
// is none.
func (h *Host) Fork(ctx context.Context, repo store.Repository, owner store.Account, name string) (store.Repository, error) {
	if repo.Owner == owner.ID {
		return store.Repository{}, fail(ErrForbidden, "This is your own repository: push a branch to it instead of forking it.")
	}
	if name == "" {
		name = repo.Name
	}
	if !repositoryName.MatchString(name) {
		return store.Repository{}, fail(ErrInvalid, "%q is not a valid repository name: use lower-case letters, digits and hyphens", name)
	}
	defer h.lock(repo.ID)()
	forks, err := h.Store.Forks(ctx, repo.ID)
	if err != nil {
		return store.Repository{}, err
	}
	for _, f := range forks {
		if f.Owner == owner.ID {
			return f, nil
		}
	}
	if _, err := h.Store.RepositoryByName(ctx, owner.Login, name); err == nil {
		return store.Repository{}, fail(ErrInvalid, "You already have a repository %s that is not a fork of this one: give the fork another name.", name)
	}
	source, err := h.Git(repo)
	if err != nil {
		return store.Repository{}, err
	}
	fork := store.Repository{Owner: owner.ID, Name: name, Dir: owner.Login + "/" + name, Parent: &repo.ID, DefaultBranch: repo.DefaultBranch, Description: repo.Description}
	// What a crash left of an earlier attempt was never recorded, and nobody
	// could push to it.
	if _, err := h.Store.RepositoryByDir(ctx, fork.Dir); errors.Is(err, store.ErrNotFound) {
		if err := os.RemoveAll(h.Path(fork)); err != nil {
			return store.Repository{}, fmt.Errorf("fork %s: %w", repo.Name, err)
		}
	}
	r, err := source.Fork(ctx, h.Path(fork))
	if err != nil {
		return store.Repository{}, err
	}
	if err := errors.Join(r.Close(), h.Store.AddRepository(ctx, &fork)); err != nil {
		return store.Repository{}, errors.Join(err, os.RemoveAll(h.Path(fork)))
	}
	h.tell(ctx, Event{Name: "fork", Repo: repo, Sender: owner, Fork: &fork})
	return fork, nil
}

// DeleteRepository removes a fork with its pull requests. Those that came from
// it to another repository are closed there, and keep their commits.
func (h *Host) DeleteRepository(ctx context.Context, repo store.Repository, by store.Account) error {
	if by.ID != repo.Owner {
		return fail(ErrForbidden, "Only the owner of a repository can delete it.")
	}
	if repo.Parent == nil {
		return fail(ErrForbidden, "Only forks can be deleted.")
	}
	sent, _, err := h.Store.Pulls(ctx, store.PullFilter{HeadRepo: repo.ID, State: "open"})
	if err != nil {
		return err
	}
	if err := h.deleteFork(ctx, repo); err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	for _, p := range sent {
		if p.Repository == repo.ID {
			continue // gone with it
		}
		base, err := h.Store.Repository(ctx, p.Repository)
		if err == nil {
			_, err = h.Refresh(ctx, base, p.Number, by)
		}
		if err != nil {
			h.opts.Log.Error("embedded forge: close a pull request whose fork was deleted; it will be closed the next time it is read", "number", p.Number, "error", err)
		}
	}
	return nil
}

func (h *Host) deleteFork(ctx context.Context, repo store.Repository) error {
	defer h.lock(*repo.Parent)() // as Fork does: nobody forks into the folder meanwhile
	forks, err := h.Store.Forks(ctx, repo.ID)
	if err != nil {
		return err
	}
	if len(forks) > 0 {
		return fail(ErrConflict, "The repository has forks that share its objects: delete those first.")
	}
	if err := h.Store.DeleteRepository(ctx, repo.ID); err != nil {
		return err
	}
	h.mu.Lock()
	g := h.repos[repo.ID]
	delete(h.repos, repo.ID)
	h.mu.Unlock()
	if g != nil {
		err = g.Close()
	}
	if err := errors.Join(err, os.RemoveAll(h.Path(repo))); err != nil {
		return fmt.Errorf("delete the folder of repository %s: %w", repo.Name, err)
	}
	return nil
}
