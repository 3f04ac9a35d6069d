package runs

import (
	"context"
)

// interrupt ends the present step of a run.
type interrupt struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
}

// errCancelledBy is the cause of a step that a person cancelled.
type errCancelledBy struct{ by string }

func (e errCancelledBy) Error() string { return "cancelled by " + e.by }

// errSuperseded is the cause of a step that ended because its run is not
// needed any more.
type errSuperseded struct{ reason string }

func (e errSuperseded) Error() string { return e.reason }

// Watch registers a run as under way in this process, so that Cancel and
// Supersede reach its steps. It returns a function that ends this.
func (j *Journal) Watch(run string) (unwatch func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	j.mu.Lock()
	defer j.mu.Unlock()
	j.underWay[run] = interrupt{ctx: ctx, cancel: cancel}
	return func() {
		cancel(nil)
		j.mu.Lock()
		defer j.mu.Unlock()
		delete(j.underWay, run)
	}
}

// Cancel ends the current step of a run on behalf of a person. It returns false
// when the run is not under way in this process.
func (j *Journal) Cancel(run, by string) bool { return j.interrupt(run, errCancelledBy{by}) }

// Supersede ends the current step of a run that is no longer needed. It returns
// false when the run is not under way in this process.
func (j *Journal) Supersede(run, reason string) bool { return j.interrupt(run, errSuperseded{reason}) }

func (j *Journal) interrupt(run string, cause error) bool {
	j.mu.Lock()
	i, here := j.underWay[run]
	j.mu.Unlock()
	if here {
		i.cancel(cause)
	}
	return here
}

// interruptible returns a context that also ends when the run is cancelled or
// superseded.
func (j *Journal) interruptible(ctx context.Context, run string) (context.Context, context.CancelFunc) {
	j.mu.Lock()
	i, here := j.underWay[run]
	j.mu.Unlock()
	ctx, cancel := context.WithCancelCause(ctx)
	if !here {
		return ctx, func() { cancel(nil) }
	}
	stop := context.AfterFunc(i.ctx, func() { cancel(context.Cause(i.ctx)) })
	return ctx, func() { stop(); cancel(nil) }
}
