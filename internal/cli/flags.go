package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/hubship/hubship/internal/model"
)

// envFlag adds --env, completed with the names that the server knows.
func (a *command) envFlag(cmd *cobra.Command, to *string, usage string) {
	cmd.Flags().StringVar(to, "env", "", usage)
	a.complete(cmd, "env", func(st model.Status) []string {
		var names []string
		for _, e := range st.Environments {
			names = append(names, e.Name)
		}
		return names
	})
}

// hubFlag adds --hub for exactly one hub.
func (a *command) hubFlag(cmd *cobra.Command, to *string, usage string) {
	cmd.Flags().StringVar(to, "hub", "", usage)
	a.complete(cmd, "hub", hubNames)
}

// hubsFlag adds --hub for any number of hubs.
func (a *command) hubsFlag(cmd *cobra.Command, to *[]string) {
	cmd.Flags().StringArrayVar(to, "hub", nil, "only this hub; can be repeated (default: all)")
	a.complete(cmd, "hub", hubNames)
}

func detachFlag(cmd *cobra.Command, to *bool) {
	cmd.Flags().BoolVar(to, "detach", false, "do not follow the run")
}

func hubNames(st model.Status) []string {
	seen := map[string]bool{}
	var names []string
	for _, e := range st.Environments {
		for _, r := range e.Releases {
			if h := r.Observed.Target.Hub; !seen[h] {
				seen[h] = true
				names = append(names, h)
			}
		}
	}
	return names
}

// complete completes a flag from the server's status, if one answers soon.
func (a *command) complete(cmd *cobra.Command, flag string, names func(model.Status) []string) {
	_ = cmd.RegisterFlagCompletionFunc(flag, func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(cmd.Context(), 2*time.Second)
		defer cancel()
		st, err := a.server().Status(ctx)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return names(st), cobra.ShellCompDirectiveNoFileComp
	})
}
