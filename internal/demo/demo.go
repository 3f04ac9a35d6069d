// Package demo plays the process of a DataHub against a running installation:
// a contributor proposes a package from a fork, it is checked and reviewed,
// staging proves it, prod gets it. Two accounts of the embedded forge play it,
// through the API of GitHub and with git. Everything that it tells is checked
// first; a claim that does not hold ends it with an error. It doubles as the
// end-to-end test.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/model"
)

// Server is the installation's server, as the command line sees it.
type Server interface {
	Status(ctx context.Context) (model.Status, error)
	Runs(ctx context.Context, f model.RunFilter) ([]model.Run, error)
	Follow(ctx context.Context, id string, fn func(model.Line) error) (model.Run, error)
	Promote(ctx context.Context, req model.PromoteRequest) (model.Promotion, error)
}

// Accounts of the forge that play. Neither may do more than their part needs.
const (
	Contributor = "demo-contributor"
	Reviewer    = "demo-reviewer"
)

// Options say what to play and to whom to tell it.
type Options struct {
	Server Server
	// Forge returns a repository as one of the two accounts sees it; the zero
	// Repository is the deployment repository.
	Forge    func(ctx context.Context, login string, repo forge.Repository) (forge.Participant, error)
	Web      *http.Client // reaches the hubs by their URLs
	Hub      string       // empty means the first one
	Reporter Reporter
}

// Reporter shows how the demo goes.
type Reporter interface {
	// Say tells what happens next, or what was just seen.
	Say(format string, args ...any)
	// Line shows a line of a run's log.
	Line(environment string, l model.Line)
	// Begin and the function it returns frame a step that takes time.
	Begin(step string) (end func(err error))
}

// Result is what the demo did and how long it took.
type Result struct {
	Hub        string    `json:"hub"`
	Package    string    `json:"package"` // "emoji==2.14.1"
	Commit     string    `json:"commit"`  // that was proposed
	Pulls      []int     `json:"pulls"`   // numbers of the pull requests that were opened
	Steps      []Step    `json:"steps"`
	Assertions []string  `json:"assertions"` // everything that was checked and held
	Finished   time.Time `json:"finished"`
	Seconds    float64   `json:"seconds"`
}

// Step is one step and its wall-clock time.
type Step struct {
	Name    string  `json:"name"`
	Seconds float64 `json:"seconds"`
	Run     string  `json:"run,omitempty"`
	// Of the run's time, in seconds.
	Build  float64 `json:"build,omitempty"`
	Deploy float64 `json:"deploy,omitempty"`
	Verify float64 `json:"verify,omitempty"`
}

// scenario is one demo under way.
type scenario struct {
	Options
	dir   string // temporary; the clone lies in it
	res   Result
	from  string            // the environment that proves, "staging"
	into  string            // the environment that is protected, "prod"
	heads map[string]string // branches of environments
	start time.Time

	contributor, reviewer forge.Participant // at the deployment repository
}

