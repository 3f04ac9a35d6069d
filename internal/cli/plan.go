package cli

import (
	"context"
	"fmt"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hubship/hubship/internal/app"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/plan"
	"github.com/hubship/hubship/internal/planner"
	"github.com/hubship/hubship/internal/repo"
	"github.com/hubship/hubship/internal/report"
)

// planOptions are what plan and render share.
type planOptions struct {
	dir     string
	charts  []string
	offline bool
	live    bool
}

func (o *planOptions) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.dir, "repo", ".", "folder in the deployment repository")
	cmd.Flags().StringSliceVar(&o.charts, "charts", nil, "folder with charts (unpacked, or NAME-VERSION.tgz) that the hubs' chart depends on")
	cmd.Flags().BoolVar(&o.offline, "offline", false, "fetch no charts and ask no registries")
	_ = cmd.MarkFlagDirname("repo")
	_ = cmd.MarkFlagDirname("charts")
}

// completeFromRepo completes --hub and --env with what the repository says at
// its current commit.
func (a *command) completeFromRepo(cmd *cobra.Command, o *planOptions) {
	names := func(ctx context.Context, of func(*model.Fleet) []string) []string {
		_, r, closePlanner, err := a.newPlanner(ctx, *o)
		if err != nil {
			return nil
		}
		defer func() { _ = closePlanner() }() // it was read only
		head, err := r.Resolve(ctx, "HEAD")
		if err != nil {
			return nil
		}
		fleet, err := r.Fleet(ctx, head)
		if err != nil {
			return nil
		}
		return of(fleet)
	}
	_ = cmd.RegisterFlagCompletionFunc("hub", func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return names(cmd.Context(), func(f *model.Fleet) (out []string) {
			for _, h := range f.Hubs {
				out = append(out, h.Name)
			}
			return out
		}), cobra.ShellCompDirectiveNoFileComp
	})
	_ = cmd.RegisterFlagCompletionFunc("env", func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return names(cmd.Context(), func(f *model.Fleet) (out []string) {
			for _, e := range f.Environments {
				out = append(out, e.Name)
			}
			return out
		}), cobra.ShellCompDirectiveNoFileComp
	})
}

func (a *command) newPlanner(ctx context.Context, o planOptions) (*planner.Planner, *repo.Repository, func() error, error) {
	return app.NewPlanner(ctx, app.PlannerOptions{Dir: o.dir, Data: a.data, Charts: o.charts, Offline: o.offline, Live: o.live})
}

const (
	planGC     = 400       // percent
	planMemory = 140 << 20 // bytes
)

// planFormats are the formats that a plan is printed in.
var planFormats = []string{"text", "json", "markdown", "html"}

