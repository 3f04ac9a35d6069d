package ship

import (
	"context"
	"fmt"

	"github.com/hubship/hubship/internal/model"
)

// Evidence lists the records of the releases' ledgers, believed or not. An
// empty environment or hub means all. A ledger that cannot be read is a record
// with an Error.
func (e *Engine) Evidence(ctx context.Context, env, hub string) ([]model.EvidenceRecord, error) {
	now, err := e.Repository.Now(ctx)
	if err != nil {
		return nil, err
	}
	var out []model.EvidenceRecord
	for _, one := range now.Environments {
		if env != "" && one.Name != env {
			continue
		}
		fleet, _, _, err := e.environment(ctx, one.Name)
		if err != nil {
			out = append(out, model.EvidenceRecord{Target: model.Target{Hub: hub, Environment: one.Name}, Error: describe(err)})
			continue
		}
		for _, h := range fleet.Hubs {
			if hub != "" && h.Name != hub || !h.In(one.Name) {
				continue
			}
			records, err := e.recordsOf(ctx, fleet, h.Name, one.Name)
			if err != nil {
				records = []model.EvidenceRecord{{Target: model.Target{Hub: h.Name, Environment: one.Name}, Error: describe(err)}}
			}
			out = append(out, records...)
		}
	}
	return out, nil
}

func (e *Engine) recordsOf(ctx context.Context, fleet *model.Fleet, hub, env string) ([]model.EvidenceRecord, error) {
	target, err := fleet.Target(hub, env)
	if err != nil {
		return nil, err
	}
	cluster, err := e.cluster(ctx, target)
	if err != nil {
		return nil, err
	}
	return e.Ledger.Records(ctx, cluster, target)
}

// refusedRecords words the records that are not believed, for people. That a
// newer record or a halt took the place of an older one is nothing wrong.
func refusedRecords(records []model.EvidenceRecord) []string {
	var out []string
	for _, r := range records {
		if r.Believed || r.Reason == "superseded" || r.Reason == "voided" {
			continue
		}
		out = append(out, fmt.Sprintf("evidence %s was refused: %s", r.Name, r.Refused))
	}
	return out
}
