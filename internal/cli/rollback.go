package cli

import (
	"github.com/spf13/cobra"

	"github.com/hubship/hubship/internal/model"
)

func (a *command) rollbackCommand() *cobra.Command {
	var req model.RunRequest
	var hub string
	var detach bool
	cmd := &cobra.Command{
		Use:   "rollback --env ENVIRONMENT --hub HUB [--revision N]",
		Short: "Roll a hub back to an earlier revision",
		Long: `Rollback rolls one hub back to an earlier revision of its Helm release. The hub is
then halted until a newer change passes or ` + "`hubship resume`" + ` clears the halt. Unless
--revision names one, rollback chooses the newest good revision whose contents
differ from what is running now and that was not itself rolled back.`,
		Example: `  hubship rollback --env prod --hub datahub
  hubship rollback --env staging --hub datahub --revision 4`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := required(cmd, "env", "hub"); err != nil {
				return err
			}
			req.Kind, req.Hubs, req.Cause = model.Rollback, []string{hub}, "hubship rollback"
			if err := a.announce(cmd.Context(), "roll back in", req.Environment, req.Hubs); err != nil {
				return err
			}
			return a.start(cmd.Context(), req, detach)
		},
	}
	a.envFlag(cmd, &req.Environment, "environment of the hub")
	a.hubFlag(cmd, &hub, "hub to roll back")
	cmd.Flags().IntVar(&req.Revision, "revision", 0, "Helm revision (default: the newest good one with different contents that was not rolled back)")
	detachFlag(cmd, &detach)
	return cmd
}
