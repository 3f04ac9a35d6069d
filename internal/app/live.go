package app

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hubship/hubship/internal/check"
	"github.com/hubship/hubship/internal/cluster"
	"github.com/hubship/hubship/internal/install"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/plan"
	"github.com/hubship/hubship/internal/release"
)

// serverPods selects the pods of users' servers, as KubeSpawner labels them.
const serverPods = "component=singleuser-server"

// live answers plans from clusters.
type live struct {
	clusters *cluster.Set
	try      bool // have them go through what would be applied
}

// Servers implements planner.Live: it counts the pods of users' servers, which
// needs no account on the hub.
func (l live) Servers(ctx context.Context, c model.Cluster, t model.Target) (int, error) {
	conn, err := l.clusters.Conn(c)
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

// Images implements planner.Live, from what the nodes report. Nodes that take
// no pods do not count.
func (l live) Images(ctx context.Context, c model.Cluster) (map[string]bool, error) {
	conn, err := l.clusters.Conn(c)
	if err != nil {
		return nil, err
	}
	nodes, err := conn.Client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list the nodes of cluster %s: %w", c.Name, err)
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

// DryRun implements planner.Live.
func (l live) DryRun(ctx context.Context, c model.Cluster, t model.Target, objects []release.Object) []plan.Problem {
	if !l.try {
		return nil
	}
	conn, err := l.clusters.Conn(c)
	if err != nil {
		return nil // that it does not answer is said once
	}
	return check.DryRun(ctx, check.Cluster{Name: c.Name, Dynamic: conn.Dynamic, Mapper: conn.Mapper}, t.Namespace, objects)
}

// newLive connects to the clusters that a repository names. The embedded one is
// that of the installation in the data directory, if there is one.
func newLive(ctx context.Context, data string) live {
	o := cluster.Options{UserAgent: "hubship"}
	if settings, err := install.Load(data); err == nil {
		if b, err := locate(ctx, settings); err == nil {
			o.Embedded = cluster.Embedded{Kubeconfig: b.kubeconfig, Context: b.context}
			o.Direct = settings.Node != nil
		}
	}
	return live{clusters: cluster.New(o), try: true}
}
