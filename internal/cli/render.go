package cli

import (
	"github.com/spf13/cobra"

	"github.com/hubship/hubship/internal/app"
	"github.com/hubship/hubship/internal/planner"
)

func (a *command) renderCommand() *cobra.Command {
	var o planOptions
	q := planner.RenderRequest{}
	var show bool
	var ageKey string
	cmd := &cobra.Command{
		Use:   "render --hub HUB --env ENVIRONMENT [REV]",
		Short: "Print the manifests of one release",
		Long: `Render prints what Helm would apply for one release at a commit (HEAD unless REV
names another): the output of "helm template" with the files, secrets and images
of that hub and environment. It needs no installation and no cluster.

Placeholders stand in for the values in encrypted files; standard error says so.
With --show-secrets the files are opened with the keys of the installation in the
data directory, or with those in --age-key, and everything is printed. Values that
the chart generates at random are different each time.

With --values it prints the values that are passed to the chart instead.`,
		Example: `  hubship render --hub data8 --env staging
  hubship render --hub data8 --env prod origin/prod | kubectl diff -f -
  hubship render --hub data8 --env prod --values`,
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, given []string) error {
			if err := required(cmd, "hub", "env"); err != nil {
				return err
			}
			ctx := cmd.Context()
			p, _, closePlanner, err := a.newPlanner(ctx, o)
			if err != nil {
				return err
			}
			defer func() { _ = closePlanner() }() // it was read only
			if q.Rev = "HEAD"; len(given) == 1 {
				q.Rev = given[0]
			}
			if show {
				if q.Open, err = app.Opener(a.data, ageKey); err != nil {
					return err
				}
			}
			out, err := p.Render(ctx, q)
			if err != nil {
				return err
			}
			for _, name := range out.Placeholders {
				a.term.Warn("%s is encrypted; placeholders stand in for its values", name)
			}
			if a.term.JSONOutput() {
				return a.term.JSON(out)
			}
			if show {
				a.term.Reveal("%s", out.Text)
				return nil
			}
			a.term.Printf("%s", out.Text)
			return nil
		},
	}
	o.flags(cmd)
	cmd.Flags().StringVar(&q.Hub, "hub", "", "hub to render")
	cmd.Flags().StringVar(&q.Environment, "env", "", "environment to render the hub for")
	a.completeFromRepo(cmd, &o)
	cmd.Flags().BoolVar(&q.Values, "values", false, "print the values that are passed to the chart instead of the manifests")
	cmd.Flags().BoolVar(&show, "show-secrets", false, "open encrypted files, and print their contents")
	cmd.Flags().StringVar(&ageKey, "age-key", "", "file with age identities that open encrypted files, instead of the installation's keys")
	_ = cmd.MarkFlagFilename("age-key")
	return cmd
}
