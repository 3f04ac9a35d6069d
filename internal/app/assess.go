package app

import (
	"context"
	"log/slog"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/plan"
	"github.com/hubship/hubship/internal/planner"
	"github.com/hubship/hubship/internal/repo"
	"github.com/hubship/hubship/internal/report"
	"github.com/hubship/hubship/internal/ship"
)

// assessor plans pull requests for their checks.
type assessor struct {
	planner    *planner.Planner
	repository *repo.Repository
	plans      plans
	log        *slog.Logger
}

var _ ship.Assessor = assessor{}

// Credentials implements ship.Assessor.
func (a assessor) Credentials(ctx context.Context, base, head string) ([]model.Remark, error) {
	return a.planner.Credentials(ctx, base, head)
}

// Assess implements ship.Assessor.
func (a assessor) Assess(ctx context.Context, q model.AssessRequest) (model.Assessment, error) {
	made, err := a.planner.Plan(ctx, planner.Request{Base: q.Base, Head: q.Head, Branch: q.Branch, Merge: true, Render: true, Environments: q.Environments})
	if err != nil {
		return model.Assessment{}, err
	}
	if err := a.plans.keep(q.Run, "Run "+q.Run, made); err != nil {
		// The log has the plan all the same.
		a.log.Warn("keep a check's plan", "run", q.Run, "error", err)
	}
	found := model.Assessment{Summary: forge.Shorten(report.Verdict(made), forge.MaxDescription), Process: made.Process, Packages: map[string][]model.Package{}}
	for _, p := range made.Problems {
		switch {
		case p.Check == "merge":
			found.Conflict = true
		case p.Preexisting:
		case p.Severity == plan.Error:
			found.Errors++
		case p.Severity == plan.Warning:
			found.Warnings++
		}
	}
	if found.Lines, err = inLines(made); err != nil {
		return found, err
	}
	if found.Conflict {
		return found, nil
	}
	if found.Merged = made.Merged; found.Merged == "" {
		found.Merged = made.Head // the base is in it already
	}
	if found.Changed, err = a.repository.Git().ChangedPaths(ctx, q.Base, found.Merged); err != nil {
		return found, err
	}
	for _, p := range made.Packages {
		if p.Ecosystem == "pip" && p.Change != plan.Removed {
			found.Packages[p.Image] = append(found.Packages[p.Image], model.Package{Name: p.Name, Spec: p.After})
		}
	}
	return found, nil
}
