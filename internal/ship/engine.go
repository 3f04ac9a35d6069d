package ship

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"
	_ "github.com/dbos-inc/dbos-transact-golang/dbos/driver/sqlite" // the embedded default

	"github.com/hubship/hubship/internal/model"
)

// workflowVersion names the shape of the workflows below, not of the binary:
// a run that an older process left unfinished is taken up by any process of
// the same shape. It changes when steps are added, removed or reordered.
const workflowVersion = "3"

// Ports are the adapters that the engine works through.
type Ports struct {
	Repository Repository
	Clusters   Clusters
	Images     Images
	Releases   Releases
	Ledger     Ledger
	Verifier   Verifier
	History    History
	Previewer  Preview // may be nil: runs then do not say what changes

	// For checks of pull requests; nil where there are none.
	Assessor Assessor
	Sandbox  Sandbox
	Results  Results
}

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

// Engine runs workflows. Its methods are safe for concurrent use.
type Engine struct {
	Ports
	opts    Options
	started time.Time
	flow    dbos.Context
	queue   dbos.Queue
	checks  dbos.Queue
	kick    chan struct{}
	slots   chan struct{}

	mu      sync.Mutex
	cancels map[string]*cancellation // runs under way in this process
	unknown patience
}

// cancellation lets a person end a run's present step.
type cancellation struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
}

// errCancelledBy is the cause of a step that a person cancelled.
type errCancelledBy struct{ by string }

func (e errCancelledBy) Error() string { return "cancelled by " + e.by }

// New prepares an engine. Launch must be called before runs are taken up.
func New(ctx context.Context, ports Ports, opts Options) (*Engine, error) {
	if opts.Replica == "" {
		opts.Replica = "hubship"
	}
	if opts.Reconcile == 0 {
		opts.Reconcile = time.Minute
	}
	if opts.Concurrent == 0 {
		opts.Concurrent = 4
	}
	if opts.Checks == 0 {
		opts.Checks = 2
	}
	if opts.Changed != nil {
		ports.History = notifyingHistory{ports.History, opts.Changed}
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.HubURL == nil {
		opts.HubURL = func(host string) string { return "http://" + host + "/" }
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
			"check that its folder is writable and that no other hubship serves from it; removing it loses history, no safety")
	}
	e := &Engine{
		Ports: ports, opts: opts, flow: flow,
		kick:    make(chan struct{}, 1),
		slots:   make(chan struct{}, opts.Concurrent),
		cancels: map[string]*cancellation{},
	}
	dbos.RegisterWorkflow(flow, e.run, dbos.WithWorkflowName("run"))
	dbos.RegisterWorkflow(flow, e.release, dbos.WithWorkflowName("release"))
	dbos.RegisterWorkflow(flow, e.check, dbos.WithWorkflowName("check"))
	return e, nil
}

// Launch takes up unfinished runs and begins to reconcile. It returns at once;
// Stop ends what it began.
func (e *Engine) Launch(ctx context.Context) error {
	if err := e.clearWorkDir(); err != nil {
		return err
	}
	queue, err := dbos.RegisterQueue(e.flow, "runs",
		dbos.WithPartitionConcurrency(1),
		dbos.WithQueueBasePollingInterval(100*time.Millisecond),
		dbos.WithQueueOnConflict(dbos.QueueConflictAlwaysUpdate))
	if err != nil {
		return fmt.Errorf("register the queue of runs: %w", err)
	}
	e.queue = queue
	// One check of a pull request at a time: the older one ends first.
	e.checks, err = dbos.RegisterQueue(e.flow, "checks",
		dbos.WithPartitionConcurrency(1), dbos.WithWorkerConcurrency(e.opts.Checks),
		dbos.WithQueueBasePollingInterval(100*time.Millisecond),
		dbos.WithQueueOnConflict(dbos.QueueConflictAlwaysUpdate))
	if err != nil {
		return fmt.Errorf("register the queue of checks: %w", err)
	}
	e.started = time.Now()
	if err := dbos.Launch(e.flow); err != nil {
		return fmt.Errorf("start the workflows: %w", err)
	}
	go e.reconcileLoop(ctx)
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

// Stop waits up to the timeout for steps under way to notice that the process
// ends. What they have not finished resumes at the next Launch.
func (e *Engine) Stop(timeout time.Duration) error {
	if err := dbos.Shutdown(e.flow, timeout); err != nil {
		return fmt.Errorf("stop the workflows: %w", err)
	}
	return nil
}

// newRunID returns an identifier that sorts by time, to the millisecond.
func newRunID(now time.Time) string {
	var b [2]byte
	_, _ = rand.Read(b[:]) // never fails on the platforms that Go supports
	now = now.UTC()
	return fmt.Sprintf("%s-%03d%s", now.Format("20060102-150405"), now.Nanosecond()/1e6, hex.EncodeToString(b[:]))
}

// enqueue makes a run durable and lets its environment's queue take it.
func (e *Engine) enqueue(ctx context.Context, req model.RunRequest, commit string) (model.Run, error) {
	now := time.Now()
	r := model.Run{
		ID: newRunID(now), Kind: req.Kind, Environment: req.Environment, Hubs: req.Hubs,
		Commit: commit, Cause: req.Cause, Force: req.Force, State: model.Queued, Created: now,
	}
	if commit != "" {
		subject, err := e.Repository.Subject(ctx, commit)
		if err != nil {
			return model.Run{}, err
		}
		r.Subject = subject
	}
	if err := e.History.Put(ctx, r); err != nil {
		return model.Run{}, fmt.Errorf("record run %s: %w", r.ID, err)
	}
	in := runInput{Run: r, Revision: req.Revision, Packages: req.Packages, By: req.By}
	_, err := dbos.RunWorkflow(e.flow, e.run, in,
		dbos.WithWorkflowID(r.ID), dbos.WithQueue(e.queue), dbos.WithQueuePartitionKey(r.Environment))
	if err != nil {
		r.State, r.Reason = model.FailedRun, "could not be queued: "+err.Error()
		return model.Run{}, errors.Join(fmt.Errorf("queue run %s: %w", r.ID, err), e.History.Put(ctx, r))
	}
	return r, nil
}

// watch registers a run as under way in this process, so that Cancel reaches
// its steps, and returns what ends that.
func (e *Engine) watch(id string) (unwatch func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	e.mu.Lock()
	defer e.mu.Unlock()
	e.cancels[id] = &cancellation{ctx: ctx, cancel: cancel}
	return func() {
		cancel(nil)
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.cancels, id)
	}
}

// cancellable returns a context that also ends when a person cancels the run.
func (e *Engine) cancellable(ctx context.Context, run string) (context.Context, context.CancelFunc) {
	e.mu.Lock()
	c, ok := e.cancels[run]
	e.mu.Unlock()
	ctx, cancel := context.WithCancelCause(ctx)
	if !ok {
		return ctx, func() { cancel(nil) }
	}
	stop := context.AfterFunc(c.ctx, func() { cancel(context.Cause(c.ctx)) })
	return ctx, func() { stop(); cancel(nil) }
}

// say appends a line to a run's log. A log that cannot be written is told to
// the process's own log: it must not fail the run.
func (e *Engine) say(run, scope string, level model.Level, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	line := model.Line{Time: time.Now(), Level: level, Scope: scope, Text: text}
	if err := e.History.Append(context.Background(), run, line); err != nil {
		e.opts.Logger.Error("append to a run's log", "run", run, "error", err)
	}
}
