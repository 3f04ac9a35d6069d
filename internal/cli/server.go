package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hubship/hubship/internal/api"
	"github.com/hubship/hubship/internal/install"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/term"
)

// server connects to the installation's server over its Unix socket.
func (a *command) server() *api.Client { return api.New(install.At(a.data).Socket) }

// targets returns the releases of the environment, all or those of the hubs,
// from the server's status. An unknown name is an error that lists the known.
func targets(st model.Status, env string, hubs []string) ([]model.Target, error) {
	var envs []string
	for _, e := range st.Environments {
		envs = append(envs, e.Name)
		if e.Name != env {
			continue
		}
		var found []model.Target
		var known []string
		for _, r := range e.Releases {
			known = append(known, r.Observed.Target.Hub)
			if len(hubs) == 0 || slices.Contains(hubs, r.Observed.Target.Hub) {
				found = append(found, r.Observed.Target)
			}
		}
		for _, h := range hubs {
			if !slices.Contains(known, h) {
				return nil, model.Usage(fmt.Errorf("hub %q is not in environment %s", h, env), "its hubs: "+strings.Join(known, ", "))
			}
		}
		return found, nil
	}
	return nil, model.Usage(fmt.Errorf("environment %q does not exist", env), "the environments: "+strings.Join(envs, ", "))
}

// announce says what a command is about to write to, before it does.
func (a *command) announce(ctx context.Context, verb, env string, hubs []string) error {
	st, err := a.server().Status(ctx)
	if err != nil {
		return err
	}
	found, err := targets(st, env, hubs)
	if err != nil {
		return err
	}
	a.term.Note("%s environment %s", verb, a.term.Bold(env))
	for _, t := range found {
		a.term.Note("  %s", t)
	}
	return nil
}

// start asks for a run, follows it unless told not to, and prints it.
func (a *command) start(ctx context.Context, req model.RunRequest, detach bool) error {
	req.By = caller()
	run, err := a.server().Start(ctx, req)
	if err != nil {
		return err
	}
	if detach {
		a.term.Note("run %s in environment %s continues; follow it with `hubship logs %s -f`", run.ID, run.Environment, run.ID)
		return a.printRun(run)
	}
	run, err = a.follow(ctx, run.ID)
	if err != nil {
		return err
	}
	if err := a.printRun(run); err != nil {
		return err
	}
	return outcome(run)
}

// follow prints a run's log on standard error until the run has ended.
func (a *command) follow(ctx context.Context, id string) (model.Run, error) {
	run, err := a.server().Follow(ctx, id, func(l model.Line) error {
		a.printLine(l)
		return nil
	})
	return run, stopped(ctx, id, err)
}

// stopped words the end of following a run that goes on.
func stopped(ctx context.Context, id string, err error) error {
	if err == nil || ctx.Err() == nil {
		return err
	}
	return model.WithHint(fmt.Errorf("stopped following run %s, which continues", id),
		fmt.Sprintf("follow it with `hubship logs %s -f`, end it with `hubship cancel %s`", id, id))
}

// printLine prints a line of a run's log on standard error.
func (a *command) printLine(l model.Line) { a.term.Note("%s", lineText(a.term, l)) }

func lineText(t *term.Term, l model.Line) string {
	scope := ""
	if l.Scope != "" {
		scope = l.Scope + ": "
	}
	switch text := scope + l.Text; l.Level {
	case model.LevelError:
		return t.Red(text)
	case model.LevelWarn:
		return t.Yellow(text)
	case model.LevelDebug:
		return t.Dim("  " + text)
	default:
		return text
	}
}

// scope is what a run is about: an environment, or a pull request.
func scope(run model.Run) string {
	if run.Pull != nil {
		return fmt.Sprintf("pull request #%d", run.Pull.Number)
	}
	return "environment " + run.Environment
}

// outcome is the error, and so the exit code, that a run's end stands for.
func outcome(run model.Run) error {
	reason := run.Reason
	if reason == "" {
		reason = "no reason was recorded"
	}
	what := fmt.Errorf("run %s (%s, %s) %s: %s", run.ID, run.Kind, scope(run), run.State, reason)
	hint := fmt.Sprintf("the whole log: `hubship logs %s`", run.ID)
	switch run.State {
	case model.Done, model.Unchanged:
		return nil
	case model.Refused:
		return model.RefusedBy(what, hint)
	default:
		return model.WithHint(what, hint)
	}
}

// printRun prints a run as a result.
func (a *command) printRun(run model.Run) error {
	if a.term.JSONOutput() {
		return a.term.JSON(run)
	}
	took := ""
	if !run.Finished.IsZero() && !run.Started.IsZero() {
		took = " in " + term.Duration(run.Finished.Sub(run.Started))
	}
	where := " to " + scope(run)
	if run.Pull != nil {
		where = ", " + scope(run)
	}
	a.term.Printf("run %s: %s of %s %q%s: %s%s\n", run.ID, run.Kind, short(run.Commit), run.Subject, where, a.paintState(run.State), took)
	for _, i := range run.Images {
		how := "found"
		if i.Rebuilt {
			how = "built"
		}
		a.term.Printf("  image %s: %s %s\n", i.ID, how, a.term.Faint(i.Ref()))
	}
	for _, r := range run.Releases {
		a.printRelease(r)
	}
	if d := run.Durations; d != (model.Durations{}) {
		a.term.Printf("  %s\n", a.term.Faint(fmt.Sprintf("plan %s, build %s, deploy %s, verify %s",
			term.Duration(d.Plan), term.Duration(d.Build), term.Duration(d.Deploy), term.Duration(d.Verify))))
	}
	return nil
}

func (a *command) printRelease(r model.ReleaseResult) {
	line := fmt.Sprintf("  %s: %s", r.Target, a.paintState(r.State))
	if r.Revision > 0 {
		line += fmt.Sprintf(", running revision %d", r.Revision)
	}
	if r.RolledBackTo > 0 {
		line += fmt.Sprintf(", rolled back to revision %d", r.RolledBackTo)
	}
	if r.Reason != "" {
		line += ": " + r.Reason
	}
	a.term.Printf("%s\n", line)
	if r.Verification == nil {
		return
	}
	for _, c := range r.Verification.Checks {
		mark := a.term.Good("ok     ")
		switch {
		case c.Skipped:
			mark = a.term.Faint("skipped")
		case !c.Passed:
			mark = a.term.Bad("failed ")
		}
		a.term.Printf("    %s %s %s %s\n", mark, c.Name, c.Detail, a.term.Faint(term.Duration(c.Duration)))
	}
}

func (a *command) paintState(s model.RunState) string {
	switch s {
	case model.Done, model.Unchanged:
		return a.term.Good(string(s))
	case model.FailedRun, model.Refused:
		return a.term.Bad(string(s))
	default:
		return a.term.Doubt(string(s))
	}
}

// absent says whether an error means that no server answers.
func absent(err error) bool { return errors.Is(err, api.ErrNotRunning) }

// waitForServer waits until the server answers.
func (a *command) waitForServer(ctx context.Context, limit time.Duration, ended <-chan struct{}, why func() error) error {
	deadline := time.Now().Add(limit)
	for {
		_, err := a.server().Health(ctx)
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("hubship's server did not answer within %s: %w", term.Duration(limit), err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for hubship's server: %w", ctx.Err())
		case <-ended:
			return why()
		case <-time.After(100 * time.Millisecond):
		}
	}
}
