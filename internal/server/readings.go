package server

import (
	"context"
	"fmt"
	"net/http"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/server/access"
	"github.com/hubship/hubship/internal/server/web"
)

// readings are what the pages and the API may tell whoever asks. They are the
// one place that knows which parts of a run are for whom.
type readings struct {
	service Service
	status  *memo[model.Status]
}

var _ web.Source = readings{}

// seeing is the action of looking at the plan and the log of a run.
func seeing(r model.Run) access.Action {
	if r.Kind == model.CheckPull {
		return access.SeeChecks
	}
	return access.SeeDeploys
}

// withheld is the error for a part of a run that the reader may not see.
func withheld(a access.Action) error {
	row, _ := access.Find(a)
	return &statusError{http.StatusForbidden, model.WithHint(fmt.Errorf("%w: to %s, you need the permission %s on the deployment repository", web.ErrWithheld, a, row.Least),
		"ask its maintainers")}
}

// shown is a run as the asker may see it: without the logs in it, unless they
// are for them.
func shown(ctx context.Context, r model.Run) model.Run {
	if may(ctx, seeing(r)) {
		return r
	}
	releases := make([]model.ReleaseResult, len(r.Releases))
	for i, rel := range r.Releases {
		rel.Log = ""
		rel.Verification = withoutLogs(rel.Verification)
		releases[i] = rel
	}
	if r.Releases != nil {
		r.Releases = releases
	}
	if r.Pull != nil {
		p := *r.Pull
		p.Tests, p.Images, p.Parts = nil, nil, nil
		r.Pull = &p
	}
	return r
}

func withoutLogs(v *model.Verification) *model.Verification {
	if v == nil {
		return nil
	}
	c := *v
	c.Checks = make([]model.Check, len(v.Checks))
	for i, check := range v.Checks {
		check.Log = ""
		c.Checks[i] = check
	}
	return &c
}

// Status implements web.Source; it is a moment old.
func (r readings) Status(ctx context.Context) (model.Status, error) {
	st, err := r.status.get(ctx)
	return shownStatus(ctx, st), err
}

// shownStatus is the status as the asker may see it.
func shownStatus(ctx context.Context, st model.Status) model.Status {
	if may(ctx, access.SeeDeploys) {
		return st
	}
	envs := make([]model.EnvironmentStatus, len(st.Environments))
	for i, e := range st.Environments {
		if e.Active != nil {
			run := shown(ctx, *e.Active)
			e.Active = &run
		}
		releases := make([]model.ReleaseStatus, len(e.Releases))
		for j, rel := range e.Releases {
			if rel.Evidence != nil {
				ev := *rel.Evidence
				ev.Verified = *withoutLogs(&ev.Verified)
				rel.Evidence = &ev
			}
			releases[j] = rel
		}
		e.Releases = releases
		envs[i] = e
	}
	st.Environments = envs
	return st
}

// Runs implements web.Source.
func (r readings) Runs(ctx context.Context, f model.RunFilter) ([]model.Run, error) {
	runs, err := r.service.Runs(ctx, f)
	out := make([]model.Run, len(runs))
	for i := range runs {
		out[i] = shown(ctx, runs[i])
	}
	return out, err
}

// Run implements web.Source.
func (r readings) Run(ctx context.Context, id string) (model.Run, error) {
	run, err := r.service.Run(ctx, id)
	return shown(ctx, run), err
}

// Lines implements web.Source.
func (r readings) Lines(ctx context.Context, id string, after int64, limit int) ([]model.Line, error) {
	if err := r.maySee(ctx, id); err != nil {
		return nil, err
	}
	return r.service.Lines(ctx, id, after, limit)
}

// Plan implements web.Source.
func (r readings) Plan(ctx context.Context, id string) ([]byte, error) {
	if err := r.maySee(ctx, id); err != nil {
		return nil, err
	}
	return r.service.Plan(ctx, id)
}

// maySee says whether the plan and the log of a run are for the asker. Who may
// see all of them need not be told of which kind it is.
func (r readings) maySee(ctx context.Context, id string) error {
	if may(ctx, access.SeeDeploys) && may(ctx, access.SeeChecks) {
		return nil
	}
	run, err := r.service.Run(ctx, id)
	if err != nil {
		return err
	}
	if a := seeing(run); !may(ctx, a) {
		return withheld(a)
	}
	return nil
}
