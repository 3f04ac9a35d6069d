package pulls

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/plan"
)

// checkName is what hubship's check run is known by, beside its statuses.
const checkName = "hubship"

// report brings what a check found to the forge: a status for each part, one
// check run with remarks on lines, one comment.
func (c *Controller) report(ctx context.Context, pr forge.PullRequest, r model.Run) error {
	if r.Pull == nil || r.State == model.Superseded {
		return nil
	}
	var errs []error
	speaks, err := c.speaks(ctx, r)
	if err != nil {
		return err
	}
	if r, err = c.agreed(ctx, pr, r); err != nil {
		return err
	}
	for _, part := range r.Pull.Parts {
		if !speaks {
			break
		}
		if part.Name == model.PartProcess && !r.Pull.Decides {
			// A status is the commit's, whatever the base: one that says that
			// nothing is decided here would count where something is.
			continue
		}
		errs = append(errs, c.status(ctx, r.Pull.Head, forge.Status{
			Context: statusOf(part.Name), State: partStates[part.State], Description: part.Summary, URL: c.o.RunURL(r.ID), Base: c.merging(r.Pull.Base, r.Pull.BaseCommit),
		}))
	}
	made, err := c.o.Plans.Plan(ctx, r.ID)
	planned := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		errs = append(errs, err)
	}
	var remarks []forge.Annotation
	if r.State.Final() {
		remarks = annotations(r, made)
	}
	errs = append(errs, c.checkRun(ctx, r, remarks))
	if talkative(r) {
		w := writer{c: c, run: r}
		if planned {
			w.plan = &made
		}
		errs = append(errs, c.comment(ctx, pr.Number, "check", w.check()))
	}
	return errors.Join(errs...)
}

// merging is what a status says about the merge that was looked at, into a branch
// where it was at a commit; nothing where the forge does not ask for that.
func (c *Controller) merging(branch, commit string) forge.StatusBase {
	if !c.o.Protect {
		return forge.StatusBase{}
	}
	return forge.StatusBase{Branch: branch, Commit: commit}
}

// speaks says whether a check sets the statuses of its head. They belong to the
// commit: of several open pull requests with the same one, that one speaks which
// may be merged at all, of those one whose author is trusted. So nobody spoils
// another's by opening one more. Of those into different branches one speaks
// whose check has not passed, since what says that all is well says it about
// each of them; of what is left the first.
func (c *Controller) speaks(ctx context.Context, r model.Run) (bool, error) {
	c.mu.Lock()
	var others []int
	for n, pr := range c.open {
		// Where statuses are a merge's, each into its own branch.
		if n != r.Pull.Number && pr.Head.Commit == r.Pull.Head && (!c.o.Protect || pr.Base.Branch == r.Pull.Base) {
			others = append(others, n)
		}
	}
	c.mu.Unlock()
	for _, n := range others {
		runs, err := c.checks(ctx, n)
		if err != nil {
			return false, err
		}
		i := slices.IndexFunc(runs, func(o model.Run) bool {
			return o.Pull != nil && o.State != model.Superseded && o.Pull.Head == r.Pull.Head
		})
		if i >= 0 && outranks(runs[i], r) {
			// It may not have known that it speaks.
			return false, c.once(ctx, "yields/"+r.ID, string(r.State), func(string) (string, error) {
				c.queue.Add(key{kind: keyPull, number: n})
				return "", nil
			})
		}
	}
	return true, nil
}

// outranks says that the statuses of their common head are rather a's.
func outranks(a, b model.Run) bool {
	refused := func(r model.Run) bool {
		p := r.Pull.Part(model.PartPolicy)
		return p != nil && p.State == model.PartFailed
	}
	passed := func(r model.Run) bool { return r.State == model.Done }
	switch {
	case refused(a) != refused(b):
		return refused(b)
	case a.Pull.Trusted != b.Pull.Trusted:
		return a.Pull.Trusted
	case a.Pull.Base != b.Pull.Base && passed(a) != passed(b):
		return passed(b)
	}
	return a.Pull.Number < b.Pull.Number
}

