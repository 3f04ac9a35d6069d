package runs

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/hubship/hubship/internal/model"
)

// Beginning is the outcome of a run's first step. A State means that the run
// ends here. It is recorded.
type Beginning struct {
	At     time.Time
	State  model.RunState
	Reason string
}

// Outcome makes an expected failure a durable result: a step that returns an
// error would be recorded too, but without its duration and its structure. It is
// recorded.
type Outcome[T any] struct {
	Value T
	Took  time.Duration
	Ending
}

// Ending says that a step did not complete, and why.
type Ending struct {
	Err        string // one line; empty when it did
	Cancelled  bool   // by a person
	Superseded bool   // the run is not needed any more
}

// State returns how a release or run ends when its step has failed.
func (x Ending) State() model.RunState {
	switch {
	case x.Superseded:
		return model.Superseded
	case x.Cancelled:
		return model.Cancelled
	}
	return model.FailedRun
}

// Attempt runs f as a step of a run, lets a person cancel it, and keeps its error
// as a result, unless the process is ending: then the step must run again after
// the restart. A step of the run "" cannot be cancelled.
func Attempt[T any](ctx context.Context, j *Journal, run string, f func(context.Context) (T, error)) (Outcome[T], error) {
	began := time.Now()
	inner, done := j.interruptible(ctx, run)
	defer done()
	v, err := f(inner)
	o := Outcome[T]{Value: v, Took: time.Since(began)}
	if err == nil {
		return o, nil
	}
	if ctx.Err() != nil {
		return o, context.Cause(ctx)
	}
	var by errCancelledBy
	var newer errSuperseded
	switch cause := context.Cause(inner); {
	case errors.As(cause, &by):
		o.Cancelled, err = true, by
	case errors.As(cause, &newer):
		o.Superseded, err = true, newer
	}
	o.Err = Describe(err)
	return o, nil
}

// Describe returns an error with its hint in one line; anything else it quotes is
// in the run's log.
func Describe(err error) string {
	text, _, _ := strings.Cut(err.Error(), "\n")
	if hint := model.HintOf(err); hint != "" {
		return text + " (" + hint + ")"
	}
	return text
}
