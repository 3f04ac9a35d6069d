// Package pulls carries the process of changes by pull requests at a forge: it
// has them checked, reports what was found and what became of them, keeps the
// pull request that promotes what was proved, and takes back what failed.
//
// It observes, decides and acts, level by level: what is to be said follows
// from the forge, from Git and from the history of runs alone, so that an event
// that was lost, came twice or came late changes nothing but the moment. What
// was said already is remembered by its digest; when the forge is down, it is
// said later.
package pulls

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/keymutex"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/plan"
)

// Engine runs what the controller asks for; ship.Engine is one.
type Engine interface {
	// Check queues a check of a pull request and returns it at once.
	Check(ctx context.Context, p model.PullRequest, cause string) (model.Run, error)
	// Supersede ends a check that is not needed any more. No error when it has
	// ended already.
	Supersede(ctx context.Context, id, reason string) error
	// Runs returns the newest runs first.
	Runs(ctx context.Context, f model.RunFilter) ([]model.Run, error)
	// Promotion says what a promotion would be. A refusal is part of it, and
	// an error with the exit code of a gate.
	Promotion(ctx context.Context, req model.PromoteRequest) (model.Promotion, error)
	// Pushed queues the runs that moved branches ask for.
	Pushed(ctx context.Context, updates []forge.RefUpdate, by string) ([]model.Run, error)
	// Kick asks for a reconcile pass soon.
	Kick()
}

// Repository is this machine's copy of the deployment repository.
type Repository interface {
	// Fetch brings all branches of the forge's repository, and the heads of
	// these pull requests.
	Fetch(ctx context.Context, pulls ...int) error
	// FetchPull is Fetch, unless the head of the pull request is here.
	FetchPull(ctx context.Context, number int, head string) error
	// Follow makes the default branch that of the forge's repository, and says
	// whether it was another one.
	Follow(ctx context.Context, branch string) (moved bool, err error)
	// Head returns the commit of a branch, or "" if there is no such branch.
	Head(ctx context.Context, branch string) (string, error)
	// Now is the process that holds at this moment; the error says why none
	// does.
	Now(ctx context.Context) (model.Process, error)
	// IsAncestor says whether old is new or one of its ancestors. The error
	// is fs.ErrNotExist when the repository does not have one of them.
	IsAncestor(ctx context.Context, old, new string) (bool, error)
	// Changed names the files of the hub that differ between two commits.
	Changed(ctx context.Context, base, head, hub string) ([]string, error)
	// MergeRange is the history that a merge put on its base branch: the commits
	// at which the branch was before and after. commits are those that the pull
	// request had, and had is where its base was at the latest look before the
	// merge.
	MergeRange(ctx context.Context, merge, had string, commits []forge.Commit) (before, after string, err error)
	// Revert pushes to the forge, as a new branch, a commit on top of another
	// one that takes back what changed between two, and returns it. The error
	// says so when later changes are in the way. A branch of that name that
	// has just this is taken as it is; any other is an error.
	Revert(ctx context.Context, q Revert) (commit string, err error)
}

// Revert is a branch that takes something back.
type Revert struct {
	Branch        string // new
	Onto          string // commit that it begins at
	Before, After string // commits: what changed between them is taken back
	Message       string // of the commit
}

// Plans returns the plan that a check made.
type Plans interface {
	// Plan is the plan of a run; the error is fs.ErrNotExist when it has none.
	Plan(ctx context.Context, run string) (plan.Plan, error)
}

// ReportCache remembers what was reported. Losing it means that everything that is
// recent is reported once more.
type ReportCache interface {
	// Reported returns a digest of what was reported under a key, and the
	// forge's id of it; both are "" when nothing was.
	Reported(ctx context.Context, key string) (digest, ref string, err error)
	SetReported(ctx context.Context, key, digest, ref string) error
}

