package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hubship/hubship/internal/app"
	"github.com/hubship/hubship/internal/cluster"
	"github.com/hubship/hubship/internal/cluster/register"
	"github.com/hubship/hubship/internal/install"
	"github.com/hubship/hubship/internal/model"
)

func (a *command) clusterCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cluster",
		Short: "Manage the Kubernetes clusters that the installation may deploy to",
		Long: `Cluster manages the installation's clusters. A deployment repository only names
clusters; this is the only place that knows how to reach them. Changes take effect
at once, whether the server is running or not.

The embedded node, or the cluster given to ` + "`hubship up --kubeconfig`" + `, is called
local.`,
		Example: `  hubship cluster add campus --kubeconfig /root/campus.yaml --context campus-2026
  hubship cluster check campus
  hubship cluster list`,
		Args: subcommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.clusterAddCommand(), a.clusterListCommand(), a.clusterCheckCommand(), a.clusterRemoveCommand())
	return cmd
}

func (a *command) clusterAddCommand() *cobra.Command {
	var q register.New
	cmd := &cobra.Command{
		Use:   "add NAME --kubeconfig FILE --context CONTEXT",
		Short: "Register a cluster under the name that the repository uses",
		Long: `Add copies one context of a kubeconfig, with the certificates and tokens that it
needs, to the data directory, where only hubship reads it: later changes to the
kubeconfig have no effect. The current context is never used.

A kubeconfig that runs a program to get credentials is refused, unless
--allow-exec says that the program may run with hubship's permissions.`,
		Example: `  hubship cluster add campus --kubeconfig /root/campus.yaml --context campus-2026
  hubship cluster add fall-2026 --kubeconfig gke.yaml --context gke_p_z_fall-2026 --replace`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, given []string) error {
			if err := required(cmd, "kubeconfig", "context"); err != nil {
				return err
			}
			q.Name = given[0]
			file, err := filepath.Abs(q.Kubeconfig)
			if err != nil {
				return model.Usage(fmt.Errorf("--kubeconfig %q: %w", q.Kubeconfig, err), "name a file")
			}
			q.Kubeconfig = file
			if _, err := install.Load(a.data); err != nil {
				return err
			}
			added, err := app.ClustersOf(a.data).Add(q)
			if err != nil {
				return err
			}
			if a.term.JSONOutput() {
				return a.term.JSON(added)
			}
			a.term.Printf("registered cluster %s at %s; `hubship cluster check %s` says what hubship may do there\n", a.term.Bold(added.Name), added.Server, added.Name)
			return nil
		},
	}
	cmd.Flags().StringVar(&q.Kubeconfig, "kubeconfig", "", "kubeconfig to copy from")
	cmd.Flags().StringVar(&q.Context, "context", "", "context in that kubeconfig")
	cmd.Flags().BoolVar(&q.Exec, "allow-exec", false, "let the kubeconfig run a program to get credentials, with hubship's permissions")
	cmd.Flags().BoolVar(&q.Again, "replace", false, "replace a cluster that is already registered")
	_ = cmd.MarkFlagFilename("kubeconfig")
	return cmd
}

func (a *command) clusterListCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List registered clusters, and clusters that the process names",
		Example: `  hubship cluster list
  hubship cluster list -o json`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := app.ClustersOf(a.data).Uses(cmd.Context())
			if all == nil && err != nil {
				return err
			}
			if err != nil {
				a.term.Note("cannot tell which clusters the process names: %v", err)
			}
			if a.term.JSONOutput() {
				return a.term.JSON(all)
			}
			rows := [][]string{{"NAME", "SERVER", "CREDENTIALS", "IN PROCESS"}}
			for _, c := range all {
				rows = append(rows, a.clusterRow(c))
			}
			a.term.Table(rows...)
			return nil
		},
	}
}

