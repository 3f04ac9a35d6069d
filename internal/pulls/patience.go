package pulls

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hubship/hubship/internal/forge"
)

// merge merges a pull request that somebody waits for. A forge refuses for a while what it has not seen
// yet: statuses that were just set, a base that just moved, a merge that it has not
// tried yet. So a refusal is tried again for some time before it counts, as long as
// the pull request is open and at the same head.
func (c *Controller) merge(ctx context.Context, number int, m forge.Merge) (string, error) {
	for began := time.Now(); ; {
		commit, err := c.o.Forge.Merge(ctx, number, m)
		if err == nil || !errors.Is(err, forge.ErrConflict) || time.Since(began) >= c.o.Patience {
			return commit, err
		}
		pr, looked := c.o.Forge.PullRequest(ctx, number)
		switch {
		case looked != nil:
			return "", errors.Join(err, looked)
		case pr.Merged && pr.Head.Commit == m.Head:
			return pr.MergeCommit, nil // the answer to an earlier attempt was lost
		case pr.State != forge.Open || pr.Head.Commit != m.Head:
			return "", err
		}
		if paused := c.pauseBetween(ctx); paused != nil {
			return "", fmt.Errorf("%w: %w", err, paused)
		}
	}
}

// openPushed opens a pull request from a branch that was just pushed. A forge
// refuses a branch that it has not seen yet.
func (c *Controller) openPushed(ctx context.Context, n forge.NewPullRequest) (forge.PullRequest, error) {
	for began := time.Now(); ; {
		pr, err := c.o.Forge.Open(ctx, n)
		if err == nil || !errors.Is(err, forge.ErrInvalid) || time.Since(began) >= c.o.Patience {
			return pr, err
		}
		if paused := c.pauseBetween(ctx); paused != nil {
			return forge.PullRequest{}, fmt.Errorf("%w: %w", err, paused)
		}
	}
}

func (c *Controller) pauseBetween(ctx context.Context) error { return pause(ctx, c.step()) }

// step is the pause between two attempts.
func (c *Controller) step() time.Duration { return min(patienceStep, c.o.Patience/10) }

// early says whether the refusal to merge a pull request at its head is too young
// to count. The first one begins the time.
func (c *Controller) early(pr forge.PullRequest) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, known := c.refused[pr.Head.Commit]
	if !known {
		at = time.Now()
		c.refused[pr.Head.Commit] = at
	}
	return time.Since(at) < c.o.Patience
}
