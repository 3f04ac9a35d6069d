package cli

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hubship/hubship/internal/model"
)

func (a *command) logsCommand() *cobra.Command {
	var followIt, all bool
	cmd := &cobra.Command{
		Use:   "logs RUN",
		Short: "Print the log of a run",
		Long: `Logs prints the log of a run on standard output, one line per event; with
-o json as JSON lines. With -f it follows the log until the run has ended, and the
exit code is then the run's.`,
		Example: `  hubship logs 20261123-104501-k3f9
  hubship logs -f $(hubship history --limit 1 -o json | jq -r '.[0].id')`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, given []string) error {
			ctx, id := cmd.Context(), given[0]
			show := func(l model.Line) error { return a.printLogLine(l, all) }
			if !followIt {
				_, err := a.server().Lines(ctx, id, 0, 0, show)
				return err
			}
			run, err := a.server().Follow(ctx, id, show)
			if err != nil {
				return stopped(ctx, id, err)
			}
			return outcome(run)
		},
	}
	cmd.Flags().BoolVarP(&followIt, "follow", "f", false, "follow the log until the run has ended")
	cmd.Flags().BoolVar(&all, "all", true, "also print the output of builds and other details")
	return cmd
}

func (a *command) printLogLine(l model.Line, all bool) error {
	if l.Level == model.LevelDebug && !all {
		return nil
	}
	if a.term.JSONOutput() {
		raw, err := json.Marshal(l)
		if err != nil {
			return fmt.Errorf("print a line as JSON: %w", err)
		}
		a.term.Printf("%s\n", raw)
		return nil
	}
	scope := ""
	if l.Scope != "" {
		scope = l.Scope + ": "
	}
	text := strings.TrimRight(l.Text, "\n")
	switch l.Level {
	case model.LevelError:
		text = a.term.Bad(text)
	case model.LevelWarn:
		text = a.term.Doubt(text)
	case model.LevelDebug:
		text = a.term.Faint(text)
	}
	a.term.Printf("%s %s%s\n", a.term.Faint(l.Time.Local().Format("15:04:05")), scope, text)
	return nil
}
