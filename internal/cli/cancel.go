package cli

import (
	"github.com/spf13/cobra"
)

func (a *command) cancelCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "cancel RUN",
		Short: "End a run before it is done",
		Long: `Cancel ends a run that is queued or under way. A release that is being
upgraded is rolled back; nothing is left half done.`,
		Example: `  hubship cancel 20261123-104501-k3f9`,
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, given []string) error {
			ctx := cmd.Context()
			run, err := a.server().Run(ctx, given[0])
			if err != nil {
				return err
			}
			a.term.Note("cancel the %s run %s of environment %s", run.Kind, run.ID, a.term.Bold(run.Environment))
			if err := a.server().Cancel(ctx, run.ID, caller()); err != nil {
				return err
			}
			if run, err = a.follow(ctx, run.ID); err != nil {
				return err
			}
			return a.printRun(run)
		},
	}
}
