package cli

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hubship/hubship/internal/model"
)

func (a *command) revertCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "revert NUMBER",
		Short: "Open a pull request that reverts a merged one",
		Long: `Revert opens a pull request that reverts a merged one, or finds the one that is
already open. It is checked and reviewed like any other change, and builds
nothing, because the previous images still exist. Nothing is reverted until it is
merged.`,
		Example: `  hubship revert 42`,
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, given []string) error {
			number, err := strconv.Atoi(strings.TrimPrefix(given[0], "#"))
			if err != nil || number < 1 {
				return model.Usage(fmt.Errorf("%q is not the number of a pull request", given[0]), "write it as 42; `hubship status` says where the pull requests are")
			}
			opened, err := a.server().Revert(cmd.Context(), number, caller())
			if err != nil {
				return err
			}
			if a.term.JSONOutput() {
				return a.term.JSON(opened)
			}
			a.term.Printf("pull request #%d reverts #%d: %s\n", opened.Number, opened.Pull, opened.URL)
			return nil
		},
	}
}
