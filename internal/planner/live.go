package planner

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/plan"
	"github.com/hubship/hubship/internal/release"
)

// Live answers questions that only clusters can answer.
type Live interface {
	// Servers returns how many users' servers run on a hub now.
	Servers(ctx context.Context, c model.Cluster, t model.Target) (int, error)
	// Images returns the references of images that every node that can run a
	// user's server has.
	Images(ctx context.Context, c model.Cluster) (map[string]bool, error)
	// DryRun lets the cluster go through applying objects, without keeping
	// anything.
	DryRun(ctx context.Context, c model.Cluster, t model.Target, objects []release.Object) []plan.Problem
}

// livePatience bounds what is asked of clusters for one plan, before anything
// that is tried on them.
const livePatience = 5 * time.Second

// liveReleases is how many releases are asked about; of more, the plan is about
// the chart, and one hub is as good as another.
const liveReleases = 100

// knowClusters finds the clusters that may be asked: those that the process
// names and the installation knows. One that the change adds is never among
// them. What a name stands for is the installation's to say.
func (w *work) knowClusters(ctx context.Context, now model.Process) {
	if w.o.Live == nil || w.o.Clusters == nil {
		return
	}
	w.clusters = map[string]model.Cluster{}
	for _, name := range now.Clusters {
		c, err := w.o.Clusters(ctx, name)
		if err != nil {
			w.problem(plan.Problem{
				Severity: plan.Notice, Check: "cluster", Object: "cluster " + name,
				Message: "cluster " + name + " could not be asked: " + err.Error(), Hint: model.HintOf(err),
			})
			continue
		}
		w.clusters[name] = c
	}
}

// live asks the clusters who is online, and which images their nodes have. A
// cluster that does not answer is one notice.
func (w *work) live(ctx context.Context) {
	if w.o.Live == nil || w.head.cfg == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, livePatience)
	defer cancel()
	fleet := w.head.cfg.Fleet
	var all sync.WaitGroup
	silent := map[string]error{}
	nodes := map[string]map[string]bool{}
	for _, name := range sortedKeys(w.clusters) {
		c := w.clusters[name]
		all.Add(1)
		go func() {
			defer all.Done()
			images, err := w.o.Live.Images(ctx, c)
			w.mu.Lock()
			defer w.mu.Unlock()
			if nodes[c.Name] = images; err != nil {
				silent[c.Name] = err
			}
		}()
	}
	all.Wait()
	for i := range w.plan.Releases[:min(len(w.plan.Releases), liveReleases)] {
		r := &w.plan.Releases[i]
		t, err := fleet.Target(r.Hub, r.Environment)
		if err != nil || r.Change != plan.Changed || silent[t.Cluster] != nil {
			continue
		}
		c, ok := w.clusters[t.Cluster]
		if !ok {
			continue
		}
		all.Add(1)
		go func() {
			defer all.Done()
			if n, err := w.o.Live.Servers(ctx, c, t); err == nil {
				r.Impact.Active = &n
			}
		}()
	}
	all.Wait()
	for _, name := range sortedKeys(silent) {
		if err := silent[name]; err != nil {
			w.problem(plan.Problem{
				Severity: plan.Notice, Check: "cluster", Object: "cluster " + name,
				Message: "cluster " + name + " could not be asked who is online and what its nodes have: " + err.Error(),
				Hint:    model.HintOf(err),
			})
		}
	}
	w.onNodes(fleet, nodes)
}

// onNodes takes off what nodes need not pull any more: an image that the nodes
// of every cluster where it goes have already.
func (w *work) onNodes(fleet *model.Fleet, nodes map[string]map[string]bool) {
	for i := range w.plan.Images {
		img := &w.plan.Images[i]
		if img.Build || img.Bytes == 0 {
			continue
		}
		there, asked := true, false
		for _, r := range w.plan.Releases {
			t, err := fleet.Target(r.Hub, r.Environment)
			if err != nil || !slices.Contains(img.Hubs, r.Hub) || nodes[t.Cluster] == nil {
				continue
			}
			asked, there = true, there && nodes[t.Cluster][img.After]
		}
		if asked && there {
			img.Bytes = 0
		}
	}
}

// tryOn has the clusters go through what changes.
func (w *work) tryOn(ctx context.Context, r *plan.Release, objects []release.Object) []plan.Problem {
	if w.o.Live == nil || len(objects) == 0 || r.Change != plan.Changed {
		return nil
	}
	fleet := w.head.cfg.Fleet
	t, err := fleet.Target(r.Hub, r.Environment)
	if err != nil {
		return nil
	}
	c, ok := w.clusters[t.Cluster]
	if !ok {
		return nil
	}
	var own []release.Object
	for _, o := range objects {
		if !o.Hook { // hooks are made anew each time
			own = append(own, o)
		}
	}
	found := w.o.Live.DryRun(ctx, c, t, own)
	for i := range found {
		found[i].Releases = []string{r.Key()}
	}
	return found
}
