package register

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/hubship/hubship/internal/cluster"
	"github.com/hubship/hubship/internal/model"
)

// Clusters are the clusters of an installation, with what its process says of them,
// for the command line. They are files, which the server reads anew each time: no
// server has to run, and none has to be told.
type Clusters struct {
	Register
	// Named returns the names of those that the process names. The error says
	// why they are not known.
	Named func(ctx context.Context) ([]string, error)
	// Reach returns the connections to clusters.
	Reach func(ctx context.Context) *cluster.Set
}

// Use is a cluster that is registered or that the process names.
type Use struct {
	Entry
	Named      bool `json:"named"`      // by the process that holds
	Registered bool `json:"registered"` // with the installation
}

// Uses returns all clusters that the installation knows or the process names. The
// error says why what the process names is not known; the list is then of those
// that the installation knows.
func (c Clusters) Uses(ctx context.Context) ([]Use, error) {
	all, err := c.List()
	if err != nil {
		return nil, err
	}
	named, err := c.Named(ctx)
	out := []Use{}
	for _, e := range all {
		out = append(out, Use{Entry: e, Registered: true, Named: slices.Contains(named, e.Name)})
	}
	for _, name := range named {
		if !slices.ContainsFunc(all, func(e Entry) bool { return e.Name == name }) {
			out = append(out, Use{Entry: Entry{Name: name}, Named: true})
		}
	}
	return out, err
}

// Remove forgets a cluster, unless the process names it; force forgets it all the
// same.
func (c Clusters) Remove(ctx context.Context, name string, force bool) error {
	if _, err := c.Cluster(ctx, name); errors.Is(err, model.ErrUnknownCluster) {
		return model.Usage(fmt.Errorf("cluster %q does not exist", name), "`hubship cluster list` lists all clusters")
	}
	named, err := c.Named(ctx)
	switch {
	case force:
	case err != nil:
		return model.RefusedBy(fmt.Errorf("could not find out whether the process names cluster %s: %w", name, err), "--force removes it anyway")
	case slices.Contains(named, name):
		return model.RefusedBy(fmt.Errorf("the process names cluster %s: without it, releases there can no longer be deployed, verified or watched", name),
			"remove it from the process first; --force removes it anyway")
	}
	return c.Register.Remove(ctx, name)
}

// Check says what hubship may do on a cluster. The error says why it cannot be
// asked.
func (c Clusters) Check(ctx context.Context, name string) (cluster.Access, error) {
	k, err := c.Cluster(ctx, name)
	if errors.Is(err, model.ErrUnknownCluster) {
		return cluster.Access{}, model.Usage(fmt.Errorf("cluster %q does not exist", name),
			fmt.Sprintf("`hubship cluster add %s --kubeconfig FILE --context CONTEXT` registers it", name))
	}
	if err != nil {
		return cluster.Access{}, err
	}
	conn, err := c.Reach(ctx).Conn(k)
	if err != nil {
		return cluster.Access{}, err
	}
	return conn.Access(ctx)
}
