package planner

import (
	"context"
	"fmt"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/hubship/hubship/internal/config"
	"github.com/hubship/hubship/internal/git"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/plan"
)

// affected compares the sides.
func (w *work) affected(ctx context.Context) error {
	base, head := w.base.content, w.head.content
	if w.head.cfg == nil {
		// What is broken at the head says nothing about what would change.
		base, head = plan.Revision{}, plan.Revision{}
	}
	p := plan.Affected(base, head, w.changed, config.FileName)
	p.Base, p.Head, p.Merged, p.Process = w.plan.Base, w.plan.Head, w.merged, w.plan.Process
	w.plan = p
	w.hubProblems()
	return w.submodules(ctx)
}

// restrict leaves out the releases that were not asked for.
func (w *work) restrict(hubs, environments []string) {
	w.plan.Releases = slices.DeleteFunc(w.plan.Releases, func(r plan.Release) bool {
		return len(hubs) > 0 && !slices.Contains(hubs, r.Hub) || len(environments) > 0 && !slices.Contains(environments, r.Environment)
	})
	if len(hubs) > 0 {
		w.plan.Images = slices.DeleteFunc(w.plan.Images, func(i plan.Image) bool {
			return !slices.ContainsFunc(i.Hubs, func(h string) bool { return slices.Contains(hubs, h) })
		})
	}
}

// hubProblems reports hubs that are held back, and those that go to prod
// without staging.
func (w *work) hubProblems() {
	cfg := w.head.cfg
	if cfg == nil {
		return
	}
	w.chartProblems()
	w.renamed()
	for _, h := range cfg.Fleet.Hubs {
		for _, found := range cfg.HubProblems[h.Name] {
			p := configProblem(found.Problem, plan.Error, h.Name)
			p.Releases = releasesOf(cfg.Fleet, h)
			if found.Environment != "" {
				p.Releases = []string{h.Name + "@" + found.Environment}
			}
			p.Preexisting = w.base.cfg != nil && slices.Contains(w.base.cfg.HubProblems[h.Name], found)
			w.problem(p)
		}
		if nowhere(h) {
			p := plan.Problem{
				Severity: plan.Notice, Check: "configuration", File: h.Path,
				Message: fmt.Sprintf("hub %s has no file of its own for any environment, so it has no release", h.Name),
				Hint:    "commit one, or add the folder to hubs.exclude in " + config.FileName,
			}
			if w.base.cfg != nil {
				old, ok := w.base.cfg.Fleet.Hub(h.Name)
				p.Preexisting = ok && nowhere(old)
			}
			w.problem(p)
		}
		for _, e := range cfg.Fleet.Environments {
			if e.After == "" || !h.In(e.Name) || h.In(e.After) {
				continue
			}
			p := plan.Problem{
				Severity: plan.Warning, Check: "staging", File: h.Path, Releases: []string{h.Name + "@" + e.Name},
				Message: fmt.Sprintf("hub %s has a release in %s but none in %s: nothing is tested before it goes live", h.Name, e.Name, e.After),
				Hint:    fmt.Sprintf("give the hub settings for %s", e.After),
			}
			if w.base.cfg != nil {
				old, ok := w.base.cfg.Fleet.Hub(h.Name)
				p.Preexisting = ok && old.In(e.Name) && !old.In(e.After)
			}
			w.problem(p)
		}
	}
}

// renamed reports hubs that have another name: to Helm they are new ones.
func (w *work) renamed() {
	for _, h := range w.plan.Hubs {
		if h.Change != plan.Renamed {
			continue
		}
		p := plan.Problem{
			Severity: plan.Warning, Check: "renamed",
			Message: fmt.Sprintf("hub %s is renamed to %s: a new hub is installed beside it, without its users and the data in its volumes", h.From, h.Hub),
			Hint:    "move users and data manually, or keep the folder name",
		}
		for _, e := range w.plan.Releases {
			if e.Hub == h.Hub || e.Hub == h.From {
				p.Releases = append(p.Releases, e.Key())
			}
		}
		if hub, ok := w.head.cfg.Fleet.Hub(h.Hub); ok {
			p.File = hub.Path
		}
		w.problem(p)
	}
}

// nowhere says that a hub is in no environment.
func nowhere(h model.Hub) bool { return h.Environments != nil && len(h.Environments) == 0 }

// chartProblems reports charts of single hubs that cannot be read.
func (w *work) chartProblems() {
	old := map[string]bool{}
	for _, r := range w.base.content.Releases {
		old[r.Invalid] = true
	}
	found := map[string]*plan.Problem{}
	for _, r := range w.head.content.Releases {
		h, _ := w.head.cfg.Fleet.Hub(r.Target.Hub)
		if r.Invalid == "" || r.Invalid == h.Problem(r.Target.Environment) {
			continue
		}
		p := found[r.Invalid]
		if p == nil {
			p = &plan.Problem{
				Severity: plan.Error, Check: "chart", Message: r.Invalid, File: path.Join(w.head.cfg.Fleet.ChartOf(h), "Chart.yaml"),
				Hint: "fix the chart; until then its hubs are held back", Preexisting: old[r.Invalid],
			}
			found[r.Invalid] = p
		}
		p.Releases = append(p.Releases, r.Target.Key())
	}
	for _, text := range sortedKeys(found) {
		slices.Sort(found[text].Releases)
		w.problem(*found[text])
	}
}

