package deploy

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/plan"
	"github.com/hubship/hubship/internal/ship/planning"
)

// plan plans a run of any kind, and says in its log what it is going to do.
func (d *Deployer) plan(ctx context.Context, in runInput) (planning.Plan, error) {
	r := in.Run
	fleet, err := d.o.Fleets.At(ctx, r.Commit)
	if err != nil {
		return planning.Plan{}, err
	}
	p, err := d.o.Planner.Environment(ctx, fleet, r)
	if err != nil {
		return p, err
	}
	for i := range p.Releases {
		rel := &p.Releases[i]
		if len(in.Packages) > 0 {
			rel.Packages = nil
			for _, name := range in.Packages {
				rel.Packages = append(rel.Packages, model.Package{Name: name})
			}
		}
		level := model.LevelInfo
		if rel.Action == plan.Refuse || rel.Action == plan.Blocked {
			level = model.LevelWarn
		}
		d.o.Journal.Say(r.ID, "plan", level, "%s: %s: %s", rel.Desired.Target, rel.Action, strings.Join(rel.Reasons, "; "))
	}
	d.preview(ctx, r, p.Releases)
	for _, src := range p.Build {
		d.o.Journal.Say(r.ID, "plan", model.LevelInfo, "image %s will be built: the registry has no image with these inputs (%.12s)", src.ID, src.Hash)
	}
	return p, nil
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
func (d *Deployer) preview(ctx context.Context, r model.Run, releases []planning.Release) {
	if d.o.Previewer == nil {
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
		lines, err := d.o.Previewer.Preview(ctx, model.PreviewRequest{Run: r.ID, Base: base, Head: r.Commit, Environment: r.Environment, Hubs: hubs[base]})
		cancel()
		if err != nil {
			d.o.Journal.Say(r.ID, "plan", model.LevelWarn, "the changes cannot be shown: %s", err)
			continue
		}
		for _, line := range lines {
			d.o.Journal.Say(r.ID, "plan", model.LevelInfo, "%s", line)
		}
	}
}
