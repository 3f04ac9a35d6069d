package ship_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hubship/hubship/internal/model"
)

// The cluster: releases, their evidence, and what verifies them.

// Foreign: each word of a file names/ENV or names/all is an image.
func (w *world) Foreign(_ context.Context, u model.Upgrade, _ bool) (model.Foreign, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out model.Foreign
	files := w.at(u.Desired.Commit).files
	for _, file := range []string{"names/all", "names/" + u.Desired.Target.Environment} {
		for _, ref := range strings.Fields(files[file]) {
			out.Images = append(out.Images, model.ForeignImage{Ref: ref, At: "image", File: file, Line: 1})
		}
	}
	return out, nil
}

func (w *world) observe(t model.Target) model.Observed {
	o := model.Observed{Target: t, Status: model.Absent}
	for i, r := range w.releases[t.Key()] {
		o.Status, o.Revision, o.Inputs, o.Commit, o.Ready = r.status, i+1, r.inputs, r.commit, true
		if r.status == model.Deployed {
			o.Good = i + 1
		}
	}
	return o
}

func (w *world) Observe(_ context.Context, _ model.Cluster, t model.Target) (model.Observed, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.observe(t), nil
}

func (w *world) Upgrade(ctx context.Context, _ model.Cluster, u model.Upgrade) (model.Observed, error) {
	w.mu.Lock()
	block, blocked := w.block, w.blocked
	w.mu.Unlock()
	if block != nil {
		blocked <- struct{}{}
		select {
		case <-block:
		case <-ctx.Done():
			return model.Observed{}, context.Cause(ctx)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	key := u.Desired.Target.Key()
	before := w.observe(u.Desired.Target)
	if w.failUpgrade {
		return before, &model.UpgradeError{Err: errors.New("Deployment hub is not ready"), Log: "Back-off restarting", RolledBackTo: before.Good}
	}
	w.upgraded = append(w.upgraded, u)
	w.shared[u.Desired.Commit] = u.Desired.Shared
	w.releases[key] = append(w.releases[key], record{u.Inputs, u.Desired.Commit, model.Deployed})
	return w.observe(u.Desired.Target), nil
}

func (w *world) Rollback(_ context.Context, _ model.Cluster, t model.Target, revision int, _, _ string, _ func(model.Level, string)) (model.Observed, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.releases[t.Key()]
	if revision == 0 {
		revision = len(all) - 1
	}
	if revision < 1 || revision > len(all) {
		return model.Observed{}, errors.New("no such revision")
	}
	w.releases[t.Key()] = append(all, all[revision-1])
	return w.observe(t), nil
}

func (w *world) Evidence(_ context.Context, _ model.Cluster, t model.Target, shared string) (model.Evidence, bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.evidence[t.Key()]
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].Shared == shared {
			return all[i], true, nil
		}
	}
	return model.Evidence{}, false, nil
}

func (w *world) Latest(_ context.Context, _ model.Cluster, t model.Target) (model.Evidence, bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.evidence[t.Key()]
	if len(all) == 0 {
		return model.Evidence{}, false, nil
	}
	return all[len(all)-1], true, nil
}

func (w *world) Records(_ context.Context, _ model.Cluster, t model.Target) ([]model.EvidenceRecord, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []model.EvidenceRecord
	for _, ev := range slices.Backward(w.evidence[t.Key()]) {
		out = append(out, model.EvidenceRecord{Target: t, Believed: true, Evidence: &ev})
	}
	for _, why := range w.refused[t.Key()] {
		out = append(out, model.EvidenceRecord{Target: t, Name: "x", Refused: why})
	}
	return out, nil
}

func (w *world) Record(_ context.Context, _ model.Cluster, t model.Target, ev model.Evidence) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.evidence[t.Key()] = append(w.evidence[t.Key()], ev)
	return nil
}

func (w *world) Halt(_ context.Context, _ model.Cluster, t model.Target, h model.Halt) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.halts[t.Key()] = h
	return nil
}

func (w *world) Halted(_ context.Context, _ model.Cluster, t model.Target) (model.Halt, bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	h, ok := w.halts[t.Key()]
	return h, ok, nil
}

func (w *world) Clear(_ context.Context, _ model.Cluster, t model.Target) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.halts, t.Key())
	return nil
}

func (w *world) Lock(ctx context.Context, _ model.Cluster, t model.Target, holder string, _ func(string)) (context.Context, func(), error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if other, ok := w.locks[t.Key()]; ok && other != holder {
		return nil, nil, fmt.Errorf("%s is locked by %s: two runs at once", t, other)
	}
	w.locks[t.Key()] = holder
	if w.locked != nil {
		w.locked(t.Key(), holder)
	}
	return context.Background(), func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.locks, t.Key())
	}, nil
}

// Verify fails where a package is called broken.
func (w *world) Verify(_ context.Context, _ model.Cluster, req model.VerifyRequest) (model.Verification, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.verified = append(w.verified, req)
	v := model.Verification{Passed: true}
	for _, p := range req.Packages {
		c := model.Check{Name: "import " + p.Name, Passed: p.Name != "broken"}
		v.Checks = append(v.Checks, c)
		if !c.Passed {
			v.Passed, v.Reason = false, c.Name
		}
	}
	return v, nil
}