func releasesOf(f *model.Fleet, h model.Hub) []string {
	var out []string
	for _, e := range f.Environments {
		if h.In(e.Name) {
			out = append(out, h.Name+"@"+e.Name)
		}
	}
	slices.Sort(out)
	return out
}

// maxCommits bounds the commits that a submodule's move lists.
const maxCommits = 100

// submodules finds submodules that move, and what they move over where their
// repository is here.
func (w *work) submodules(ctx context.Context) error {
	for _, name := range w.changed {
		var s plan.Submodule
		if w.base.tree != nil {
			if e, ok := w.base.tree.Lookup(name); ok && e.IsSubmodule() {
				s.Before = e.ID
			}
		}
		if e, ok := w.head.tree.Lookup(name); ok && e.IsSubmodule() {
			s.After = e.ID
		}
		if s.Before == "" && s.After == "" {
			continue
		}
		s.Path = name
		if s.Before != "" && s.After != "" {
			w.moved(ctx, &s)
		}
		w.plan.Submodules = append(w.plan.Submodules, s)
		if s.Back {
			w.problem(plan.Problem{
				Severity: plan.Warning, Check: "submodule", File: name,
				Message: fmt.Sprintf("the submodule moves back from %.10s to %.10s and loses %d commits", s.Before, s.After, len(s.Commits)),
				Hint:    "update it with `git submodule update --init " + name + "` and commit that, unless going back is intended",
			})
		}
	}
	return ctx.Err()
}

// moved lists the commits between the two of a submodule.
func (w *work) moved(ctx context.Context, s *plan.Submodule) {
	sub, err := w.submodule(s.Path)
	if err != nil {
		s.Note = "its repository is missing; `git submodule update --init " + s.Path + "` fetches it"
		return
	}
	defer func() { _ = sub.Close() }() // it was read only
	back, err := sub.IsAncestor(ctx, s.After, s.Before)
	if err != nil {
		s.Note = "its repository does not have both commits; `git submodule update --init " + s.Path + "` fetches them"
		return
	}
	from, to := s.Before, s.After
	if s.Back = back; back {
		from, to = to, from
	}
	commits, err := sub.Log(ctx, from, to, maxCommits)
	if err != nil {
		s.Note = "its history could not be read"
		return
	}
	for _, c := range commits {
		s.Commits = append(s.Commits, c.String())
	}
}

// submodule opens the repository of a submodule, where git keeps it: below the
// git directory by its name, which is its path unless it was renamed.
func (w *work) submodule(name string) (*git.Repo, error) {
	names := []string{name}
	if data, err := readTree(w.head.tree, ".gitmodules"); err == nil {
		if n := moduleName(string(data), name); n != "" {
			names = append(names, n)
		}
	}
	err := fmt.Errorf("submodule %s: %w", name, git.ErrNotFound)
	for _, n := range names {
		if !filepath.IsLocal(n) {
			continue
		}
		var r *git.Repo
		if r, err = git.Open(filepath.Join(w.git.Dir(), "modules", filepath.FromSlash(n))); err == nil {
			return r, nil
		}
	}
	return nil, err
}

var (
	moduleHeader = regexp.MustCompile(`^\s*\[submodule "(.+)"\]\s*$`)
	modulePath   = regexp.MustCompile(`^\s*path\s*=\s*(.+?)\s*$`)
)

// moduleName returns the name of the submodule at a path.
func moduleName(gitmodules, name string) string {
	current := ""
	for line := range strings.Lines(gitmodules) {
		line = strings.TrimRight(line, "\r\n")
		if m := moduleHeader.FindStringSubmatch(line); m != nil {
			current = m[1]
		} else if m := modulePath.FindStringSubmatch(line); m != nil && m[1] == name {
			return current
		}
	}
	return ""
}

// allowDestroy reads the Allow-Destroy trailers of the change's commits.
func (w *work) allowDestroy(ctx context.Context, base, head string) error {
	names, err := w.o.Repository.AllowedToDestroy(ctx, base, head)
	if err != nil {
		return fmt.Errorf("plan: %w", err)
	}
	for _, n := range names {
		w.allowed[n] = true
	}
	return nil
}

// impacts judges what users feel of every release's change.
func (w *work) impacts() {
	for i := range w.plan.Releases {
		r := &w.plan.Releases[i]
		around := plan.Surroundings{Allowed: w.allowed, Images: w.plan.Images, Rendered: w.plan.Rendered}
		if w.base.cfg != nil {
			if old, err := w.base.cfg.Fleet.Target(r.Hub, r.Environment); err == nil && r.Change == plan.Changed {
				around.NamespaceBefore, around.ReleaseBefore = old.Namespace, old.Release
			}
		}
		w.problems = append(w.problems, plan.Judge(r, around)...)
	}
}
