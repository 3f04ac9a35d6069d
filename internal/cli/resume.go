package cli

import (
	"github.com/spf13/cobra"
)

func (a *command) resumeCommand() *cobra.Command {
	var env, hub string
	cmd := &cobra.Command{
		Use:   "resume --env ENVIRONMENT --hub HUB",
		Short: "Clear a hub's halt",
		Long: `Resume clears the halt that a failed deploy, a failed verification or a rollback
put on a hub. hubship then tries again to deploy the branch, and the halt no longer
holds back promotion, which still needs evidence.`,
		Example: `  hubship resume --env staging --hub datahub`,
		Args:    args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := required(cmd, "env", "hub"); err != nil {
				return err
			}
			if err := a.announce(cmd.Context(), "clear the halt in", env, []string{hub}); err != nil {
				return err
			}
			if err := a.server().Resume(cmd.Context(), env, hub, caller()); err != nil {
				return err
			}
			if a.term.JSONOutput() {
				return a.term.JSON(map[string]string{"environment": env, "hub": hub, "halt": "cleared"})
			}
			a.term.Printf("cleared the halt of hub %s in environment %s\n", hub, env)
			return nil
		},
	}
	a.envFlag(cmd, &env, "environment of the hub")
	a.hubFlag(cmd, &hub, "hub whose halt to clear")
	return cmd
}
