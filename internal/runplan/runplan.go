// Package runplan makes the plans of runs: what a check decides by, and what a
// deploy says in its log before it begins. It saves each in a folder, for the
// pages and for reports.
package runplan

import (
	"context"
	"log/slog"
	"slices"
	"strings"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/plan"
	"github.com/hubship/hubship/internal/planner"
	"github.com/hubship/hubship/internal/repo"
	"github.com/hubship/hubship/internal/report"
)

// Maker makes the plans of runs. It is safe for concurrent use.
type Maker struct {
	Planner    *planner.Planner
	Repository *repo.Repository // that the planner reads
	Folder     Folder           // where plans are kept
	Log        *slog.Logger
}

// Credentials searches what head adds to base for credentials. What it returns
// contains none of them.
func (m Maker) Credentials(ctx context.Context, base, head string) ([]model.Remark, error) {
	return m.Planner.Credentials(ctx, base, head)
}

// Assess plans what merging head into base does, and saves the plan. Problems
// with the change are in the Assessment. An error means that there is no plan, or
// that what it changes could not be read.
func (m Maker) Assess(ctx context.Context, q model.AssessRequest) (model.Assessment, error) {
	made, err := m.Planner.Plan(ctx, planner.Request{Base: q.Base, Head: q.Head, Branch: q.Branch, Merge: true, Render: true, Environments: q.Environments})
	if err != nil {
		return model.Assessment{}, err
	}
	m.keep(q.Run, made)
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
	if found.Changed, err = m.Repository.Git().ChangedPaths(ctx, q.Base, found.Merged); err != nil {
		return found, err
	}
	for _, p := range made.Packages {
		if p.Ecosystem == "pip" && p.Change != plan.Removed {
			found.Packages[p.Image] = append(found.Packages[p.Image], model.Package{Name: p.Name, Spec: p.After})
		}
	}
	return found, nil
}

// Preview describes how what releases run differs from what they should run, and
// saves the plan. An error means that there is no plan.
func (m Maker) Preview(ctx context.Context, q model.PreviewRequest) ([]string, error) {
	made, err := m.Planner.Plan(ctx, planner.Request{
		Base: q.Base, Head: q.Head, Render: true, Hubs: q.Hubs, Environments: []string{q.Environment},
	})
	if err != nil {
		return nil, err
	}
	m.keep(q.Run, made)
	return inLines(made)
}

// keep keeps a run's plan. A failure stops no run: its log has the plan all the
// same.
func (m Maker) keep(run string, made plan.Plan) {
	if err := m.Folder.keep(run, "Run "+run, made); err != nil {
		m.Log.Warn("save a run's plan", "run", run, "error", err)
	}
}

// lineWidth is how wide the lines of a plan in a run's log are, in characters.
const lineWidth = 140

// inLines puts a plan into words for a run's log.
func inLines(made plan.Plan) ([]string, error) {
	var text strings.Builder
	if err := report.Text(&text, made, report.Options{Width: lineWidth}); err != nil {
		return nil, err
	}
	lines := strings.Split(text.String(), "\n")
	return slices.DeleteFunc(lines, func(line string) bool { return strings.TrimSpace(line) == "" }), nil
}