// talkative says that a check has found out enough for a comment.
func talkative(r model.Run) bool {
	p := r.Pull.Part(model.PartPlan)
	return r.State.Final() || p != nil && p.State.Final()
}

var partStates = map[model.PartState]string{
	model.PartWaiting: forge.Pending, model.PartRunning: forge.Pending,
	model.PartPassed: forge.Success, model.PartFailed: forge.Failure, model.PartErrored: forge.Errored,
}

// checkRun shows a check as a check run, where the forge has such and lets us.
func (c *Controller) checkRun(ctx context.Context, r model.Run, remarks []forge.Annotation) error {
	checks, ok := c.o.Forge.(forge.Checks)
	if !ok {
		return nil
	}
	check := forge.Check{
		Name: checkName, Commit: r.Pull.Head, ExternalID: r.ID, URL: c.o.RunURL(r.ID), State: forge.CheckInProgress,
		Title: headline(r), Summary: forge.Shorten(summary(r), forge.MaxCheckText), Started: r.Started, Completed: r.Finished, Annotations: remarks,
	}
	switch {
	case r.State == model.Queued:
		check.State = forge.CheckQueued
	case r.State.Final():
		check.State, check.Conclusion = forge.CheckCompleted, conclusion(r.State)
	}
	content := fmt.Sprint(check.State, check.Conclusion, check.Title, check.Summary, len(remarks))
	return c.once(ctx, "check/"+r.ID, content, func(ref string) (string, error) {
		if ref == notAllowed {
			return ref, nil
		}
		_, _ = fmt.Sscan(ref, &check.ID) // no id: a new one
		done, err := checks.SetCheck(ctx, check)
		switch {
		case errors.Is(err, forge.ErrForbidden):
			return notAllowed, nil // statuses and the comment say the same
		case gone(err):
			c.o.Logger.Warn("pull requests: a check run is left out", "run", r.ID, "error", err)
			return ref, nil
		}
		return fmt.Sprint(done.ID), err
	})
}

// notAllowed stands for the id of a check run that the account may not make.
const notAllowed = "not allowed"

func conclusion(s model.RunState) string {
	switch s {
	case model.Done, model.Unchanged:
		return forge.CheckSuccess
	case model.Refused:
		return forge.CheckActionRequired
	case model.Cancelled, model.Superseded:
		return forge.CheckCancelled
	}
	return forge.CheckFailure
}

// maxAnnotations bounds the remarks on lines of one check.
const maxAnnotations = 200

// annotations are the remarks on lines of the change: the plan's problems, and
// what the parts found themselves.
func annotations(r model.Run, p plan.Plan) []forge.Annotation {
	var out []forge.Annotation
	add := func(a forge.Annotation) {
		if a.Path != "" && len(out) < maxAnnotations {
			a.Start = max(a.Start, 1)
			out = append(out, a)
		}
	}
	for _, part := range r.Pull.Parts {
		for _, m := range part.Problems {
			add(forge.Annotation{Path: m.Path, Start: m.Line, Level: forge.Problem, Title: "hubship " + part.Name, Message: withHint(m.Message, m.Hint)})
		}
	}
	levels := map[plan.Severity]string{plan.Error: forge.Problem, plan.Warning: forge.Warning, plan.Notice: forge.Notice}
	for _, m := range p.Problems {
		if !m.Preexisting {
			add(forge.Annotation{Path: m.File, Start: m.Line, Level: levels[m.Severity], Title: "hubship " + m.Check, Message: withHint(m.Message, m.Hint)})
		}
	}
	return out
}

func withHint(text, hint string) string {
	if hint == "" {
		return text
	}
	return strings.TrimSuffix(text, ".") + ".\n" + hint
}
