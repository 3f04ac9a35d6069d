// Package deploy runs the workflows that bring the releases of an environment to a
// commit: "run" for the environment, and "release" for each of its releases.
package deploy

import (
	"context"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/plan"
	"github.com/hubship/hubship/internal/ship/build"
	"github.com/hubship/hubship/internal/ship/fleets"
	"github.com/hubship/hubship/internal/ship/planning"
	"github.com/hubship/hubship/internal/ship/runs"
)

// Repository is the deployment repository. internal/ship says what each method
// does, here and below.
type Repository interface {
	Subject(ctx context.Context, commit string) (string, error)
	IsAncestor(ctx context.Context, old, new string) (bool, error)
	FS(ctx context.Context, commit string) (fs.FS, error)
}

// Images knows images in registries.
type Images interface {
	Exists(ctx context.Context, built model.Built) (bool, error)
	Digest(ctx context.Context, ref string) (digest string, err error)
}

// Releases are the Helm releases of all clusters.
type Releases interface {
	Foreign(ctx context.Context, u model.Upgrade, only bool) (model.Foreign, error)
	Upgrade(ctx context.Context, cluster model.Cluster, u model.Upgrade) (model.Observed, error)
	Rollback(ctx context.Context, cluster model.Cluster, target model.Target, revision int, run, reason string, log func(model.Level, string)) (model.Observed, error)
}

// EvidenceStore keeps evidence and halts of each release.
type EvidenceStore interface {
	Record(ctx context.Context, cluster model.Cluster, target model.Target, ev model.Evidence) error
	Halt(ctx context.Context, cluster model.Cluster, target model.Target, h model.Halt) error
	Clear(ctx context.Context, cluster model.Cluster, target model.Target) error
}

// ReleaseLock lets one run at a time change a release.
type ReleaseLock interface {
	Lock(ctx context.Context, cluster model.Cluster, target model.Target, holder string, waiting func(holder string)) (locked context.Context, unlock func(), err error)
}

// Verifier tests a live release as a user.
type Verifier interface {
	Verify(ctx context.Context, cluster model.Cluster, req model.VerifyRequest) (model.Verification, error)
}

// Previewer describes what a change does before a run does it.
type Previewer interface {
	Preview(ctx context.Context, q model.PreviewRequest) ([]string, error)
}

// Options configure a Deployer.
type Options struct {
	Repository Repository
	Images     Images
	Releases   Releases
	Evidence   EvidenceStore
	Locks      ReleaseLock
	Verifier   Verifier
	Previewer  Previewer // may be nil: runs then do not say what changes

	Journal    *runs.Journal
	Fleets     fleets.Reader
	Planner    *planning.Planner
	Builder    build.Builder
	Flow       dbos.Context
	Concurrent int // releases upgraded side by side
	// Finished is called when a run has ended: something may now be possible in
	// the environments after it. It must return at once.
	Finished func()
}

// Deployer deploys. Its methods are safe for concurrent use.
type Deployer struct {
	o          Options
	queue      dbos.Queue
	slots      chan struct{} // one for each release that is upgraded now
	unanswered patience
}

// New returns a Deployer and registers its workflows. OpenQueue must be
// called before Enqueue.
func New(o Options) *Deployer {
	d := &Deployer{o: o, slots: make(chan struct{}, o.Concurrent)}
	dbos.RegisterWorkflow(o.Flow, d.run, dbos.WithWorkflowName("run"))
	dbos.RegisterWorkflow(o.Flow, d.release, dbos.WithWorkflowName("release"))
	return d
}

// OpenQueue opens the queue of runs, which runs one at a time per environment.
func (d *Deployer) OpenQueue() (err error) {
	d.queue, err = dbos.RegisterQueue(d.o.Flow, "runs",
		dbos.WithPartitionConcurrency(1),
		dbos.WithQueueBasePollingInterval(100*time.Millisecond),
		dbos.WithQueueOnConflict(dbos.QueueConflictAlwaysUpdate))
	if err != nil {
		return fmt.Errorf("register the queue of runs: %w", err)
	}
	return nil
}

// Enqueue makes a run durable and adds it to its environment's queue. An empty
// commit has no subject.
func (d *Deployer) Enqueue(ctx context.Context, req model.RunRequest, commit string) (model.Run, error) {
	now := time.Now()
	r := model.Run{
		ID: runs.NewID(now), Kind: req.Kind, Environment: req.Environment, Hubs: req.Hubs,
		Commit: commit, Cause: req.Cause, Force: req.Force, State: model.Queued, Created: now,
	}
	if commit != "" {
		subject, err := d.o.Repository.Subject(ctx, commit)
		if err != nil {
			return model.Run{}, err
		}
		r.Subject = subject
	}
	err := d.o.Journal.Queue(ctx, r, func() error {
		in := runInput{Run: r, Revision: req.Revision, Packages: req.Packages, By: req.By}
		_, err := dbos.RunWorkflow(d.o.Flow, d.run, in,
			dbos.WithWorkflowID(r.ID), dbos.WithQueue(d.queue), dbos.WithQueuePartitionKey(r.Environment))
		return err
	})
	if err != nil {
		return model.Run{}, err
	}
	return r, nil
}

// Due returns the deploy that brings an environment's releases to its tip; its
// Cause says what is missing in which hub. ok is false when there is nothing to do,
// or nothing can be done now.
func (d *Deployer) Due(ctx context.Context, tip fleets.Tip) (req model.RunRequest, ok bool, err error) {
	req = model.RunRequest{Kind: model.Deploy, Environment: tip.Name}
	p, err := d.o.Planner.Environment(ctx, tip.Fleet, model.Run{Kind: req.Kind, Environment: req.Environment, Commit: tip.Head})
	if err != nil {
		return req, false, err
	}
	var why []string
	for _, rel := range p.Releases {
		if d.unanswered.waits(rel.Desired.Target.Key(), tip.Head) {
			continue
		}
		if rel.Action == plan.Upgrade || rel.Action == plan.Test {
			req.Hubs = append(req.Hubs, rel.Desired.Target.Hub)
			why = append(why, rel.Desired.Target.Hub+": "+strings.Join(rel.Reasons, "; "))
		}
	}
	req.Cause = strings.Join(why, "; ")
	if len(req.Hubs) == len(p.Releases) {
		req.Hubs = nil // all
	}
	return req, len(why) > 0, nil
}
