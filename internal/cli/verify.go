package cli

import (
	"github.com/spf13/cobra"

	"github.com/hubship/hubship/internal/model"
)

func (a *command) verifyCommand() *cobra.Command {
	var req model.RunRequest
	var detach bool
	cmd := &cobra.Command{
		Use:   "verify --env ENVIRONMENT [--hub HUB]...",
		Short: "Test an environment the way a user would",
		Long: `Verify logs in to each hub of an environment as hubship's own user, starts a
server and a kernel, imports packages and cleans up. It changes no release and
produces no evidence: only a deploy, which applies what it tests, does.`,
		Example: `  hubship verify --env staging
  hubship verify --env prod --hub datahub --package numpy`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := required(cmd, "env"); err != nil {
				return err
			}
			req.Kind, req.Cause = model.Verify, "hubship verify"
			if err := a.announce(cmd.Context(), "verify", req.Environment, req.Hubs); err != nil {
				return err
			}
			return a.start(cmd.Context(), req, detach)
		},
	}
	a.envFlag(cmd, &req.Environment, "environment to verify")
	a.hubsFlag(cmd, &req.Hubs)
	cmd.Flags().StringArrayVar(&req.Packages, "package", nil, "import this package instead of the repository's; can be repeated")
	detachFlag(cmd, &detach)
	return cmd
}
