// Package live answers questions of plans from clusters: who is online, which images
// the nodes have, and whether a cluster would accept what is rendered.
package live

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hubship/hubship/internal/check"
	"github.com/hubship/hubship/internal/cluster"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/plan"
	"github.com/hubship/hubship/internal/release"
)

// serverPods selects the pods of users' servers, as KubeSpawner labels them.
const serverPods = "component=singleuser-server"

// Clusters answers plans, as planner.Live. It is safe for concurrent use.
type Clusters struct {
	Set *cluster.Set
	// Try lets clusters dry-run what would be applied. Otherwise DryRun finds
	// nothing.
	Try bool
}

// Servers counts the pods of users' servers of a release, running or about to:
// that needs no account on the hub.
func (c Clusters) Servers(ctx context.Context, k model.Cluster, t model.Target) (int, error) {
	conn, err := c.Set.Conn(k)
	if err != nil {
		return 0, err
	}
	n, next := 0, ""
	for {
		pods, err := conn.Client.CoreV1().Pods(t.Namespace).List(ctx, metav1.ListOptions{LabelSelector: serverPods, Limit: 500, Continue: next})
		if err != nil {
			return 0, fmt.Errorf("count users' servers of %s: %w", t, err)
		}
		for _, p := range pods.Items {
			if p.Status.Phase == corev1.PodRunning || p.Status.Phase == corev1.PodPending {
				n++
			}
		}
		if next = pods.Continue; next == "" {
			return n, nil
		}
	}
}

// Images returns the references of the images that every node reports to have.
// Nodes that accept no pods do not count.
func (c Clusters) Images(ctx context.Context, k model.Cluster) (map[string]bool, error) {
	conn, err := c.Set.Conn(k)
	if err != nil {
		return nil, err
	}
	nodes, err := conn.Client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list the nodes of cluster %s: %w", k.Name, err)
	}
	counts, taking := map[string]int{}, 0
	for _, n := range nodes.Items {
		if n.Spec.Unschedulable {
			continue
		}
		taking++
		for _, image := range n.Status.Images {
			for _, name := range image.Names {
				counts[name]++
			}
		}
	}
	out := map[string]bool{}
	for name, count := range counts {
		if count == taking {
			out[name] = true
		}
	}
	return out, nil
}

// DryRun lets the cluster dry-run the application of objects to a release's
// namespace. It finds nothing if the cluster cannot be reached.
func (c Clusters) DryRun(ctx context.Context, k model.Cluster, t model.Target, objects []release.Object) []plan.Problem {
	if !c.Try {
		return nil
	}
	conn, err := c.Set.Conn(k)
	if err != nil {
		return nil // that it does not answer is said once
	}
	return check.DryRun(ctx, check.Cluster{Name: k.Name, Dynamic: conn.Dynamic, Mapper: conn.Mapper}, t.Namespace, objects)
}
