package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/term"
)

func (a *command) historyCommand() *cobra.Command {
	var f model.RunFilter
	cmd := &cobra.Command{
		Use:   "history [--env ENVIRONMENT] [--hub HUB]",
		Short: "List runs, newest first",
		Example: `  hubship history
  hubship history --env prod --limit 5 -o json`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			runs, err := a.server().Runs(cmd.Context(), f)
			if err != nil {
				return err
			}
			if a.term.JSONOutput() {
				if runs == nil {
					runs = []model.Run{}
				}
				return a.term.JSON(runs)
			}
			rows := [][]string{{"RUN", "WHAT", "ENVIRONMENT", "HUBS", "COMMIT", "STATE", "TOOK", "AGO", "SUBJECT"}}
			now := time.Now()
			for _, r := range runs {
				took := ""
				if !r.Finished.IsZero() && !r.Started.IsZero() {
					took = term.Duration(r.Finished.Sub(r.Started))
				}
				text := r.Subject
				if r.Reason != "" {
					text += " – " + r.Reason
				}
				rows = append(rows, []string{r.ID, string(r.Kind), where(r), hubList(r), short(r.Commit), a.paintState(r.State), took, term.Ago(now, r.Created), text})
			}
			a.term.Table(rows...)
			return nil
		},
	}
	a.envFlag(cmd, &f.Environment, "only this environment")
	a.hubFlag(cmd, &f.Hub, "only this hub")
	cmd.Flags().IntVar(&f.Limit, "limit", 20, "show at most this many")
	cmd.Flags().BoolVar(&f.Active, "active", false, "only runs that are queued or in progress")
	return cmd
}

// where is the environment of a run, or the pull request that it checks.
func where(r model.Run) string {
	if r.Pull != nil {
		return fmt.Sprintf("#%d", r.Pull.Number)
	}
	return r.Environment
}

// hubList names the hubs that a run touched, or was restricted to.
func hubList(r model.Run) string {
	if r.Pull != nil {
		return ""
	}
	if len(r.Hubs) > 0 {
		return strings.Join(r.Hubs, ",")
	}
	var names []string
	for _, rel := range r.Releases {
		names = append(names, rel.Target.Hub)
	}
	if len(names) == 0 {
		return "all"
	}
	return strings.Join(names, ",")
}
