package cli

import (
	"github.com/spf13/cobra"
)

func (a *command) resumeCommand() *cobra.Command {
	var env, hub string
	cmd := &cobra.Command{
		Use:   "resume --env ENVIRONMENT --hub HUB",
		Short: "Clear the halt of a hub",
		Long: `Resume clears the halt that a failed deploy, a failed verification or a
rollback put on a hub. What the branch wants is tried again, and promotion is
no longer held back by the halt; it still needs evidence.`,
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
			a.term.Printf("the halt of hub %s in environment %s is cleared\n", hub, env)
			return nil
		},
	}
	a.envFlag(cmd, &env, "environment of the hub")
	a.hubFlag(cmd, &hub, "hub to clear")
	return cmd
}
