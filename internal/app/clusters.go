package app

import (
	"context"

	owner "github.com/hubship/hubship/internal/process"

	"github.com/hubship/hubship/internal/cluster/register"
	"github.com/hubship/hubship/internal/git"
	"github.com/hubship/hubship/internal/install"
)

// processOf is the owner of an installation's process.
func processOf(g *git.Repo, s install.Settings) *owner.Owner { return owner.New(g, s.ProcessBranch) }

// RegisterLocal registers the cluster that `hubship up` brings along, or was
// given, under the name local.
func RegisterLocal(data string, s install.Settings, allowExec bool) error {
	r := register.At(install.At(data).Clusters)
	if s.Cluster == nil {
		return r.AddEmbedded(register.Local)
	}
	_, err := r.Add(register.New{Name: register.Local, Kubeconfig: s.Cluster.Kubeconfig, Context: s.Cluster.Context, Exec: allowExec, Again: true})
	return err
}

// clusterNames are the clusters that the process of an installation names.
func clusterNames(ctx context.Context, data string) ([]string, error) {
	s, err := install.Load(data)
	if err != nil {
		return nil, err
	}
	g, err := git.Open(install.At(data).Repository)
	if err != nil {
		return nil, err
	}
	defer func() { _ = g.Close() }() // it was read only
	now, err := processOf(g, s).Now(ctx)
	return now.Clusters, err
}
