package app

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/hubship/hubship/internal/cluster"
	"github.com/hubship/hubship/internal/cluster/register"
	"github.com/hubship/hubship/internal/git"
	"github.com/hubship/hubship/internal/install"
	"github.com/hubship/hubship/internal/model"
)

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

// Clusters are the clusters of an installation, for the command line. They are
// files in its data directory, which the server reads anew each time: no server
// has to run, and none has to be told.
type Clusters struct {
	data string
	register.Register
}

// ClustersOf returns those of the installation in a data directory.
func ClustersOf(data string) Clusters {
	return Clusters{data: data, Register: register.At(install.At(data).Clusters)}
}

// Add registers a cluster.
func (c Clusters) Add(q register.New) (register.Entry, error) {
	if _, err := install.Load(c.data); err != nil {
		return register.Entry{}, err
	}
	return c.Register.Add(q)
}

// ClusterUse is a cluster, and whether the process names it.
type ClusterUse struct {
	register.Entry
	Named      bool `json:"named"`      // the process names it
	Registered bool `json:"registered"` // the installation knows it
}

// Uses lists the clusters that the installation knows or the process names. The
// error says why what the process names is not known; the list is then of those
// that the installation knows.
func (c Clusters) Uses(ctx context.Context) ([]ClusterUse, error) {
	all, err := c.List()
	if err != nil {
		return nil, err
	}
	named, err := clusterNames(ctx, c.data)
	out := []ClusterUse{}
	for _, e := range all {
		out = append(out, ClusterUse{Entry: e, Registered: true, Named: slices.Contains(named, e.Name)})
	}
	for _, name := range named {
		if !slices.ContainsFunc(all, func(e register.Entry) bool { return e.Name == name }) {
			out = append(out, ClusterUse{Entry: register.Entry{Name: name}, Named: true})
		}
	}
	return out, err
}

// Remove forgets a cluster, unless the process names it.
func (c Clusters) Remove(ctx context.Context, name string, force bool) error {
	if _, err := c.Cluster(ctx, name); errors.Is(err, model.ErrUnknownCluster) {
		return model.Usage(fmt.Errorf("there is no cluster %q", name), "`hubship cluster list` shows what there is")
	}
	named, err := clusterNames(ctx, c.data)
	switch {
	case force:
	case err != nil:
		return model.RefusedBy(fmt.Errorf("whether the process names cluster %s is not known: %w", name, err), "--force removes it all the same")
	case slices.Contains(named, name):
		return model.RefusedBy(fmt.Errorf("the process names cluster %s: its releases could not be deployed, verified or watched any more", name),
			"take it out of the process first; --force removes it all the same")
	}
	return c.Register.Remove(ctx, name)
}

// Check says what hubship may do on a cluster. The error says why it cannot be
// asked.
func (c Clusters) Check(ctx context.Context, name string) (cluster.Access, error) {
	k, err := c.Cluster(ctx, name)
	if errors.Is(err, model.ErrUnknownCluster) {
		return cluster.Access{}, model.Usage(fmt.Errorf("there is no cluster %q", name),
			fmt.Sprintf("`hubship cluster add %s --kubeconfig FILE --context CONTEXT` registers it", name))
	}
	if err != nil {
		return cluster.Access{}, err
	}
	conn, err := reach(ctx, c.data).Conn(k)
	if err != nil {
		return cluster.Access{}, err
	}
	return conn.Access(ctx)
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
