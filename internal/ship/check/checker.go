// Package check runs the workflow "check" of a pull request: policy, plan, the
// repository's own tests, and images. It reports nothing to the forge.
package check

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/ship/build"
	"github.com/hubship/hubship/internal/ship/fleets"
	"github.com/hubship/hubship/internal/ship/runs"
)

// Repository is the deployment repository. internal/ship says what each method
// does, here and below.
type Repository interface {
	Now(ctx context.Context) (model.Process, error)
	Subject(ctx context.Context, commit string) (string, error)
	Desired(ctx context.Context, fleet *model.Fleet, env string) ([]model.Desired, error)
	Files(ctx context.Context, commit string) (map[string]string, error)
	FS(ctx context.Context, commit string) (fs.FS, error)
}

// Images finds images.
type Images interface {
	Find(ctx context.Context, tree fs.FS, src model.Source) (built model.Built, ok bool, err error)
}

// Assessor reads changes without running any of their code.
type Assessor interface {
	Credentials(ctx context.Context, base, head string) ([]model.Remark, error)
	Assess(ctx context.Context, q model.AssessRequest) (model.Assessment, error)
}

// Sandbox runs the code of a change.
type Sandbox interface {
	TestKey(ctx context.Context, test model.Test, files string) (string, error)
	Test(ctx context.Context, dir string, test model.Test, log io.Writer) (model.TestResult, error)
	Smoke(ctx context.Context, built model.Built, q model.SmokeRequest, log io.Writer) (model.SmokeResult, error)
}

// Results remember which tests passed.
type Results interface {
	Passed(ctx context.Context, key string) (model.TestResult, bool, error)
	SetPassed(ctx context.Context, key string, r model.TestResult) error
}

// Options configure a Checker.
type Options struct {
	Repository Repository
	Images     Images

	// Where one of these is nil, there are no checks.
	Assessor Assessor
	Sandbox  Sandbox
	Results  Results

	Journal    *runs.Journal
	Fleets     fleets.Reader
	Builder    build.Builder
	Flow       dbos.Context
	Concurrent int // pull requests checked side by side
}

// Checker checks pull requests. Its methods are safe for concurrent use.
type Checker struct {
	o     Options
	queue dbos.Queue
}

// New returns a Checker and registers its workflow. OpenQueue must be called
// before Check.
func New(o Options) *Checker {
	c := &Checker{o: o}
	dbos.RegisterWorkflow(o.Flow, c.check, dbos.WithWorkflowName("check"))
	return c
}

// OpenQueue opens the queue of checks, which runs one at a time per pull request.
func (c *Checker) OpenQueue() (err error) {
	c.queue, err = dbos.RegisterQueue(c.o.Flow, "checks",
		dbos.WithPartitionConcurrency(1), dbos.WithWorkerConcurrency(c.o.Concurrent),
		dbos.WithQueueBasePollingInterval(100*time.Millisecond),
		dbos.WithQueueOnConflict(dbos.QueueConflictAlwaysUpdate))
	if err != nil {
		return fmt.Errorf("register the queue of checks: %w", err)
	}
	return nil
}

// Check queues a check of a pull request and returns it at once. An older check
// of the same pull request is superseded.
func (c *Checker) Check(ctx context.Context, p model.PullRequest, cause string) (model.Run, error) {
	if c.o.Assessor == nil || c.o.Sandbox == nil || c.o.Results == nil {
		return model.Run{}, errors.New("check a pull request: one of the engine's ports is missing")
	}
	older, err := c.o.Journal.List(ctx, model.RunFilter{Kind: model.CheckPull, Pull: p.Number, Active: true})
	if err != nil {
		return model.Run{}, fmt.Errorf("check pull request #%d: %w", p.Number, err)
	}
	subject, err := c.o.Repository.Subject(ctx, p.Head)
	if err != nil {
		return model.Run{}, fmt.Errorf("check pull request #%d at %.12s: %w", p.Number, p.Head, err)
	}
	now := time.Now()
	r := model.Run{
		ID: runs.NewID(now), Kind: model.CheckPull, Commit: p.Head, Subject: subject, Cause: cause,
		State: model.Queued, Created: now, Pull: &model.PullCheck{PullRequest: p},
	}
	for _, name := range model.PartNames {
		r.Pull.Parts = append(r.Pull.Parts, model.Part{Name: name, State: model.PartWaiting, Summary: "waits for its turn"})
	}
	for _, old := range older {
		if err := c.Supersede(ctx, old.ID, "superseded by run "+r.ID+": "+cause); err != nil {
			return model.Run{}, err
		}
	}
	err = c.o.Journal.Queue(ctx, r, func() error {
		_, err := dbos.RunWorkflow(c.o.Flow, c.check, r, dbos.WithWorkflowID(r.ID), dbos.WithQueue(c.queue), dbos.WithQueuePartitionKey(fmt.Sprintf("pull/%d", p.Number)))
		return err
	})
	if err != nil {
		return model.Run{}, err
	}
	return r, nil
}

// Supersede ends a check that is no longer needed: a waiting one never starts,
// a running one stops. It is not an error if the check has already ended.
func (c *Checker) Supersede(ctx context.Context, id, reason string) error {
	r, err := c.o.Journal.Get(ctx, id)
	if err != nil {
		return fmt.Errorf("end run %s: %w", id, err)
	}
	if r.State.Final() || c.o.Journal.Supersede(id, reason) {
		return nil
	}
	if err := dbos.CancelWorkflow(c.o.Flow, id); err != nil {
		return fmt.Errorf("end run %s: %w", id, err)
	}
	r.State, r.Reason, r.Finished = model.Superseded, reason, time.Now()
	return c.o.Journal.Put(ctx, r)
}
