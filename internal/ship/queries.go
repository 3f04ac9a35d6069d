package ship

import (
	"context"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/ship/query"
)

// Status observes the whole installation. It reports what could not be observed,
// and never fails as a whole.
func (e *Engine) Status(ctx context.Context) (model.Status, error) { return e.queries.Status(ctx) }

// Hosts lists the hubs by the host name under which they are served.
func (e *Engine) Hosts(ctx context.Context) (map[string]query.Host, error) {
	return e.queries.Hosts(ctx)
}

// Evidence lists the records of the releases' evidence stores, trusted or not. An
// empty environment or hub means all. A store that cannot be read is a record
// with an Error.
func (e *Engine) Evidence(ctx context.Context, env, hub string) ([]model.EvidenceRecord, error) {
	return e.queries.Evidence(ctx, env, hub)
}

// Promotion says what merging one environment's branch into the next one's
// would bring there, and whether all of it is proved. A refusal is part of the
// Promotion and an error with the exit code of a gate.
func (e *Engine) Promotion(ctx context.Context, req model.PromoteRequest) (model.Promotion, error) {
	return e.queries.Promotion(ctx, req)
}

// Runs returns the newest runs first.
func (e *Engine) Runs(ctx context.Context, f model.RunFilter) ([]model.Run, error) {
	return e.queries.Runs(ctx, f)
}

// Run returns a run; the error is fs.ErrNotExist for an unknown one.
func (e *Engine) Run(ctx context.Context, id string) (model.Run, error) {
	return e.queries.Run(ctx, id)
}

// Lines returns lines of a run's log, oldest first: those after a number, at
// most limit.
func (e *Engine) Lines(ctx context.Context, id string, after int64, limit int) ([]model.Line, error) {
	return e.queries.Lines(ctx, id, after, limit)
}
