package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/retry"

	"github.com/hubship/hubship/internal/cluster"
	"github.com/hubship/hubship/internal/model"
)

func haltName(t model.Target) string { return "hubship-halt-" + t.Release }

// Halt stores a halt; one that is there already is replaced.
func (l *Ledger) Halt(ctx context.Context, c model.Cluster, t model.Target, h model.Halt) error {
	if h.Hub != t.Hub || h.Environment != t.Environment {
		return fmt.Errorf("halt %s: the halt is about %s@%s", t.Key(), h.Hub, h.Environment)
	}
	conn, err := l.conn(c, t)
	if err != nil {
		return err
	}
	data, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("halt %s: %w", t.Key(), err)
	}
	if err := conn.EnsureNamespace(ctx, t); err != nil {
		return fmt.Errorf("halt %s: %w", t.Key(), err)
	}
	maps := conn.Client.CoreV1().ConfigMaps(t.Namespace)
	// An update carries the resourceVersion that was read: a halt that
	// somebody else writes meanwhile is not overwritten unseen.
	err = retry.OnError(contention, retriable, func() error {
		old, err := maps.Get(ctx, haltName(t), metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			_, err = maps.Create(ctx, &corev1.ConfigMap{
				ObjectMeta: metav1.ObjectMeta{Name: haltName(t), Namespace: t.Namespace, Labels: recordLabels(kindHalt, t)},
				Data:       map[string]string{payload: string(data)},
			}, metav1.CreateOptions{FieldManager: cluster.ManagedBy})
			return err
		}
		if err != nil {
			return err
		}
		old.Labels = recordLabels(kindHalt, t)
		old.Data = map[string]string{payload: string(data)}
		_, err = maps.Update(ctx, old, metav1.UpdateOptions{FieldManager: cluster.ManagedBy})
		return err
	})
	if err != nil {
		return fmt.Errorf("cluster %s: halt %s: %w", c.Name, t.Key(), err)
	}
	return nil
}

// contention is how long writers of one record make room for each other. Every
// conflict means that another one got through, so the steps are as many
// writers as may meet.
var contention = wait.Backoff{Steps: 15, Duration: 10 * time.Millisecond, Factor: 1.5, Jitter: 0.5, Cap: time.Second}

func retriable(err error) bool { return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) }

// Halted returns the release's halt. A damaged record is an error, so that
// whoever asks fails closed.
func (l *Ledger) Halted(ctx context.Context, c model.Cluster, t model.Target) (model.Halt, bool, error) {
	conn, err := l.conn(c, t)
	if err != nil {
		return model.Halt{}, false, err
	}
	cm, err := conn.Client.CoreV1().ConfigMaps(t.Namespace).Get(ctx, haltName(t), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return model.Halt{}, false, nil
	}
	if err != nil {
		return model.Halt{}, false, fmt.Errorf("cluster %s: read halt of %s: %w", c.Name, t.Key(), err)
	}
	var h model.Halt
	if err := decode(c, cm, &h, func(h *model.Halt) bool { return h.Hub == t.Hub && h.Environment == t.Environment }); err != nil {
		return model.Halt{}, false, err
	}
	return h, true, nil
}

// Clear removes the release's halt; none there is fine.
func (l *Ledger) Clear(ctx context.Context, c model.Cluster, t model.Target) error {
	conn, err := l.conn(c, t)
	if err != nil {
		return err
	}
	err = conn.Client.CoreV1().ConfigMaps(t.Namespace).Delete(ctx, haltName(t), metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("cluster %s: clear halt of %s: %w", c.Name, t.Key(), err)
	}
	return nil
}
