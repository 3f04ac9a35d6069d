package pulls_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/model"
)

// writes is hubship's account, and all that was written with it.
type writes struct {
	*looks
	mu    sync.Mutex
	wrote []string
}

func (w *writes) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wrote = append(w.wrote, fmt.Sprintf(format, args...))
}

// all returns what was written that contains a text.
func (w *writes) all(text string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for _, s := range w.wrote {
		if strings.Contains(s, text) {
			out = append(out, s)
		}
	}
	return out
}

func (w *writes) SetStatus(ctx context.Context, commit string, s forge.Status) error {
	w.note("status %s of %s", s.Context, commit)
	return w.looks.SetStatus(ctx, commit, s)
}

func (w *writes) Comment(ctx context.Context, number int, body string) (forge.Comment, error) {
	w.note("comment on #%d;", number)
	return w.looks.Comment(ctx, number, body)
}

func (w *writes) Open(ctx context.Context, n forge.NewPullRequest) (forge.PullRequest, error) {
	w.note("pull request %s", n.Head)
	return w.looks.Open(ctx, n)
}

func (w *writes) StartDeployment(ctx context.Context, d forge.Deployment) (int64, error) {
	w.note("deployment of %s", d.Commit)
	return w.looks.StartDeployment(ctx, d)
}

func (w *writes) SetCheck(ctx context.Context, c forge.Check) (forge.Check, error) {
	w.note("check of %s", c.Commit)
	return w.looks.SetCheck(ctx, c)
}

// adopted is a world whose repository has a history from before hubship: merged
// pull requests, and open ones.
func adopted(t *testing.T) (w *world, merged, open []forge.PullRequest, wrote *writes) {
	t.Helper()
	w = start(t)
	w.end()
	for i := range 8 {
		pr := w.propose(fmt.Sprintf("old-%d", i), "Old")
		w.merge(pr.Number)
		pr, err := w.mia.PullRequest(t.Context(), pr.Number)
		w.ok(err)
		merged = append(merged, pr)
	}
	for i := range 3 {
		open = append(open, w.propose(fmt.Sprintf("open-%d", i), "Open"))
	}
	w.memory.mu.Lock()
	w.memory.said = map[string][2]string{} // hubship comes only now
	w.memory.mu.Unlock()
	w.trusted()
	wrote = &writes{looks: w.looks}
	w.as = wrote
	w.restart()
	for _, pr := range open {
		w.engine.finish(w.checked(pr.Number, pr.Head.Commit).ID, model.Done, model.PartPassed, "fine")
		w.says(pr.Number, "Ready")
	}
	return w, merged, open, wrote
}

// On the first day hubship says nothing about what was there before it, reverts
// nothing of it, and says one thing about each pull request that is open.
func TestQuietFirstDay(t *testing.T) {
	for name, state := range map[string]model.RunState{"that works": model.Done, "that fails": model.FailedRun} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, merged, open, wrote := adopted(t)
			head := w.head("staging")
			w.engine.deploy("staging", head, state, "boom")
			w.settle()
			for _, pr := range merged {
				for _, about := range []string{pr.Head.Commit, pr.MergeCommit, fmt.Sprintf("#%d;", pr.Number)} {
					if said := wrote.all(about); len(said) > 0 {
						t.Errorf("about #%d, from before: %q", pr.Number, said)
					}
				}
			}
			for _, pr := range open {
				if n := len(wrote.all(fmt.Sprintf("comment on #%d;", pr.Number))); n != 1 {
					t.Errorf("%d comments on #%d, want one", n, pr.Number)
				}
			}
			if opened := wrote.all("pull request revert"); len(opened) > 0 {
				t.Errorf("opened %q", opened)
			}
		})
	}
}

// What comes after the first day is reported, and blamed once something worked.
func TestAfterTheFirstDay(t *testing.T) {
	w, _, open, wrote := adopted(t)
	w.engine.deploy("staging", w.head("staging"), model.Done, "")
	merge := w.merge(open[0].Number)
	w.engine.deploy("staging", merge, model.Done, "")
	w.says(open[0].Number, "Deployed to staging")
	w.restart() // what is history stays history
	merge = w.merge(open[1].Number)
	w.engine.deploy("staging", merge, model.FailedRun, "boom")
	w.says(open[1].Number, "reverts this change")
	if opened := wrote.all("pull request revert"); len(opened) != 1 || opened[0] != fmt.Sprintf("pull request revert-%d", open[1].Number) {
		t.Errorf("opened %q", opened)
	}
}

// What an older version deployed is not taken for history when it is updated.
func TestContactAfterAnUpdate(t *testing.T) {
	w := start(t)
	w.trusted()
	w.engine.deploy("staging", w.head("staging"), model.Done, "")
	w.end()
	pr := w.propose("add", "Add")
	merge := w.merge(pr.Number)
	w.memory.mu.Lock()
	w.memory.said = map[string][2]string{}
	w.memory.mu.Unlock()
	w.trusted()
	w.restart()
	w.engine.deploy("staging", merge, model.Done, "")
	w.says(pr.Number, "Deployed to staging")
}

// settle waits until the controller has had nothing to do for a while.
func (w *world) settle() {
	w.t.Helper()
	quiet := 0
	w.until("quiet", func() string {
		if s := w.control.State(); s.Waiting > 0 || s.Polled.IsZero() {
			quiet = 0
			return fmt.Sprintf("%d things wait", s.Waiting)
		}
		if quiet++; quiet < 10 {
			return "it was busy a moment ago"
		}
		return ""
	})
}
