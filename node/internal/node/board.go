package node

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// StepState is how far a step of the start has come.
type StepState string

// The states of a step.
const (
	StepRunning StepState = "running"
	StepDone    StepState = "done"
	StepFailed  StepState = "failed"
)

// Step is one part of the start of a node.
type Step struct {
	Name   string    `json:"name"`
	State  StepState `json:"state"`
	Detail string    `json:"detail"`
	// StartedAt is when the step began.
	StartedAt time.Time `json:"startedAt"`
	// DurationMs is how long it took, or has taken until now, in milliseconds.
	DurationMs int64 `json:"durationMs"`
}

// board records the steps of a start, which run side by side.
type board struct {
	log   *slog.Logger
	mu    sync.Mutex
	steps []*Step
	phase string
	ready bool
	err   string
}

// step runs fn as a step. detail says in a few words what it does.
func (b *board) step(ctx context.Context, name, detail string, fn func(context.Context) error) error {
	s := &Step{Name: name, State: StepRunning, Detail: detail, StartedAt: time.Now()}
	b.mu.Lock()
	b.steps = append(b.steps, s)
	b.mu.Unlock()
	err := fn(ctx)
	b.mu.Lock()
	defer b.mu.Unlock()
	took := time.Since(s.StartedAt)
	s.DurationMs = took.Milliseconds()
	if err != nil {
		s.State, s.Detail = StepFailed, err.Error()
		return err
	}
	s.State = StepDone
	b.log.Info(name, "did", detail, "took", took.Round(time.Millisecond))
	return nil
}

func (b *board) setPhase(phase string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.phase = phase
}

func (b *board) setReady(ready bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ready = ready
}

func (b *board) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ready, b.phase, b.err = false, "failed", err.Error()
}

// fill copies what the board knows into a status.
func (b *board) fill(s *Status) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s.Ready, s.Phase, s.Error = b.ready, b.phase, b.err
	s.Steps = make([]Step, 0, len(b.steps))
	for _, step := range b.steps {
		copied := *step
		if copied.State == StepRunning {
			copied.DurationMs = time.Since(step.StartedAt).Milliseconds()
		}
		s.Steps = append(s.Steps, copied)
	}
}
