package app

import (
	"context"

	"github.com/hubship/hubship/internal/cluster"
	"github.com/hubship/hubship/internal/cluster/register"
	"github.com/hubship/hubship/internal/git"
	"github.com/hubship/hubship/internal/install"
)

// RegisterLocal registers the cluster that `hubship up` starts, or was given,
// under the name local.
func RegisterLocal(data string, s install.Settings, allowExec bool) error {
	r := register.At(install.At(data).Clusters)
	if s.Cluster == nil {
		return r.AddEmbedded(register.Local)
	}
	_, err := r.Add(register.New{Name: register.Local, Kubeconfig: s.Cluster.Kubeconfig, Context: s.Cluster.Context, Exec: allowExec, Again: true})
	return err
}

// ClustersOf returns the clusters of the installation in a data directory.
func ClustersOf(data string) register.Clusters {
	return register.Clusters{
		Register: register.At(install.At(data).Clusters),
		Named:    func(ctx context.Context) ([]string, error) { return namedClusters(ctx, data) },
		Reach:    func(ctx context.Context) *cluster.Set { return reach(ctx, data) },
	}
}

// namedClusters are the clusters that the process of an installation names.
func namedClusters(ctx context.Context, data string) ([]string, error) {
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

// reach connects to clusters for a person at the command line. The embedded one is
// that of the installation in the data directory, if there is one.
func reach(ctx context.Context, data string) *cluster.Set {
	o := cluster.Options{UserAgent: "hubship"}
	if settings, err := install.Load(data); err == nil {
		if b, err := locate(ctx, settings); err == nil {
			o.Embedded = cluster.Embedded{Kubeconfig: b.kubeconfig, Context: b.context}
			o.Direct = settings.Node != nil
		}
	}
	return cluster.New(o)
}
