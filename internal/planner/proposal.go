package planner

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/hubship/hubship/internal/config"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/plan"
	"github.com/hubship/hubship/internal/process"
)

// holds finds the process that both sides are judged under: that of now. In a
// clone, and while none holds, each side is planned as it proposes itself, and
// what is returned is what the base says; of a change without one, the head.
func (w *work) holds(ctx context.Context) (model.Process, error) {
	if w.o.Repository.Judges() {
		now, err := w.o.Repository.Now(ctx)
		if err == nil {
			w.under = now.Commit
			return now, nil
		}
		if ctx.Err() != nil {
			return now, fmt.Errorf("plan: %w", err)
		}
		w.problem(plan.Problem{
			Severity: plan.Notice, Check: "process", Message: "nothing is deployed: " + firstLine(err) + "; the change is planned with the process that it proposes",
			Hint: model.HintOf(err),
		})
		return model.Process{Branch: now.Branch}, nil
	}
	if w.base.commit != "" {
		if p, err := w.o.Repository.ProcessAt(ctx, w.base.commit); err == nil {
			return p, nil
		} else if ctx.Err() != nil {
			return p, fmt.Errorf("plan: %w", err)
		}
	}
	p, err := w.o.Repository.ProcessAt(ctx, w.head.commit)
	if err != nil && ctx.Err() != nil {
		return p, fmt.Errorf("plan: %w", err)
	}
	return p, nil // what is unreadable is told where the head is read
}

// propose says what the change proposes for the process and for the
// repository's own tests. What it proposes has no say in the rest of the plan,
// right or wrong.
func (w *work) propose(ctx context.Context, now model.Process) error {
	if w.base.commit == "" || w.o.Repository.Judges() && !w.q.Merge {
		return nil // nothing holds that could be altered; or it was merged before
	}
	p := &model.Proposal{Branch: now.Branch, Decides: !w.o.Repository.Judges() || w.q.Branch == now.Branch}
	if w.base.cfg != nil && w.head.cfg != nil {
		p.Tests = plan.Weakened(w.base.cfg.Fleet.Tests, w.head.cfg.Fleet.Tests)
	}
	for _, t := range p.Tests {
		w.problem(plan.Problem{
			Severity: plan.Warning, Check: "tests", File: config.FileName, Message: t.Words,
			Hint: "the base's version of the check runs as well; remove what it needs only after the check itself is removed",
		})
	}
	proposed, err := w.o.Repository.ProcessAt(ctx, w.head.commit)
	switch {
	case err != nil && ctx.Err() != nil:
		return fmt.Errorf("plan: %w", err)
	case err != nil && w.under == "":
		// The head's own reading tells it.
		p.Broken = firstLine(err)
	case err != nil:
		p.Broken = firstLine(err)
		w.broken(err, p.Decides)
	case p.Decides:
		p.Changes = process.Alters(now, proposed)
	default:
		// It decides nothing; what it changes of what its branch said is shown.
		if before, err := w.o.Repository.ProcessAt(ctx, w.base.commit); err == nil {
			p.Changes = process.Alters(before, proposed)
		}
	}
	if len(p.Changes) > 0 || p.Broken != "" || len(p.Tests) > 0 {
		w.plan.Process = p
	}
	return nil
}

// broken reports what is wrong with the proposal of a change: an error where
// it would hold once merged, and elsewhere something to know.
func (w *work) broken(err error, decides bool) {
	severity := plan.Notice
	if decides {
		severity = plan.Error
	}
	var wrong *config.Error
	if !errors.As(err, &wrong) {
		w.problem(plan.Problem{Severity: severity, Check: "process", Message: firstLine(err), Hint: model.HintOf(err)})
		return
	}
	for _, found := range wrong.Problems {
		p := configProblem(found, severity, "")
		p.Check = "process"
		w.problem(p)
	}
}

func firstLine(err error) string {
	text, _, _ := strings.Cut(err.Error(), "\n")
	return text
}