func (a *command) clusterRow(c register.Use) []string {
	where, credentials, named := c.Server, "in the data directory", "yes"
	switch {
	case !c.Registered:
		where, credentials = a.term.Doubt("not registered"), ""
	case c.Embedded:
		where, credentials = "embedded node", "the node's"
	case c.Exec:
		credentials = "from a program"
	}
	if c.Trouble != "" {
		where = a.term.Doubt(c.Trouble)
	}
	if !c.Named {
		named = a.term.Faint("no")
	}
	return []string{c.Name, where, credentials, named}
}

// checked is what a check found of one cluster.
type checked struct {
	Name string `json:"name"`
	cluster.Access
	Error string `json:"error,omitempty"` // why it could not be asked
}

// checkPatience bounds the check of one cluster.
const checkPatience = 30 * time.Second

func (a *command) clusterCheckCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check [NAME...]",
		Short: "Check whether clusters answer and what hubship may do there",
		Long: `Check connects to clusters as hubship does, asks each what hubship may do there,
and lists missing permissions. Without a name it checks all registered clusters.

Exit code: 1 if a cluster does not answer or a permission is missing.`,
		Example: `  hubship cluster check
  hubship cluster check campus -o json`,
		RunE: func(cmd *cobra.Command, names []string) error {
			clusters := app.ClustersOf(a.data)
			if len(names) == 0 {
				all, err := clusters.List()
				if err != nil {
					return err
				}
				for _, e := range all {
					names = append(names, e.Name)
				}
			}
			var found []checked
			bad := 0
			for _, name := range names {
				ctx, cancel := context.WithTimeout(cmd.Context(), checkPatience)
				access, err := clusters.Check(ctx, name)
				cancel()
				one := checked{Name: name, Access: access}
				if err != nil {
					one.Error = err.Error()
					if hint := model.HintOf(err); hint != "" {
						one.Error += " (" + hint + ")"
					}
				}
				if err != nil || len(access.Missing) > 0 {
					bad++
				}
				found = append(found, one)
			}
			if a.term.JSONOutput() {
				if err := a.term.JSON(slices.Concat([]checked{}, found)); err != nil {
					return err
				}
			} else {
				a.printChecked(found)
			}
			if bad > 0 {
				return model.WithHint(errors.New("not all clusters can be used"), "fix what is listed above; give hubship's account the missing permissions")
			}
			return nil
		},
	}
	cmd.ValidArgsFunction = a.completeClusters
	return cmd
}

func (a *command) printChecked(found []checked) {
	for _, c := range found {
		switch {
		case c.Error != "":
			a.term.Printf("%s: %s\n", a.term.Bold(c.Name), a.term.Doubt(c.Error))
		case len(c.Missing) > 0:
			a.term.Printf("%s: Kubernetes %s; hubship may not:\n  %s\n", a.term.Bold(c.Name), c.Version, strings.Join(c.Missing, "\n  "))
		default:
			a.term.Printf("%s: %s\n", a.term.Bold(c.Name), a.term.Good("Kubernetes "+c.Version+"; hubship has all the permissions it needs"))
		}
	}
}

func (a *command) clusterRemoveCommand() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "remove NAME",
		Short: "Forget a cluster and its credentials",
		Long: `Remove makes hubship forget a cluster and its credentials. Nothing on the cluster
changes. It is refused while the process names the cluster.`,
		Example: `  hubship cluster remove campus`,
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, given []string) error {
			if err := app.ClustersOf(a.data).Remove(cmd.Context(), given[0], force); err != nil {
				return err
			}
			if a.term.JSONOutput() {
				return a.term.JSON(map[string]string{"removed": given[0]})
			}
			a.term.Printf("removed cluster %s\n", a.term.Bold(given[0]))
			return nil
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "remove it even if the process names it")
	cmd.ValidArgsFunction = a.completeClusters
	return cmd
}

// completeClusters completes the names of registered clusters.
func (a *command) completeClusters(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	all, err := app.ClustersOf(a.data).List()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var names []string
	for _, e := range all {
		names = append(names, e.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
