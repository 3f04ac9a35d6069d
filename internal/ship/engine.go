package ship

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"
	_ "github.com/dbos-inc/dbos-transact-golang/dbos/driver/sqlite" // the embedded default

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/ship/build"
	"github.com/hubship/hubship/internal/ship/check"
	"github.com/hubship/hubship/internal/ship/deploy"
	"github.com/hubship/hubship/internal/ship/fleets"
	"github.com/hubship/hubship/internal/ship/planning"
	"github.com/hubship/hubship/internal/ship/proof"
	"github.com/hubship/hubship/internal/ship/query"
	"github.com/hubship/hubship/internal/ship/reconcile"
	"github.com/hubship/hubship/internal/ship/runs"
)

// workflowVersion names the shape of the workflows in deploy and check, not of the
// binary: a run that an older process left unfinished is taken up by any process of
// the same shape. It changes when steps are added, removed or reordered.
const workflowVersion = "3"

// Options configure an Engine.
type Options struct {
	Database   string                   // of the workflows: "sqlite:/path" or "postgres://…"
	Replica    string                   // stable name of this process among those that share Database; "hubship" when empty
	WorkDir    string                   // for build contexts; emptied of leftovers at start
	Version    string                   // of the program, for the status
	Dashboard  string                   // URL, for the status
	CloneURL   string                   // of the deployment repository, for the status
	HubURL     func(host string) string // where a hub of that host name answers
	Reconcile  time.Duration            // between two reconcile passes; 1 minute when 0
	Concurrent int                      // releases upgraded side by side in a run; 4 when 0
	Checks     int                      // pull requests checked side by side; 2 when 0
	// Changed is called with each run whose record changed, and must return
	// at once; it may be nil.
	Changed func(model.Run)
	Logger  *slog.Logger
}

// withDefaults fills in what was left out.
func (o Options) withDefaults() Options {
	if o.Replica == "" {
		o.Replica = "hubship"
	}
	if o.Reconcile == 0 {
		o.Reconcile = time.Minute
	}
	if o.Concurrent == 0 {
		o.Concurrent = 4
	}
	if o.Checks == 0 {
		o.Checks = 2
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.HubURL == nil {
		o.HubURL = func(host string) string { return "http://" + host + "/" }
	}
	return o
}

// Engine runs workflows and answers questions about them. Its methods are safe for
// concurrent use.
type Engine struct {
	repository Repository
	evidence   EvidenceStore
	fleets     fleets.Reader
	journal    *runs.Journal
	builder    build.Builder
	deployer   *deploy.Deployer
	checker    *check.Checker
	reconciler *reconcile.Reconciler
	queries    *query.Reader
	flow       dbos.Context
}

// New prepares an engine. Launch must be called before it executes runs.
func New(ctx context.Context, ports Ports, opts Options) (*Engine, error) {
	opts = opts.withDefaults()
	if opts.Changed != nil {
		ports.History = notifyingHistory{ports.History, opts.Changed}
	}
	// The end of ctx must not reach the workflows: they would count as
	// cancelled, for good. Stop interrupts them so that they resume.
	flow, err := dbos.NewContext(context.WithoutCancel(ctx), dbos.Config{
		AppName:            "hubship",
		DatabaseURL:        opts.Database,
		ApplicationVersion: workflowVersion,
		ExecutorID:         opts.Replica,
		Logger:             opts.Logger.With("component", "workflows"),
	})
	if err != nil {
		return nil, model.WithHint(fmt.Errorf("open the workflow database: %w", err),
			"check that its folder is writable and that no other hubship serves from it; removing it loses history, but compromises nothing")
	}
	return assemble(ports, opts, flow), nil
}

// assemble gives each part what it needs.
func assemble(ports Ports, opts Options, flow dbos.Context) *Engine {
	e := &Engine{
		repository: ports.Repository, evidence: ports.Evidence, flow: flow,
		fleets:  fleets.Reader{Repository: ports.Repository, Clusters: ports.Clusters},
		journal: runs.NewJournal(ports.History, opts.Logger),
	}
	e.builder = build.Builder{Repository: ports.Repository, Images: ports.Images, Journal: e.journal, Dir: opts.WorkDir}
	proofs := proof.Finder{Repository: ports.Repository, Releases: ports.Releases, Evidence: ports.Evidence, Fleets: e.fleets}
	e.queries = query.New(query.Options{
		Repository: ports.Repository, Releases: ports.Releases, Evidence: ports.Evidence, History: ports.History,
		Fleets: e.fleets, Proof: proofs, HubURL: opts.HubURL,
		About: query.About{Version: opts.Version, Started: time.Now(), Dashboard: opts.Dashboard, CloneURL: opts.CloneURL},
	})
	e.deployer = deploy.New(deploy.Options{
		Repository: ports.Repository, Images: ports.Images, Releases: ports.Releases, Evidence: ports.Evidence, Locks: ports.Locks,
		Verifier: ports.Verifier, Previewer: ports.Previewer,
		Journal: e.journal, Fleets: e.fleets, Builder: e.builder, Flow: flow, Concurrent: opts.Concurrent,
		Planner: planning.New(planning.Options{
			Repository: ports.Repository, Images: ports.Images, Releases: ports.Releases, Evidence: ports.Evidence,
			Fleets: e.fleets, Proof: proofs,
		}),
		Finished: e.Kick,
	})
	e.checker = check.New(check.Options{
		Repository: ports.Repository, Images: ports.Images,
		Assessor: ports.Assessor, Sandbox: ports.Sandbox, Results: ports.Results,
		Journal: e.journal, Fleets: e.fleets, Builder: e.builder, Flow: flow, Concurrent: opts.Checks,
	})
	e.reconciler = reconcile.New(reconcile.Options{
		Journal: e.journal, Fleets: e.fleets, Deployer: e.deployer,
		Flow: flow, Version: workflowVersion, Interval: opts.Reconcile,
	})
	return e
}

// Launch resumes unfinished runs and starts to reconcile. It returns at once;
// Stop ends what it started.
func (e *Engine) Launch(ctx context.Context) error {
	if err := e.builder.Clear(); err != nil {
		return err
	}
	if err := e.deployer.OpenQueue(); err != nil {
		return err
	}
	if err := e.checker.OpenQueue(); err != nil {
		return err
	}
	if err := dbos.Launch(e.flow); err != nil {
		return fmt.Errorf("start the workflows: %w", err)
	}
	go e.reconciler.Run(ctx)
	return nil
}

// Stop waits up to the timeout for steps under way to notice that the process
// ends. What they have not finished resumes at the next Launch.
func (e *Engine) Stop(timeout time.Duration) error {
	if err := dbos.Shutdown(e.flow, timeout); err != nil {
		return fmt.Errorf("stop the workflows: %w", err)
	}
	return nil
}

// notifyingHistory is a History that tells of each run that is recorded.
type notifyingHistory struct {
	History
	changed func(model.Run)
}

// Put implements History.
func (t notifyingHistory) Put(ctx context.Context, r model.Run) error {
	if err := t.History.Put(ctx, r); err != nil {
		return err
	}
	t.changed(r)
	return nil
}
