package ship

import (
	"context"
	"slices"
	"time"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/plan"
)

// Preview words what a change does before a run does it.
type Preview interface {
	// Preview compares what a release runs with what it should: the lines say
	// what changes in the hubs' releases in the environment and what users
	// will feel, without any secret.
	Preview(ctx context.Context, q model.PreviewRequest) ([]string, error)
}

const (
	// previewPatience bounds one preview: it informs, and nothing waits for it.
	previewPatience = 20 * time.Second
	// maxPreviews bounds how many commits that releases run are compared
	// with the new one.
	maxPreviews = 3
)

// preview says in the run's log what the releases that are to be upgraded
// change, once for all that run the same commit. It decides nothing: where it
// cannot be had, the run goes on.
func (e *Engine) preview(ctx context.Context, r model.Run, releases []releasePlan) {
	if e.Previewer == nil {
		return
	}
	var bases []string
	hubs := map[string][]string{}
	for _, rel := range releases {
		base := rel.Before.Commit
		if rel.Action != plan.Upgrade || base == "" || base == rel.Desired.Commit {
			continue
		}
		if !slices.Contains(bases, base) {
			bases = append(bases, base)
		}
		hubs[base] = append(hubs[base], rel.Desired.Target.Hub)
	}
	for _, base := range bases[:min(len(bases), maxPreviews)] {
		ctx, cancel := context.WithTimeout(ctx, previewPatience)
		lines, err := e.Previewer.Preview(ctx, model.PreviewRequest{Run: r.ID, Base: base, Head: r.Commit, Environment: r.Environment, Hubs: hubs[base]})
		cancel()
		if err != nil {
			e.say(r.ID, "plan", model.LevelWarn, "what changes cannot be shown: %s", err)
			continue
		}
		for _, line := range lines {
			e.say(r.ID, "plan", model.LevelInfo, "%s", line)
		}
	}
}
