package pulls_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/model"
)

// late is a forge that sees late what was just pushed or set, and loses an answer.
type late struct {
	*looks
	opens, merges, deployments, started atomic.Int64
}

func (l *late) Open(ctx context.Context, n forge.NewPullRequest) (forge.PullRequest, error) {
	if strings.HasPrefix(n.Head, "revert-") && l.opens.Add(1) <= 2 {
		return forge.PullRequest{}, fmt.Errorf("open: %w: head is not a branch", forge.ErrInvalid)
	}
	return l.looks.Open(ctx, n)
}

func (l *late) Merge(ctx context.Context, number int, m forge.Merge) (string, error) {
	if l.merges.Add(1) <= 2 {
		return "", fmt.Errorf("merge: %w: Base branch was modified", forge.ErrConflict)
	}
	return l.looks.Merge(ctx, number, m)
}

func (l *late) StartDeployment(ctx context.Context, d forge.Deployment) (int64, error) {
	l.started.Add(1)
	return l.looks.StartDeployment(ctx, d)
}

func (l *late) SetDeployment(ctx context.Context, id int64, s forge.DeploymentStatus) error {
	if l.deployments.Add(1) == 1 {
		return fmt.Errorf("set: %w", forge.ErrUnavailable)
	}
	return l.looks.SetDeployment(ctx, id, s)
}

// What a forge refuses since it has not seen it yet is done a moment later, and
// nobody is told; what was begun is not begun twice.
func TestForgeThatSeesLate(t *testing.T) {
	w := start(t)
	w.end()
	w.repo.auto = true
	w.trusted()
	l := &late{looks: w.looks}
	w.as, w.patience = l, 20*time.Second
	w.restart()
	w.engine.deploy("staging", w.head("staging"), model.Done, "")
	pr := w.propose("broken", "Break")
	w.engine.finish(w.checked(pr.Number, pr.Head.Commit).ID, model.Done, model.PartPassed, "fine")
	w.engine.deploy("staging", w.merge(pr.Number), model.FailedRun, "boom")
	said := w.says(pr.Number, "reverts this change")
	var number int
	_, err := fmt.Sscanf(said[strings.LastIndex(said, "#"):], "#%d", &number)
	w.ok(err)
	revert, err := w.hubship.PullRequest(t.Context(), number)
	w.ok(err)
	w.engine.finish(w.checked(number, revert.Head.Commit).ID, model.Done, model.PartPassed, "fine")
	w.until("the revert is merged", func() string {
		p, err := w.hubship.PullRequest(t.Context(), number)
		if err != nil || !p.Merged {
			return fmt.Sprintf("merged %v, %v", p.Merged, err)
		}
		return ""
	})
	for _, body := range append(w.comments(pr.Number), w.comments(number)...) {
		if strings.Contains(body, "could not") {
			t.Errorf("somebody was told: %s", body)
		}
	}
	w.until("the deployment is recorded", func() string {
		if n := l.deployments.Load(); n < 2 {
			return fmt.Sprintf("%d statuses of it", n)
		}
		return ""
	})
	if n := l.started.Load(); n != 1 {
		t.Errorf("%d deployments were recorded for one release", n)
	}
}
