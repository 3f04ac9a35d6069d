package cli

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/hubship/hubship/internal/install"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/node"
)

func (a *command) kubeconfigCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "kubeconfig",
		Short: "Print a kubeconfig for kubectl",
		Long: `Kubeconfig prints the kubeconfig of the installation's cluster on standard
output. It contains administrator credentials: keep it to yourself. Standard error
names the context to use; hubship itself never uses the current context.`,
		Example: `  hubship kubeconfig > ~/.kube/hubship && KUBECONFIG=~/.kube/hubship kubectl get pods -A`,
		Args:    args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := install.Load(a.data)
			if err != nil {
				return err
			}
			file, context := "", ""
			if s.Cluster != nil {
				file, context = s.Cluster.Kubeconfig, s.Cluster.Context
			} else {
				st, err := node.NewClient(s.NodeSocket()).Status(cmd.Context())
				if err != nil {
					return model.WithHint(err, "bring it up with `hubship up`")
				}
				file, context = st.Kubeconfig, st.Context
			}
			raw, err := os.ReadFile(file)
			if err != nil {
				return fmt.Errorf("read the kubeconfig: %w", err)
			}
			a.term.Note("context: %s", context)
			a.term.Reveal("%s", raw)
			return nil
		},
	}
}
