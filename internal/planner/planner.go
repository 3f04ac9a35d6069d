// Package planner makes a plan from a deployment repository: it reads both
// sides of a change, renders what is affected, and collects problems. It changes
// nothing, in the repository or in a cluster. It holds no key: a placeholder stands
// in for every encrypted value.
package planner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/hubship/hubship/internal/check"
	"github.com/hubship/hubship/internal/config"
	"github.com/hubship/hubship/internal/git"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/plan"
	"github.com/hubship/hubship/internal/release/confine"
	"github.com/hubship/hubship/internal/release/helm"
	"github.com/hubship/hubship/internal/repo"
)

// Options configure a Planner.
type Options struct {
	Repository *repo.Repository // required
	// Renderer renders both sides; nil plans without rendering.
	Renderer *helm.Renderer
	// Charts says what charts may do beyond the default.
	Charts confine.Allowed
	// Registry answers whether images exist; nil asks nobody.
	Registry check.Registries
	// Layers says what images are made of; nil asks nobody.
	Layers check.Layers
	// Live asks clusters; nil asks none.
	Live Live
	// Clusters returns a cluster of the installation by its name; nil means
	// that there are none.
	Clusters func(ctx context.Context, name string) (model.Cluster, error)
}

// Request is what to plan.
type Request struct {
	Base string // revision; empty: everything is new
	Head string // revision
	// Branch is the target of the change, if known: only a change to the process
	// branch decides about the process.
	Branch string
	// Merge plans the result of merging head into base, as for a pull request.
	Merge bool
	// Render compares the rendered objects of both sides.
	Render bool
	// Hubs and Environments restrict the releases; empty means all.
	Hubs, Environments []string
	// Progress is called with what is under way; it may be nil.
	Progress func(format string, args ...any)
}

// Planner makes plans. It is safe for concurrent use, and caches what it read: the
// second plan is faster than the first.
type Planner struct {
	o       Options
	git     *git.Repo
	values  *lru.Cache[string, *parsed]        // by object id
	checked *lru.Cache[string, []plan.Problem] // by path and object id
	secret  *lru.Cache[string, *sealed]        // by object id
}

// Bounds of what is kept.
const (
	keptFiles = 4096
)

// New returns a planner.
func New(o Options) (*Planner, error) {
	if o.Repository == nil {
		return nil, errors.New("planner: Options.Repository is missing")
	}
	p := &Planner{o: o, git: o.Repository.Git()}
	p.values, _ = lru.New[string, *parsed](keptFiles) // fails only for a size below 1
	p.checked, _ = lru.New[string, []plan.Problem](keptFiles)
	p.secret, _ = lru.New[string, *sealed](keptFiles)
	return p, nil
}

// Plan says what the change does. What is wrong with either side is in the
// plan's problems; an error means that there is no plan, because a revision
// does not exist or the repository could not be read.
func (p *Planner) Plan(ctx context.Context, q Request) (plan.Plan, error) {
	w, err := p.open(ctx, q)
	if err != nil {
		return plan.Plan{}, err
	}
	if err := w.affected(ctx); err != nil {
		return plan.Plan{}, err
	}
	w.restrict(q.Hubs, q.Environments)
	if err := w.judge(ctx); err != nil {
		return plan.Plan{}, err
	}
	var background sync.WaitGroup
	defer background.Wait()
	images := &answers{asked: map[string]bool{}, bytes: map[string]int64{}}
	w.askRegistry(ctx, images, &background)
	if q.Render {
		if p.o.Renderer == nil {
			return plan.Plan{}, errors.New("plan: no renderer is configured")
		}
		if err := w.render(ctx); err != nil {
			return plan.Plan{}, err
		}
		for i := range w.plan.Releases {
			w.rendered(&w.plan.Releases[i])
		}
		w.askRegistry(ctx, images, &background)
	}
	background.Wait()
	w.addImages(images)
	if q.Render {
		w.live(ctx)
	}
	w.impacts()
	w.plan.Problems = append(w.plan.Problems, plan.MergeProblems(w.problems)...)
	return w.plan, ctx.Err()
}

// work is one plan in the making.
type work struct {
	*Planner
	q          Request
	plan       plan.Plan
	base, head revision
	merged     string // commit of the merge that is planned; empty when head is
	changed    []string
	mu         sync.Mutex // guards what goroutines find
	problems   []plan.Problem
	allowed    map[string]bool // by "KIND/NAME": what the commits' messages allow to be destroyed
	// under is the commit of the process that both sides are judged under;
	// empty when each is as it proposes itself.
	under    string
	clusters map[string]model.Cluster // that may be asked, by name
}

