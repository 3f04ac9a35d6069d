package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/hubship/hubship/internal/install"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/term"
)

// waitForHubs follows the runs of all environments until each hub answers
// through the HTTP port and nothing is under way any more.
func (a *command) waitForHubs(ctx context.Context, s install.Settings) error {
	w := &hubWait{command: a, web: loopbackClient(s.Port), phases: map[string]*term.Phase{}, followed: map[string]bool{}}
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		st, err := a.server().Status(ctx)
		if err == nil {
			done, err := w.look(ctx, st)
			if err != nil || done {
				return err
			}
		} else if ctx.Err() == nil && !absent(err) {
			w.note("status", err.Error())
		}
		select {
		case <-ctx.Done():
			w.fail()
			why := "stopped waiting for the hubs"
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				why = "not all hubs answered in time (--timeout)"
			}
			return model.WithHint(errors.New(why+w.lastSeen),
				"the runs continue in the background; see `hubship status` and `hubship history`, or run `hubship up` again")
		case <-tick.C:
		}
	}
}

// hubWait is what waitForHubs has seen and shown so far.
type hubWait struct {
	command  *command
	web      *http.Client
	phases   map[string]*term.Phase // by release; nil once it answers
	followed map[string]bool        // runs
	said     map[string]string
	lastSeen string
}

// look judges one status. done means that all hubs answer and nothing runs.
func (w *hubWait) look(ctx context.Context, st model.Status) (done bool, err error) {
	if st.Forge != nil && st.Forge.Trouble != "" {
		w.note("forge", st.Forge.Trouble)
	}
	if len(st.Environments) == 0 {
		for _, p := range st.Problems {
			w.note("status", p)
		}
		return false, nil
	}
	done = true
	w.lastSeen = ""
	for _, env := range st.Environments {
		if env.Active != nil {
			done = false
			w.follow(ctx, *env.Active)
		}
		for _, r := range env.Releases {
			key := r.Observed.Target.Key()
			phase, known := w.phases[key]
			if !known {
				phase = w.command.term.Phase(fmt.Sprintf("hub %s in %s", r.Observed.Target.Hub, env.Name))
				w.phases[key] = phase
			}
			if phase == nil {
				continue
			}
			why := answers(ctx, w.web, r)
			if why == nil {
				phase.Done(r.URL)
				w.phases[key] = nil
				continue
			}
			done = false
			w.lastSeen += fmt.Sprintf("\n%s: %v", r.Observed.Target, why)
			if env.Active == nil && r.Observed.Status != model.Deployed {
				if failed := w.gaveUp(ctx, env, r); failed != nil {
					w.fail()
					return false, failed
				}
			}
		}
		if len(env.Releases) == 0 {
			done = false
			w.lastSeen += fmt.Sprintf("\nenvironment %s: its releases are not known yet", env.Name)
		}
	}
	for _, p := range st.Problems {
		w.note("status", p)
	}
	return done, nil
}

// gaveUp says why a hub that does not run will not come by itself: its last
// run ended badly.
func (w *hubWait) gaveUp(ctx context.Context, env model.EnvironmentStatus, r model.ReleaseStatus) error {
	runs, err := w.command.server().Runs(ctx, model.RunFilter{Environment: env.Name, Limit: 1})
	if err != nil || len(runs) == 0 || runs[0].State != model.FailedRun {
		return nil // refused and superseded runs are followed by others
	}
	why := runs[0].Reason
	if r.Halt != nil {
		why = r.Halt.Reason
	}
	for _, rel := range runs[0].Releases {
		if rel.Target.Key() == r.Observed.Target.Key() && rel.Log != "" {
			why += "\n" + rel.Log
		}
	}
	return model.WithHint(fmt.Errorf("%s does not come up: %s", r.Observed.Target, why),
		fmt.Sprintf("the whole log: `hubship logs %s`; once it is fixed: `hubship deploy --env %s --force`", runs[0].ID, env.Name))
}

// follow shows a run's log in the background until it ends.
func (w *hubWait) follow(ctx context.Context, run model.Run) {
	if w.followed[run.ID] {
		return
	}
	w.followed[run.ID] = true
	w.command.term.Note("environment %s: run %s, %s of %s %q", run.Environment, run.ID, run.Kind, short(run.Commit), run.Subject)
	phase := w.command.term.PhaseSince("run for "+run.Environment, run.Started)
	go func() {
		end, err := w.command.server().Follow(ctx, run.ID, func(l model.Line) error {
			text := l.Text
			if l.Scope != "" {
				text = l.Scope + ": " + text
			}
			if !strings.HasSuffix(l.Scope, "@"+run.Environment) {
				text = run.Environment + ": " + text
			}
			if l.Level == model.LevelDebug {
				phase.Detail("%s", text)
			} else {
				w.command.term.Note("%s", text)
			}
			return nil
		})
		switch {
		case err != nil:
			phase.Fail(err.Error())
		case end.State == model.FailedRun:
			phase.Fail(end.Reason)
		case end.State == model.Done:
			phase.Done("")
		default:
			phase.Done(string(end.State))
		}
	}()
}

// note says something once.
func (w *hubWait) note(about, text string) {
	if w.said == nil {
		w.said = map[string]string{}
	}
	if w.said[about] != text {
		w.said[about] = text
		w.command.term.Note("%s: %s", about, text)
	}
}

func (w *hubWait) fail() {
	for _, p := range w.phases {
		if p != nil {
			p.Fail("")
		}
	}
}

// loopbackClient connects to the loopback whatever the host name, because
// names below .localhost are not resolved everywhere.
func loopbackClient(port int) *http.Client {
	address := fmt.Sprintf("127.0.0.1:%d", port)
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", address)
		},
		DisableKeepAlives: true,
	}}
}

// answers says why a hub does not answer through the HTTP port, or nil.
func answers(ctx context.Context, web *http.Client, r model.ReleaseStatus) error {
	if r.Observed.Status == model.Absent {
		return errors.New("not deployed yet")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.URL+"hub/health", nil)
	if err != nil {
		return fmt.Errorf("ask %s: %w", r.URL, err)
	}
	resp, err := web.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<16))
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", req.URL, resp.Status)
	}
	return nil
}
