package cli

import (
	"github.com/spf13/cobra"

	"github.com/hubship/hubship/internal/config"
)

func (a *command) schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "schema",
		Short:   "Print the JSON Schema of hubship.yaml",
		Example: `  hubship schema > hubship.schema.json`,
		Args:    args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			a.term.Printf("%s\n", config.Schema())
			return nil
		},
	}
}