// revision is one of the two commits.
type revision struct {
	commit  string // that trees are read from
	tree    *git.Tree
	cfg     *config.Config // nil when the repository describes nothing here
	content plan.Revision
	// desired are all releases by their keys, found out when first asked for.
	desired map[string]model.Desired
}

// say reports progress.
func (w *work) say(format string, args ...any) {
	if w.q.Progress != nil {
		w.q.Progress(format, args...)
	}
}

func (w *work) problem(p plan.Problem) { w.problems = append(w.problems, p) }

// open resolves the revisions and reads both sides.
func (p *Planner) open(ctx context.Context, q Request) (*work, error) {
	w := &work{Planner: p, q: q, allowed: map[string]bool{}}
	head, err := p.git.Resolve(ctx, q.Head)
	if err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	base := ""
	if q.Base != "" {
		if base, err = p.git.Resolve(ctx, q.Base); err != nil {
			return nil, fmt.Errorf("plan: %w", err)
		}
	}
	w.base.commit, w.head.commit = base, head
	if q.Merge && base != "" {
		if err := w.merge(ctx, base, head); err != nil {
			return nil, err
		}
	}
	if err := w.allowDestroy(ctx, base, head); err != nil {
		return nil, err
	}
	now, err := w.holds(ctx)
	if err != nil {
		return nil, err
	}
	if err := w.read(ctx, &w.head, "head"); err != nil {
		return nil, err
	}
	if base != "" {
		if err := w.read(ctx, &w.base, "base"); err != nil {
			return nil, err
		}
	}
	if w.changed, err = p.git.ChangedPaths(ctx, w.base.commit, w.head.commit); err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	w.plan.Base, w.plan.Head = base, head
	w.knowClusters(ctx, now)
	return w, w.propose(ctx, now)
}

// merge makes the head what merging it into base results in. A conflict is a
// problem: the head is then planned against where it left the base.
func (w *work) merge(ctx context.Context, base, head string) error {
	merged, err := w.git.MergeResult(ctx, base, head)
	var conflict *git.ConflictError
	switch {
	case errors.As(err, &conflict):
		for _, name := range conflict.Files {
			w.problem(plan.Problem{Severity: plan.Error, Check: "merge", File: name, Message: "conflicts with the base", Hint: model.HintOf(err)})
		}
		if w.base.commit, err = w.git.MergeBase(ctx, base, head); err != nil {
			return fmt.Errorf("plan: %w", err)
		}
	case errors.Is(err, git.ErrNotFound) && w.git.Shallow():
		return model.WithHint(fmt.Errorf("plan: %w", err), "the clone is shallow: get the rest of its history with `git fetch --unshallow`")
	case err != nil:
		return fmt.Errorf("plan: %w", err)
	case merged != head:
		w.merged, w.head.commit = merged, merged
	}
	return nil
}

// read reads what a side describes. A configuration that is wrong is a
// problem.
func (w *work) read(ctx context.Context, s *revision, name string) error {
	tree, err := w.o.Repository.Tree(ctx, s.commit)
	if err != nil {
		return fmt.Errorf("plan: %w", err)
	}
	s.tree = tree
	s.content, err = w.o.Repository.Revision(ctx, s.commit, w.under)
	var wrong *config.Error
	var found []plan.Problem
	switch {
	case err == nil:
		if s.cfg, err = w.o.Repository.Config(ctx, s.commit, w.under); err != nil {
			return fmt.Errorf("plan: %w", err)
		}
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("plan: %w", context.Cause(ctx))
	case errors.As(err, &wrong):
		for _, p := range wrong.Problems {
			found = append(found, configProblem(p, plan.Error, ""))
		}
	default:
		found = append(found, plan.Problem{Severity: plan.Error, Check: "configuration", Message: err.Error(), Hint: model.HintOf(err)})
	}
	s.content = plan.Revision{Commit: s.commit}
	if name == "head" {
		w.problems = append(w.problems, found...)
		return nil
	}
	for _, p := range found {
		if i := slices.IndexFunc(w.problems, func(q plan.Problem) bool {
			return q.Check == p.Check && q.File == p.File && q.Message == p.Message
		}); i >= 0 {
			w.problems[i].Preexisting = true
		} else if w.head.cfg != nil {
			// The head may be what mends it.
			p.Severity, p.Message = plan.Notice, "the base could not be read, so everything counts as new: "+p.Message
			w.problem(p)
		}
	}
	return nil
}

// configProblem words what config found as a problem of the plan.
func configProblem(p config.Problem, severity plan.Severity, hub string) plan.Problem {
	message := p.Message
	if p.Field != "" {
		message = p.Field + ": " + message
	}
	out := plan.Problem{Severity: severity, Check: "configuration", Message: message, Hint: p.Hint, File: p.File, Line: p.Line}
	if hub != "" {
		out.Message = "hub " + hub + ": " + message
	}
	return out
}