// Options configure a Controller.
type Options struct {
	Forge      forge.Forge
	Engine     Engine
	Repository Repository
	Plans      Plans
	Reports    ReportCache
	// RunURL is the address of a run's page, PlanURL that of its plan.
	RunURL, PlanURL func(run string) string
	// HubURL is where a hub of that host name answers.
	HubURL func(host string) string
	// Protect has hubship protect the branches of the process, and say of each
	// status which merge it is about: at the embedded forge. Elsewhere people
	// protect the branches, and statuses are a commit's alone.
	Protect bool
	// ProcessFiles are the files that the process is read from, as patterns of
	// path.Match: where branches are protected, they are left to maintainers.
	ProcessFiles []string
	// Poll is the time between two looks for what no event told; 30 seconds
	// when 0.
	Poll time.Duration
	// Patience is how long a merge that the forge refuses, or a pull request from a
	// branch that was just pushed, is tried again: a minute when 0.
	Patience time.Duration
	Logger   *slog.Logger
}

// Controller keeps the forge in line with what happens. Run does the work; its
// other methods are safe for concurrent use.
type Controller struct {
	o       Options
	queue   workqueue.TypedRateLimitingInterface[key]
	looking keymutex.KeyMutex // by the text of a key
	// reverting is held while a revert is looked for and opened: a failure and
	// people may ask for the same one at once.
	reverting sync.Mutex

	mu        sync.Mutex
	since     time.Time                 // the next poll goes on from here
	polled    time.Time                 // last poll that went well
	trouble   error                     // of the last poll; nil when it went well
	branches  map[string]string         // as last seen
	leading   string                    // default branch, as last seen
	open      map[int]forge.PullRequest // as last seen, those into environments' branches or not
	merged    map[int]forge.PullRequest // lately, by number
	sightings map[int]sighting          // of the last poll, by number
	met       map[string]string         // branches of environments, where they were at first: see meet
	refused   map[string]time.Time      // heads of reverts that the forge does not merge, since when
	asked     map[string]int            // environments that somebody waits to promote into
	waiting   []chan<- error            // of Refresh; each takes one answer
	login     string

	pushers *lru.Cache[tip, string] // logins, as deliveries said
}

// Bounds of what is looked at.
const (
	workers     = 4
	recentDays  = 30 // a merged pull request is reported about for so long
	keptRuns    = 200
	keptPushers = 256
	defaultPoll = 30 * time.Second

	defaultPatience = time.Minute
	patienceStep    = 2 * time.Second // between two attempts, at most
)

// New returns a controller. It asks nothing of anybody yet.
func New(o Options) (*Controller, error) {
	switch {
	case o.Forge == nil, o.Engine == nil, o.Repository == nil, o.Plans == nil, o.Reports == nil:
		return nil, errors.New("pull requests: a part of the options is missing")
	case o.RunURL == nil, o.PlanURL == nil, o.HubURL == nil:
		return nil, errors.New("pull requests: an address of the options is missing")
	}
	if o.Poll == 0 {
		o.Poll = defaultPoll
	}
	if o.Patience == 0 {
		o.Patience = defaultPatience
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	pushers, err := lru.New[tip, string](keptPushers)
	if err != nil {
		return nil, err
	}
	return &Controller{
		o: o, queue: newQueue(), looking: keymutex.NewHashed(256), pushers: pushers,
		met: map[string]string{}, asked: map[string]int{}, refused: map[string]time.Time{}, branches: map[string]string{}, open: map[int]forge.PullRequest{}, merged: map[int]forge.PullRequest{},
	}, nil
}

// State is how the controller stands with the forge.
type State struct {
	Repository forge.Repository
	Polled     time.Time // last time that the forge was read to the end; zero for never
	Trouble    string    // why the last look failed, one line; empty when it did not
	Waiting    int       // things that are to be looked at or reported
	Open       int       // pull requests
}

// State returns how the controller stands with the forge.
func (c *Controller) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := State{Repository: c.o.Forge.Repository(), Polled: c.polled, Waiting: c.queue.Len(), Open: len(c.open)}
	if c.trouble != nil {
		s.Trouble = describe(c.trouble)
	}
	return s
}

// self is hubship's own login at the forge.
func (c *Controller) self(ctx context.Context) (string, error) {
	c.mu.Lock()
	login := c.login
	c.mu.Unlock()
	if login != "" {
		return login, nil
	}
	login, err := c.o.Forge.Login(ctx)
	if err != nil {
		return "", err
	}
	c.mu.Lock()
	c.login = login
	c.mu.Unlock()
	return login, nil
}
