package deploy

import (
	"fmt"
	"strings"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/plan"
	"github.com/hubship/hubship/internal/ship/planning"
)

// releaseInput is what the workflow of one release in a run is started with: what
// is planned, and what the run made of that. It is recorded.
type releaseInput struct {
	planning.Release `json:"Plan"`

	Run      model.Run
	Settings model.VerifySettings
	Images   []model.Built  // those of the plan, and those that the run has built
	Resolved model.Resolved // that of the plan, and what the run has resolved
	Inputs   string         // digest of everything that the release is made from
	Revision int            // rollback only
	By       string
}

// released is what the workflow of one release returns: the result, and where
// the time went. It is recorded.
type released struct {
	model.ReleaseResult `json:"Result"`

	Deploy time.Duration
	Verify time.Duration
}

// made is what a run has made before it ships releases.
type made struct {
	images map[string]builtImage    // by Source.ID
	names  map[string]resolvedNames // by the release's key
}

// shipReleases starts one child workflow for each release and gathers their
// results: hubs are independent, a broken one holds back itself.
func (d *Deployer) shipReleases(ctx dbos.Context, r *model.Run, in runInput, p planning.Plan, m made) error {
	handles := make([]dbos.WorkflowHandle[released], len(p.Releases))
	results := make([]model.ReleaseResult, len(p.Releases))
	for i, rel := range p.Releases {
		child := releaseInput{
			Release: rel, Run: *r, Settings: p.Verify, Revision: in.Revision, By: in.By,
			Inputs: rel.Before.Inputs, Images: rel.Images, Resolved: rel.Resolved,
		}
		start, err := d.prepare(ctx, &child, m, &results[i])
		if err != nil {
			return err
		}
		if !start {
			continue
		}
		id := r.ID + "/" + rel.Desired.Target.Hub
		if handles[i], err = dbos.RunWorkflow(ctx, d.release, child, dbos.WithWorkflowID(id)); err != nil {
			return fmt.Errorf("start %s: %w", rel.Desired.Target, err)
		}
	}
	for i, h := range handles {
		if h == nil {
			continue
		}
		out, err := h.GetResult()
		if err != nil {
			if ctx.Err() != nil {
				return err
			}
			out.ReleaseResult = model.ReleaseResult{Target: p.Releases[i].Desired.Target, State: model.FailedRun, Reason: err.Error()}
		}
		results[i] = out.ReleaseResult
		// Side by side, so the run waited for the longest.
		r.Durations.Deploy = max(r.Durations.Deploy, out.Deploy)
		r.Durations.Verify = max(r.Durations.Verify, out.Verify)
	}
	r.Releases = results
	return nil
}

// prepare completes the input of a release's workflow by what the run has made.
// When there is nothing to start, result holds why.
func (d *Deployer) prepare(ctx dbos.Context, in *releaseInput, m made, result *model.ReleaseResult) (start bool, err error) {
	*result = model.ReleaseResult{Target: in.Desired.Target, Revision: in.Before.Revision, Reason: strings.Join(in.Reasons, "; ")}
	switch in.Action {
	case plan.None:
		result.State, result.Reason = model.Unchanged, ""
		return false, nil
	case plan.Refuse, plan.Blocked:
		result.State = model.Refused
		return false, nil
	case plan.Upgrade:
		for _, src := range in.Desired.Images {
			res, ok := m.images[src.ID]
			switch {
			case !ok:
			case res.Err != "":
				result.State = res.State()
				result.Reason = fmt.Sprintf("image %s: %s", src.ID, res.Err)
				return false, d.shipment(*in).halt(ctx, result.Reason)
			default:
				in.Images = append(in.Images, res.Value)
			}
		}
		if res, ok := m.names[in.Desired.Target.Key()]; ok {
			if res.Err != "" {
				result.State, result.Reason = res.State(), res.Err
				if res.Value.Unknown || res.Cancelled || res.Superseded {
					return false, nil // nobody is at fault
				}
				return false, d.shipment(*in).halt(ctx, result.Reason)
			}
			in.Resolved = res.Value.Resolved
		}
		in.Inputs = plan.Inputs(in.Desired, in.Images, in.Resolved)
	}
	return true, nil
}
