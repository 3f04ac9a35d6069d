package cli

import (
	"github.com/spf13/cobra"

	"github.com/hubship/hubship/internal/model"
)

func (a *command) deployCommand() *cobra.Command {
	var req model.RunRequest
	var detach bool
	cmd := &cobra.Command{
		Use:   "deploy --env ENVIRONMENT [--hub HUB]... [REV]",
		Short: "Deploy a commit to an environment",
		Long: `Deploy brings the hubs of an environment to a commit: the head of the
environment's branch, unless REV names another. It builds images whose inputs are
new, upgrades releases whose inputs changed, and then verifies each.

It reads the forge first. If the forge does not answer within 10 seconds, it deploys
from hubship's copy of the repository, and the run's cause says so.

It passes the same gates as a merge. --force allows an older commit, a halted hub,
or inputs that failed before; it never replaces missing evidence.`,
		Example: `  hubship deploy --env staging
  hubship deploy --env prod --hub datahub
  hubship deploy --env staging --force 4f2c1aa`,
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, given []string) error {
			if err := required(cmd, "env"); err != nil {
				return err
			}
			req.Kind, req.Cause = model.Deploy, "hubship deploy"
			if len(given) == 1 {
				req.Rev = given[0]
			}
			if err := a.announce(cmd.Context(), "deploy to", req.Environment, req.Hubs); err != nil {
				return err
			}
			return a.start(cmd.Context(), req, detach)
		},
	}
	a.envFlag(cmd, &req.Environment, "environment to deploy to")
	a.hubsFlag(cmd, &req.Hubs)
	cmd.Flags().BoolVar(&req.Force, "force", false, "allow an older commit, a halted hub, or inputs that failed before")
	detachFlag(cmd, &detach)
	return cmd
}
