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
		Short: "Open a pull request that takes a merged one back",
		Long: `Revert opens a pull request that takes back what a merged one changed, or finds
the one that is open already. It goes the way of every change, and builds
nothing: the images of before are there. Nothing is taken back before it is
merged.`,
		Example: `  hubship revert 42`,
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, given []string) error {
			number, err := strconv.Atoi(strings.TrimPrefix(given[0], "#"))
			if err != nil || number < 1 {
				return model.Usage(fmt.Errorf("%q is no number of a pull request", given[0]), "write it as 42; `hubship status` says where the pull requests are")
			}
			opened, err := a.server().Revert(cmd.Context(), number, caller())
			if err != nil {
				return err
			}
			if a.term.JSONOutput() {
				return a.term.JSON(opened)
			}
			a.term.Printf("pull request #%d takes #%d back: %s\n", opened.Number, opened.Pull, opened.URL)
			return nil
		},
	}
}