// perform sets the scene, plays the acts and cleans up.
func perform(ctx context.Context, o Options, acts func(context.Context, *scenario) error) (res Result, err error) {
	dir, err := os.MkdirTemp("", "hubship-demo-")
	if err != nil {
		return res, fmt.Errorf("create a folder for the demo: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	p := &scenario{Options: o, dir: dir, start: time.Now(), res: Result{Steps: []Step{}, Assertions: []string{}, Pulls: []int{}}}
	if err := p.scene(ctx); err != nil {
		return p.res, err
	}
	err = acts(ctx, p)
	p.res.Finished = time.Now()
	p.res.Seconds = time.Since(p.start).Seconds()
	return p.res, err
}

// scene finds the two environments and the hub, and makes sure that the demo
// can begin: both run what their branches want and nothing is halted.
func (p *scenario) scene(ctx context.Context) error {
	st, err := p.Server.Status(ctx)
	if err != nil {
		return err
	}
	p.heads = map[string]string{}
	for _, e := range st.Environments {
		p.heads[e.Name] = e.Branch
		if e.After != "" && p.into == "" {
			p.from, p.into = e.After, e.Name
		}
	}
	if p.into == "" {
		return model.WithHint(errors.New("no environment comes after another"), "the demo needs one with `after` in hubship.yaml")
	}
	for _, e := range st.Environments {
		if e.Name != p.from && e.Name != p.into {
			continue
		}
		if e.Active != nil {
			return model.WithHint(fmt.Errorf("run %s in environment %s is in progress", e.Active.ID, e.Name),
				fmt.Sprintf("wait for it with `hubship logs -f %s` and start again", e.Active.ID))
		}
		for _, r := range e.Releases {
			if p.Hub == "" {
				p.Hub = r.Observed.Target.Hub
			}
			if r.Observed.Target.Hub != p.Hub {
				continue
			}
			if err := ready(r); err != nil {
				return err
			}
		}
	}
	if p.Hub == "" {
		return model.WithHint(errors.New("there is no hub to play with"), "see `hubship status`")
	}
	p.res.Hub = p.Hub
	if p.contributor, err = p.Forge(ctx, Contributor, forge.Repository{}); err != nil {
		return err
	}
	if p.reviewer, err = p.Forge(ctx, Reviewer, forge.Repository{}); err != nil {
		return err
	}
	return p.tidy(ctx)
}

func (p *scenario) fromBranch() string { return p.heads[p.from] }
func (p *scenario) intoBranch() string { return p.heads[p.into] }

func ready(r model.ReleaseStatus) error {
	t := r.Observed.Target
	hint := "see `hubship status`; the demo starts only if everything is in order"
	switch {
	case r.Error != "":
		return model.WithHint(fmt.Errorf("%s cannot be observed: %s", t, r.Error), hint)
	case r.Halt != nil:
		return model.WithHint(fmt.Errorf("%s is halted: %s", t, r.Halt.Reason), fmt.Sprintf("push a fix, or `hubship resume --env %s --hub %s`", t.Environment, t.Hub))
	case r.Observed.Status != model.Deployed || !r.InSync || !r.Observed.Ready:
		return model.WithHint(fmt.Errorf("%s is not in order: status %s, in sync %v, ready %v", t, r.Observed.Status, r.InSync, r.Observed.Ready), hint)
	}
	return nil
}

// claim checks what the demo is about to tell, and tells it when it holds.
func (p *scenario) claim(holds bool, format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	if !holds {
		return fmt.Errorf("this should be true but is not: %s", text)
	}
	p.res.Assertions = append(p.res.Assertions, text)
	p.Reporter.Say("✓ %s", text)
	return nil
}

// step runs one step and keeps its time.
func (p *scenario) step(name string, do func(*Step) error) error {
	s := Step{Name: name}
	begin := time.Now()
	end := p.Reporter.Begin(name)
	err := do(&s)
	end(err)
	s.Seconds = time.Since(begin).Seconds()
	p.res.Steps = append(p.res.Steps, s)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// runOf waits for the deploy of a commit to an environment, and follows it to
// its end.
func (p *scenario) runOf(ctx context.Context, env, commit string, s *Step) (model.Run, error) {
	var found model.Run
	err := until(ctx, fmt.Sprintf("a run of environment %s for commit %.12s", env, commit), func() (bool, error) {
		runs, err := p.Server.Runs(ctx, model.RunFilter{Environment: env, Kind: model.Deploy, Limit: 20})
		for _, r := range runs {
			if r.Commit == commit {
				found = r
				return true, err
			}
		}
		return false, err
	})
	if err != nil {
		return found, err
	}
	return p.follow(ctx, found, s)
}

// patience is how long the demo waits for what should happen by itself.
const patience = 2 * time.Minute

// until asks again and again whether something has happened.
func until(ctx context.Context, what string, is func() (bool, error)) error {
	deadline := time.Now().Add(patience)
	for {
		if ok, err := is(); err != nil || ok {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s did not appear within %s", what, patience)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", what, ctx.Err())
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (p *scenario) follow(ctx context.Context, r model.Run, s *Step) (model.Run, error) {
	r, err := p.Server.Follow(ctx, r.ID, func(l model.Line) error {
		p.Reporter.Line(where(r), l)
		return nil
	})
	if err != nil {
		return r, err
	}
	s.Run = r.ID
	s.Build, s.Deploy, s.Verify = r.Durations.Build.Seconds(), r.Durations.Deploy.Seconds(), r.Durations.Verify.Seconds()
	return r, nil
}

// where is what a run's lines are shown under.
func where(r model.Run) string {
	if r.Pull != nil {
		return fmt.Sprintf("#%d", r.Pull.Number)
	}
	return r.Environment
}

// release returns the hub's part of a status.
func (p *scenario) release(ctx context.Context, env string) (model.ReleaseStatus, error) {
	st, err := p.Server.Status(ctx)
	if err != nil {
		return model.ReleaseStatus{}, err
	}
	for _, e := range st.Environments {
		for _, r := range e.Releases {
			if e.Name == env && r.Observed.Target.Hub == p.Hub {
				return r, nil
			}
		}
	}
	return model.ReleaseStatus{}, fmt.Errorf("hub %s is not in the status of environment %s: %s", p.Hub, env, strings.Join(st.Problems, "; "))
}

// serves checks over HTTP that the hub of an environment answers.
func (p *scenario) serves(ctx context.Context, env string) error {
	r, err := p.release(ctx, env)
	if err != nil {
		return err
	}
	url := strings.TrimSuffix(r.URL, "/") + "/hub/login"
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("ask %s: %w", url, err)
	}
	resp, err := p.Web.Do(req)
	if err != nil {
		return fmt.Errorf("ask %s: %w", url, err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20))
	return p.claim(resp.StatusCode == http.StatusOK, "%s answers (GET %s: %s)", env, url, resp.Status)
}

// of returns the hub's result in a run.
func of(r model.Run, hub string) (model.ReleaseResult, error) {
	for _, rel := range r.Releases {
		if rel.Target.Hub == hub {
			return rel, nil
		}
	}
	return model.ReleaseResult{}, fmt.Errorf("run %s (%s: %s) says nothing about hub %s", r.ID, r.State, r.Reason, hub)
}

// check returns a verification's check by name.
func check(rel model.ReleaseResult, name string) (model.Check, bool) {
	if rel.Verification != nil {
		for _, c := range rel.Verification.Checks {
			if c.Name == name {
				return c, true
			}
		}
	}
	return model.Check{}, false
}

// rebuilt lists the images that a run built.
func rebuilt(r model.Run) []string {
	var ids []string
	for _, i := range r.Images {
		if i.Rebuilt {
			ids = append(ids, i.ID)
		}
	}
	return ids
}

// builtBy lists the images that a check built.
func builtBy(r model.Run) []string {
	var ids []string
	for _, i := range r.Pull.Images {
		if i.Built.Rebuilt {
			ids = append(ids, i.ID)
		}
	}
	return ids
}