func (a *command) planCommand() *cobra.Command {
	var o planOptions
	var noRender bool
	var failOn string
	q := planner.Request{}
	cmd := &cobra.Command{
		Use:   "plan [BASE..HEAD | BASE...HEAD | COMMIT]",
		Short: "Say what a change will do, before anyone merges it",
		Long: `Plan compares two commits of the deployment repository in the current folder:
which images are built and why, which releases change and how, what users will
notice, and what is wrong with the change. It needs no installation and no
cluster, and changes nothing.

BASE..HEAD compares two commits as they are. BASE...HEAD plans the result of
merging HEAD into BASE, as a pull request would. COMMIT alone is compared with its
first parent. Without an argument, the current commit is planned as a pull request
into the branch of the first environment.

Both sides are rendered with Helm and compared object by object. A plan opens no
encrypted file: placeholders stand in for the values in it, and an encrypted value
that differs is shown as changed, with its path.

Exit code: 0 if a plan was made, whatever it says. With --fail-on: 3 if it has
problems of that severity or worse.`,
		Example: `  hubship plan
  hubship plan origin/staging...my-change
  hubship plan HEAD~1..HEAD --no-render -o json
  hubship plan origin/prod..origin/staging -o markdown > plan.md
  hubship plan --fail-on error`,
		Args:        args(cobra.MaximumNArgs(1)),
		Annotations: map[string]string{outputsKey: strings.Join(planFormats, " ")},
		RunE: func(cmd *cobra.Command, given []string) error {
			if failOn != "" && failOn != "error" && failOn != "warning" {
				return model.Usage(fmt.Errorf("--fail-on %q is neither error nor warning", failOn), "omit it to never fail")
			}
			// A plan makes much garbage in little time. Memory is cheaper than
			// collecting it, up to a bound.
			debug.SetGCPercent(planGC)
			debug.SetMemoryLimit(planMemory)
			ctx := cmd.Context()
			p, r, closePlanner, err := a.newPlanner(ctx, o)
			if err != nil {
				return err
			}
			defer func() { _ = closePlanner() }() // it was read only
			if err := planRange(ctx, r, given, &q); err != nil {
				return err
			}
			q.Render = !noRender
			phase := a.term.Phase("plan")
			q.Progress = func(format string, args ...any) { phase.Detail(format, args...) }
			result, err := p.Plan(ctx, q)
			if err != nil {
				phase.Fail("")
				return err
			}
			phase.Done("")
			if err := a.printPlan(result); err != nil {
				return err
			}
			return failing(result, failOn)
		},
	}
	o.flags(cmd)
	cmd.Flags().BoolVar(&o.live, "live", false, "ask the clusters that the process names, as registered with the installation: who is online, which images their nodes have, and whether they would accept the changes (a dry run)")
	cmd.Flags().BoolVar(&noRender, "no-render", false, "do not compare rendered objects: needs neither the chart's dependencies nor a renderer")
	cmd.Flags().StringVar(&failOn, "fail-on", "", "exit with 3 if the change has a problem of this severity or worse: error or warning")
	cmd.Flags().StringArrayVar(&q.Hubs, "hub", nil, "only this hub; can be repeated (default: all)")
	cmd.Flags().StringArrayVar(&q.Environments, "env", nil, "only this environment; can be repeated (default: all)")
	a.completeFromRepo(cmd, &o)
	_ = cmd.RegisterFlagCompletionFunc("fail-on", cobra.FixedCompletions([]string{"error", "warning"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// planRange reads the command's argument.
func planRange(ctx context.Context, r *repo.Repository, given []string, q *planner.Request) error {
	or := func(rev string) string {
		if rev == "" {
			return "HEAD"
		}
		return rev
	}
	if len(given) == 0 {
		return planHere(ctx, r, q)
	}
	switch text := given[0]; {
	case strings.Contains(text, "..."):
		base, head, _ := strings.Cut(text, "...")
		q.Base, q.Head, q.Merge = or(base), or(head), true
	case strings.Contains(text, ".."):
		base, head, _ := strings.Cut(text, "..")
		q.Base, q.Head = or(base), or(head)
	default:
		q.Head = text
		return firstParent(ctx, r, q)
	}
	return nil
}

// planHere plans the current commit against the branch of the first
// environment.
func planHere(ctx context.Context, r *repo.Repository, q *planner.Request) error {
	q.Head = "HEAD"
	head, err := r.Resolve(ctx, q.Head)
	if err != nil {
		return err
	}
	fleet, err := r.Fleet(ctx, head)
	if err != nil || len(fleet.Environments) == 0 {
		return firstParent(ctx, r, q)
	}
	for _, base := range []string{"origin/" + fleet.Environments[0].Branch, fleet.Environments[0].Branch} {
		commit, err := r.Resolve(ctx, base)
		if err != nil {
			continue
		}
		if commit != head {
			q.Base, q.Merge = base, true
			return nil
		}
	}
	return firstParent(ctx, r, q)
}

// firstParent makes the base the first parent of the head; of the first commit
// nothing.
func firstParent(ctx context.Context, r *repo.Repository, q *planner.Request) error {
	commit, err := r.Resolve(ctx, q.Head)
	if err != nil {
		return err
	}
	commits, err := r.Git().Log(ctx, "", commit, 1)
	if err != nil {
		return err
	}
	if r.Git().CutOff(commit) {
		return model.WithHint(fmt.Errorf("the parent of %s is not in this clone", short(commit)), "the clone is shallow: get the rest of its history with `git fetch --unshallow`")
	}
	q.Head = commit
	if len(commits[0].Parents) > 0 {
		q.Base = commits[0].Parents[0]
	}
	return nil
}

func (a *command) printPlan(p plan.Plan) error {
	switch a.output {
	case "json":
		return a.term.JSON(p)
	case "markdown":
		return report.Markdown(a.streams.Out, p, report.Options{})
	case "html":
		return report.HTML(a.streams.Out, p, report.Options{})
	}
	return report.Text(a.streams.Out, p, report.Options{Colour: a.term.Colour(), Width: a.term.Width()})
}

// counted is a number of things.
func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// failing refuses a plan with problems as bad as asked for.
func failing(p plan.Plan, failOn string) error {
	errors, warnings := 0, 0
	for _, problem := range p.Problems {
		switch problem.Severity {
		case plan.Error:
			errors++
		case plan.Warning:
			warnings++
		}
	}
	if failOn == "" || errors == 0 && (failOn == "error" || warnings == 0) {
		return nil
	}
	return model.RefusedBy(fmt.Errorf("the plan has %s and %s", counted(errors, "error"), counted(warnings, "warning")), "fix what the plan lists")
}
