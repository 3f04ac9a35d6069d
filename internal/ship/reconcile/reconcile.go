// Package reconcile repeatedly compares what should run with what runs, and queues
// what is missing. A lost event only causes delay.
package reconcile

import (
	"context"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/ship/fleets"
	"github.com/hubship/hubship/internal/ship/runs"
)

// Deployer deploys what a pass finds to be due.
type Deployer interface {
	// Due returns the run that would bring the environment's releases to the tip
	// of its branch; its Cause says why. ok is false when there is nothing to do,
	// or nothing can be done.
	Due(ctx context.Context, tip fleets.Tip) (req model.RunRequest, ok bool, err error)
	// Enqueue records a run of a commit and queues it.
	Enqueue(ctx context.Context, req model.RunRequest, commit string) (model.Run, error)
}

// Options configure a Reconciler.
type Options struct {
	Journal  *runs.Journal
	Fleets   fleets.Reader
	Deployer Deployer
	Flow     dbos.Context
	Version  string        // of the workflows' shape: runs of another one are lost
	Interval time.Duration // between two passes
}

// Reconciler makes reconcile passes. Its methods are safe for concurrent use.
type Reconciler struct {
	o    Options
	kick chan struct{}
}

// New returns a Reconciler; Run makes its passes.
func New(o Options) *Reconciler { return &Reconciler{o: o, kick: make(chan struct{}, 1)} }

// Kick asks for a pass soon.
func (r *Reconciler) Kick() {
	select {
	case r.kick <- struct{}{}:
	default: // one is asked for already
	}
}

// Run makes a pass at once, on every kick and at each interval, until ctx ends.
func (r *Reconciler) Run(ctx context.Context) {
	tick := time.NewTicker(r.o.Interval)
	defer tick.Stop()
	last := map[string]string{}
	for {
		pass, cancel := context.WithTimeout(ctx, 2*time.Minute)
		for _, problem := range r.Reconcile(pass) {
			// Said once, not every minute.
			if last[problem.Environment] != problem.Text {
				r.o.Journal.Logger.Warn("reconcile", "environment", problem.Environment, "problem", problem.Text)
			}
			last[problem.Environment] = problem.Text
		}
		cancel()
		select {
		case <-ctx.Done():
			return
		case <-r.kick:
		case <-tick.C:
		}
	}
}

// Problem is what kept a pass from observing an environment.
type Problem struct {
	Environment string // empty for all
	Text        string // empty when nothing did
}

// Reconcile makes one pass: it queues a run for every environment where a release
// differs from its branch and something can be done about it. It returns what it
// could not observe, and why.
func (r *Reconciler) Reconcile(ctx context.Context) []Problem {
	if err := r.endLost(ctx); err != nil {
		return []Problem{{"", err.Error()}}
	}
	now, err := r.o.Fleets.Repository.Now(ctx)
	if err != nil {
		return []Problem{{"", runs.Describe(err)}}
	}
	var problems []Problem
	for _, env := range now.Environments {
		text := ""
		if err := r.environment(ctx, env.Name); err != nil {
			text = err.Error()
		}
		problems = append(problems, Problem{env.Name, text})
	}
	return problems
}

func (r *Reconciler) environment(ctx context.Context, name string) error {
	if busy, err := r.busy(ctx, name); err != nil || busy {
		return err
	}
	tip, err := r.o.Fleets.Tip(ctx, name)
	if err != nil {
		return err
	}
	req, ok, err := r.o.Deployer.Due(ctx, tip)
	if err != nil || !ok {
		return err
	}
	// A push may have asked for the very same while this looked.
	if busy, err := r.busy(ctx, name); err != nil || busy {
		return err
	}
	req.Cause = "reconcile (" + req.Cause + ")"
	_, err = r.o.Deployer.Enqueue(ctx, req, tip.Head)
	return err
}

// busy says whether a run of the environment is queued or under way.
func (r *Reconciler) busy(ctx context.Context, env string) (bool, error) {
	active, err := r.o.Journal.List(ctx, model.RunFilter{Environment: env, Active: true, Limit: 1})
	return len(active) > 0, err
}
