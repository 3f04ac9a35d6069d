// Package runs is what the workflows of internal/ship share: the record and the
// log of each run, steps whose failures are results, and how a run under way is
// ended from outside.
package runs

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/hubship/hubship/internal/model"
)

// History keeps runs and their logs. internal/ship says what each method does.
type History interface {
	Put(ctx context.Context, run model.Run) error
	Get(ctx context.Context, id string) (model.Run, error)
	List(ctx context.Context, f model.RunFilter) ([]model.Run, error)
	Append(ctx context.Context, run string, line model.Line) error
}

// Journal records runs, and knows which of them are under way in this process.
// Its methods are safe for concurrent use.
type Journal struct {
	History
	Logger *slog.Logger // of the process

	mu       sync.Mutex
	underWay map[string]interrupt // by the run's ID
}

// NewJournal returns a Journal over a history.
func NewJournal(history History, logger *slog.Logger) *Journal {
	return &Journal{History: history, Logger: logger, underWay: map[string]interrupt{}}
}

// NewID returns an identifier that sorts by time, to the millisecond.
func NewID(now time.Time) string {
	var b [2]byte
	_, _ = rand.Read(b[:]) // never fails on the platforms that Go supports
	now = now.UTC()
	return fmt.Sprintf("%s-%03d%s", now.Format("20060102-150405"), now.Nanosecond()/1e6, hex.EncodeToString(b[:]))
}

// Hubs names the hubs that a run is restricted to.
func Hubs(r model.Run) string {
	if len(r.Hubs) == 0 {
		return "all hubs"
	}
	return strings.Join(r.Hubs, ", ")
}

// Say appends a line to a run's log. If that fails, it says so in the process's own
// log: the run must not fail because of it.
func (j *Journal) Say(run, scope string, level model.Level, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	line := model.Line{Time: time.Now(), Level: level, Scope: scope, Text: text}
	if err := j.Append(context.Background(), run, line); err != nil {
		j.Logger.Error("append to a run's log", "run", run, "error", err)
	}
}

// Queue records a run as waiting for its turn, and calls start to queue its
// workflow. A run that cannot be queued is recorded as failed.
func (j *Journal) Queue(ctx context.Context, r model.Run, start func() error) error {
	if err := j.Put(ctx, r); err != nil {
		return fmt.Errorf("record run %s: %w", r.ID, err)
	}
	if err := start(); err != nil {
		r.State, r.Reason = model.FailedRun, "could not be queued: "+err.Error()
		return errors.Join(fmt.Errorf("queue run %s: %w", r.ID, err), j.Put(ctx, r))
	}
	return nil
}

// Finish records how a run ended, and says so in its log after what it was about.
func (j *Journal) Finish(ctx context.Context, r model.Run, level model.Level, about string) (model.Run, error) {
	r.Finished = time.Now()
	text := fmt.Sprintf("%s: %s", about, r.State)
	if r.Reason != "" {
		text += ": " + r.Reason
	}
	j.Say(r.ID, "", level, "%s (%s)", text, r.Finished.Sub(r.Started).Round(100*time.Millisecond))
	return r, j.Put(ctx, r)
}

// Fail ends a run in which a step could not be recorded. It reports this as far
// as it can, and returns the error together with any that occurred on the way.
func (j *Journal) Fail(r model.Run, err error) (model.Run, error) {
	r.State, r.Reason, r.Finished = model.FailedRun, err.Error(), time.Now()
	j.Say(r.ID, "", model.LevelError, "%s", r.Reason)
	return r, errors.Join(err, j.Put(context.Background(), r))
}
