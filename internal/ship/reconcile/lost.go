package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"

	"github.com/hubship/hubship/internal/model"
)

// lostAfter is how long a run may be in the history before its workflow.
const lostAfter = 10 * time.Second

// endLost ends runs in the history that no workflow carries on: its database was
// lost or restored, or it was recorded by workflows of another shape. Such a run
// would otherwise seem to be under way for ever, and keep its environment from
// being reconciled.
func (r *Reconciler) endLost(ctx context.Context) error {
	active, err := r.o.Journal.List(ctx, model.RunFilter{Active: true, Limit: 1000})
	if err != nil {
		return err
	}
	for _, run := range active {
		if time.Since(run.Created) < lostAfter {
			continue
		}
		why, err := r.lost(run.ID)
		if err != nil {
			return err
		}
		if why == "" {
			continue
		}
		run.State, run.Finished = model.FailedRun, time.Now()
		run.Reason = "interrupted: " + why + "; what it did not finish is deployed again"
		r.o.Journal.Say(run.ID, "", model.LevelError, "%s", run.Reason)
		if err := r.o.Journal.Put(ctx, run); err != nil {
			return err
		}
	}
	return nil
}

// lost says why a run's workflow will not go on, or "".
func (r *Reconciler) lost(id string) (string, error) {
	handle, err := dbos.RetrieveWorkflow[model.Run](r.o.Flow, id)
	if errors.Is(err, dbos.ErrNonExistentWorkflow) {
		return "its workflow is not in the database", nil
	}
	if err != nil {
		return "", fmt.Errorf("look for the workflow of run %s: %w", id, err)
	}
	status, err := handle.GetStatus()
	if err != nil {
		return "", fmt.Errorf("look for the workflow of run %s: %w", id, err)
	}
	switch {
	case status.ApplicationVersion != "" && status.ApplicationVersion != r.o.Version:
		return "it was started by another version of hubship", nil
	case slices.Contains([]dbos.WorkflowStatusType{dbos.WorkflowStatusPending, dbos.WorkflowStatusEnqueued, dbos.WorkflowStatusDelayed}, status.Status):
		return "", nil
	}
	return fmt.Sprintf("its workflow ended with the state %s", status.Status), nil
}
