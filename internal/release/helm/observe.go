package helm

import (
	"context"
	"fmt"

	rspb "helm.sh/helm/v4/pkg/release/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/hubship/hubship/internal/cluster"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/release"
	"github.com/hubship/hubship/internal/release/ready"
)

// Observe reads the release's newest record, and asks whether what runs is
// ready. A record that somebody made with Helm's command line has no inputs
// and no commit.
func (r *Releases) Observe(ctx context.Context, c model.Cluster, t model.Target) (model.Observed, error) {
	conn, err := r.connect(ctx, c, t)
	if err != nil {
		return model.Observed{}, err
	}
	found, err := heads(ctx, conn, t)
	if err != nil {
		return model.Observed{}, err
	}
	obs, running, err := r.observe(ctx, conn, t, found)
	if err != nil || running == nil {
		return obs, err
	}
	objects, err := objectsOf(running, conn, t.Namespace)
	if err != nil {
		return obs, fmt.Errorf("%s: %w", t, err)
	}
	w := ready.NewWatcher(ready.Options{Client: conn.Client, Dynamic: conn.Dynamic, Mapper: conn.Mapper, Limits: r.opts.Limits, Redact: r.recordRedactor(t, running)})
	obs.Waiting, err = w.Check(ctx, objects)
	if err != nil {
		return obs, fmt.Errorf("%s: ask whether it is ready: %w", t, err)
	}
	obs.Ready = len(obs.Waiting) == 0 && obs.Good > 0
	return obs, nil
}

// observe reads what the records tell, and returns the one whose objects run:
// the newest good one, or the newest when there is none.
func (r *Releases) observe(ctx context.Context, conn *cluster.Conn, t model.Target, found []head) (model.Observed, *rspb.Release, error) {
	obs := model.Observed{Target: t, Status: model.Absent}
	if len(found) == 0 {
		return obs, nil, nil
	}
	cfg, err := r.configure(ctx, conn, t)
	if err != nil {
		return obs, nil, err
	}
	newest := found[0]
	obs.Status, obs.Revision, obs.Inputs, obs.Commit = newest.status, newest.revision, newest.inputs, newest.commit
	rec, err := record(cfg, t.Release, newest.revision)
	if err != nil {
		return obs, nil, fmt.Errorf("%s: %w", t, err)
	}
	if rec.Chart != nil && rec.Chart.Metadata != nil {
		obs.Chart = rec.Chart.Metadata.Name + "-" + rec.Chart.Metadata.Version
	}
	obs.Updated = rec.Info.LastDeployed.Round(0)
	if newest.status == model.Deployed {
		obs.Good = newest.revision
		return obs, rec, nil
	}
	if newest.status == model.Uninstalled {
		return obs, nil, nil
	}
	records, err := history(cfg, t.Release)
	if err != nil {
		return obs, nil, fmt.Errorf("%s: %w", t, err)
	}
	obs.Good = good(records, 0)
	for _, older := range records {
		if older.Version == obs.Good {
			rec = older
		}
	}
	return obs, rec, nil
}

// objectsOf names the objects of a record's manifest that lie in the release's
// namespace, or in none.
func objectsOf(rec *rspb.Release, conn *cluster.Conn, namespace string) ([]ready.Ref, error) {
	objects, err := release.ParseManifest([]byte(rec.Manifest))
	if err != nil {
		return nil, fmt.Errorf("read the manifest of revision %d: %w", rec.Version, err)
	}
	out := make([]ready.Ref, 0, len(objects))
	for _, o := range objects {
		gvk := schema.FromAPIVersionAndKind(o.APIVersion, o.Kind)
		if !ready.Relevant(gvk) {
			continue
		}
		mapping, err := conn.Mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
		if err != nil {
			return nil, fmt.Errorf("%s of revision %d: %w", o, rec.Version, err)
		}
		ref := ready.Ref{GVK: gvk, Name: o.Name}
		if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
			if ref.Namespace = namespace; o.Namespace != "" && o.Namespace != namespace {
				continue // not the release's own, whatever its record says
			}
		}
		out = append(out, ref)
	}
	return out, nil
}
