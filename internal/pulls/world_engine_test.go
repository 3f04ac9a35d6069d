package pulls_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/model"
)

// engine is a history of runs that the test writes.
type engine struct {
	w *world

	mu        sync.Mutex
	runs      []model.Run       // oldest first
	promotion map[string]string // commit of staging: why it may not be promoted; "-" for it may
}

func (e *engine) add(r model.Run) model.Run {
	e.mu.Lock()
	r.ID = fmt.Sprintf("run-%03d", len(e.runs)+1)
	r.Created = time.Now()
	e.runs = append(e.runs, r)
	control := e.w.control
	e.mu.Unlock()
	control.Changed(r)
	return r
}

// change changes a run and tells of it.
func (e *engine) change(id string, edit func(*model.Run)) model.Run {
	e.mu.Lock()
	i := slices.IndexFunc(e.runs, func(r model.Run) bool { return r.ID == id })
	// Readers have the one of before.
	if p := e.runs[i].Pull; p != nil {
		copied := *p
		copied.Parts = slices.Clone(p.Parts)
		e.runs[i].Pull = &copied
	}
	edit(&e.runs[i])
	r, control := e.runs[i], e.w.control
	e.mu.Unlock()
	control.Changed(r)
	return r
}

func (e *engine) Check(_ context.Context, p model.PullRequest, cause string) (model.Run, error) {
	r := model.Run{Kind: model.CheckPull, State: model.Queued, Commit: p.Head, Cause: cause, Pull: &model.PullCheck{PullRequest: p}}
	for _, name := range model.PartNames {
		r.Pull.Parts = append(r.Pull.Parts, model.Part{Name: name, State: model.PartWaiting, Summary: "waiting for its turn"})
	}
	return e.add(r), nil
}

// finish ends a check with one state for all parts.
func (e *engine) finish(id string, state model.RunState, parts model.PartState, summary string) {
	e.change(id, func(r *model.Run) {
		r.State, r.Reason, r.Finished = state, summary, time.Now()
		for i := range r.Pull.Parts {
			r.Pull.Parts[i].State, r.Pull.Parts[i].Summary = parts, summary
		}
	})
}

func (e *engine) Supersede(_ context.Context, id, reason string) error {
	e.change(id, func(r *model.Run) {
		if !r.State.Final() {
			r.State, r.Reason = model.Superseded, reason
		}
	})
	return nil
}

func (e *engine) Runs(_ context.Context, f model.RunFilter) ([]model.Run, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []model.Run
	for _, r := range slices.Backward(e.runs) {
		if (f.Kind == "" || r.Kind == f.Kind) && (f.Environment == "" || r.Environment == f.Environment) &&
			(f.Pull == 0 || r.Pull != nil && r.Pull.Number == f.Pull) && (!f.Active || !r.State.Final()) {
			out = append(out, r)
		}
	}
	return out, nil
}

func (e *engine) Pushed(context.Context, []forge.RefUpdate, string) ([]model.Run, error) {
	return nil, nil
}

func (e *engine) Kick() {}

// Promotion judges by what the test says of the commit; unheard of is unproved.
func (e *engine) Promotion(ctx context.Context, _ model.PromoteRequest) (model.Promotion, error) {
	p := model.Promotion{From: "staging", Into: "prod"}
	var err error
	if p.Head, err = e.w.repo.Head(ctx, "staging"); err != nil {
		return p, err
	}
	base, err := e.w.repo.Head(ctx, "prod")
	if err != nil {
		return p, err
	}
	if in, err := e.w.repo.IsAncestor(ctx, p.Head, base); err != nil || in {
		p.Refused = "level"
		return p, err
	}
	p.Commits = []string{"something"}
	e.mu.Lock()
	defer e.mu.Unlock()
	switch why := e.promotion[p.Head]; why {
	case "-":
		p.Hubs = []model.HubVerdict{{Hub: "datahub", Allowed: true, Proof: &model.Evidence{Commit: p.Head, Run: "run-007", Verified: model.Verification{Checks: []model.Check{{Name: "kernel starts", Passed: true}}}}}}
	default:
		p.Refused = "datahub may not enter prod: no evidence " + why
		p.Hubs = []model.HubVerdict{{Hub: "datahub", Reasons: []string{"no evidence " + why}}}
		return p, model.RefusedBy(errors.New(p.Refused), "")
	}
	return p, nil
}

// prove says that what staging is at may be promoted.
func (e *engine) prove(commit string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.promotion[commit] = "-"
}

// deploy is a run that deployed a commit and ended.
func (e *engine) deploy(env, commit string, state model.RunState, reason string) model.Run {
	rel := model.ReleaseResult{Target: model.Target{Hub: "datahub", Environment: env, Host: "datahub.localhost"}, State: state, Reason: reason, Revision: 3}
	if state == model.FailedRun {
		rel.RolledBackTo = 1
		rel.Log = "what a pod wrote last"
		rel.Verification = &model.Verification{Checks: []model.Check{{Name: "import broken", Detail: "OSError: boom | `of` <b>staging</b>", Log: "what a kernel wrote last"}, {Name: "default page opens", Skipped: true}}}
	} else {
		rel.Verification = &model.Verification{Passed: true, Checks: []model.Check{{Name: "import emoji", Passed: true, Detail: "2.14.0"}}}
	}
	return e.add(model.Run{Kind: model.Deploy, Environment: env, Commit: commit, State: state, Reason: reason, Started: time.Now(), Finished: time.Now(), Releases: []model.ReleaseResult{rel}})
}
