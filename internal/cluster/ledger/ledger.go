// Package ledger keeps evidence, halts and the lock of each release in the
// release's own cluster and namespace, beside Helm's records, so that losing
// hubship's database loses no safety.
package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/hubship/hubship/internal/cluster"
	"github.com/hubship/hubship/internal/model"
)

// Values of the label hubship.io/kind.
const (
	kindEvidence = "evidence"
	kindHalt     = "halt"
)

// payload is the key of a ConfigMap's data that holds the record.
const payload = "record.json"

// keep is how many pieces of evidence of a release are kept.
const keep = 20

// Timing of the lock. A holder that has not renewed for Duration has lost it.
type Timing struct {
	Duration time.Duration // 0 means 15 s
	Renew    time.Duration // 0 means 5 s
	Retry    time.Duration // between attempts to take or renew; 0 means 1 s
}

func (t Timing) withDefaults() Timing {
	if t.Duration == 0 {
		t.Duration = 15 * time.Second
	}
	if t.Renew == 0 {
		t.Renew = 5 * time.Second
	}
	if t.Retry == 0 {
		t.Retry = time.Second
	}
	return t
}

// Ledger implements the workflows' ledger on ConfigMaps and Leases. It is safe
// for concurrent use.
type Ledger struct {
	clusters *cluster.Set
	timing   Timing

	mu   sync.Mutex
	held map[string]chan struct{} // locks of this process; a token is in the channel while one is free
}

// New returns a ledger over the clusters.
func New(clusters *cluster.Set, timing Timing) *Ledger {
	return &Ledger{clusters: clusters, timing: timing.withDefaults(), held: map[string]chan struct{}{}}
}

// recordLabels finds what belongs to a release. A release's name is unique
// within its namespace.
func recordLabels(kind string, t model.Target) map[string]string {
	return map[string]string{
		cluster.LabelManagedBy:   cluster.ManagedBy,
		cluster.LabelKind:        kind,
		cluster.LabelHub:         t.Hub,
		cluster.LabelEnvironment: t.Environment,
		cluster.LabelRelease:     t.Release,
	}
}

func selector(kind string, t model.Target) string {
	return labels.Set{
		cluster.LabelManagedBy: cluster.ManagedBy,
		cluster.LabelKind:      kind,
		cluster.LabelRelease:   t.Release,
	}.String()
}

// decode reads a record strictly enough that a damaged one never passes for a
// good one: it must parse, and be about this hub and environment.
func decode[T any](c model.Cluster, cm *corev1.ConfigMap, into *T, belongs func(*T) bool) error {
	fail := func(why string) error {
		return model.WithHint(
			fmt.Errorf("cluster %s: record ConfigMap %s/%s is damaged: %s", c.Name, cm.Namespace, cm.Name, why),
			fmt.Sprintf("look at it; when nothing can be made of it, remove it with `kubectl delete configmap -n %s %s` and deploy again", cm.Namespace, cm.Name))
	}
	data, ok := cm.Data[payload]
	if !ok {
		return fail("it has no " + payload)
	}
	if err := json.Unmarshal([]byte(data), into); err != nil {
		return fail(err.Error())
	}
	if !belongs(into) {
		return fail("it is about another hub or environment than its labels say")
	}
	return nil
}

func (l *Ledger) conn(c model.Cluster, t model.Target) (*cluster.Conn, error) {
	conn, err := l.clusters.Conn(c)
	if err != nil {
		return nil, fmt.Errorf("ledger of %s: %w", t.Key(), err)
	}
	return conn, nil
}

func (l *Ledger) list(ctx context.Context, conn *cluster.Conn, kind string, t model.Target) ([]corev1.ConfigMap, error) {
	list, err := conn.Client.CoreV1().ConfigMaps(t.Namespace).List(ctx, metav1.ListOptions{LabelSelector: selector(kind, t)})
	if err != nil {
		return nil, fmt.Errorf("cluster %s: list %s of %s: %w", conn.Name, kind, t.Key(), err)
	}
	return list.Items, nil
}
