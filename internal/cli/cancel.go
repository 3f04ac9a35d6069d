package cli

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/hubship/hubship/internal/model"
)

func (a *command) cancelCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "cancel RUN",
		Short: "Cancel a run",
		Long: `Cancel ends a run that is queued or in progress. A release that is being
upgraded is rolled back; nothing is left half done.`,
		Example: `  hubship cancel 20261123-104501-k3f9`,
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, given []string) error {
			ctx := cmd.Context()
			run, err := a.server().Run(ctx, given[0])
			if err != nil {
				return err
			}
			a.term.Note("cancelling run %s (%s, %s)", run.ID, run.Kind, scope(run))
			asked := time.Now()
			if err := a.server().Cancel(ctx, run.ID, caller()); err != nil {
				return err
			}
			// What the run says until it has ended, and not what it said before.
			run, err = a.server().Follow(ctx, run.ID, func(l model.Line) error {
				if l.Time.After(asked) {
					a.printLine(l)
				}
				return nil
			})
			if err := stopped(ctx, given[0], err); err != nil {
				return err
			}
			return a.printRun(run)
		},
	}
}
