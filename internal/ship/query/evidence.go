package query

import (
	"context"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/ship/runs"
)

// Evidence lists the records of the releases' evidence stores, trusted or not. An
// empty environment or hub means all. A store that cannot be read is a record
// with an Error.
func (r *Reader) Evidence(ctx context.Context, env, hub string) ([]model.EvidenceRecord, error) {
	now, err := r.o.Repository.Now(ctx)
	if err != nil {
		return nil, err
	}
	var out []model.EvidenceRecord
	for _, one := range now.Environments {
		if env != "" && one.Name != env {
			continue
		}
		tip, err := r.o.Fleets.Tip(ctx, one.Name)
		if err != nil {
			out = append(out, model.EvidenceRecord{Target: model.Target{Hub: hub, Environment: one.Name}, Error: runs.Describe(err)})
			continue
		}
		for _, h := range tip.Fleet.Hubs {
			if hub != "" && h.Name != hub || !h.In(one.Name) {
				continue
			}
			records, err := r.recordsOf(ctx, tip.Fleet, h.Name, one.Name)
			if err != nil {
				records = []model.EvidenceRecord{{Target: model.Target{Hub: h.Name, Environment: one.Name}, Error: runs.Describe(err)}}
			}
			out = append(out, records...)
		}
	}
	return out, nil
}

func (r *Reader) recordsOf(ctx context.Context, fleet *model.Fleet, hub, env string) ([]model.EvidenceRecord, error) {
	target, err := fleet.Target(hub, env)
	if err != nil {
		return nil, err
	}
	cluster, err := r.o.Fleets.Cluster(ctx, target)
	if err != nil {
		return nil, err
	}
	return r.o.Evidence.Records(ctx, cluster, target)
}
