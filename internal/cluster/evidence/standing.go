package evidence

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/retry"

	"github.com/hubship/hubship/internal/attest"
	"github.com/hubship/hubship/internal/cluster"
	"github.com/hubship/hubship/internal/model"
)

// Halt stores a halt; one that is there already is replaced. Earlier evidence
// of the inputs that failed does not count any more, also when the halt is
// over.
func (l *Store) Halt(ctx context.Context, c model.Cluster, t model.Target, h model.Halt) error {
	if h.Hub != t.Hub || h.Environment != t.Environment {
		return fmt.Errorf("halt %s: the halt is about %s@%s", t.Key(), h.Hub, h.Environment)
	}
	if _, err := l.change(ctx, c, t, func(s attest.Standing) attest.Standing { return s.Halted(h) }); err != nil {
		return fmt.Errorf("halt %s: %w", t.Key(), err)
	}
	return nil
}

// Halted returns the release's halt. It stands if the cluster or hubship's
// database says so.
func (l *Store) Halted(ctx context.Context, c model.Cluster, t model.Target) (model.Halt, bool, error) {
	v, err := l.look(ctx, c, t)
	if err != nil || v.standing.Halt == nil {
		return model.Halt{}, false, err
	}
	return *v.standing.Halt, true, nil
}

// Clear ends the release's halt, in the cluster and in the database; none
// there is fine.
func (l *Store) Clear(ctx context.Context, c model.Cluster, t model.Target) error {
	v, err := l.look(ctx, c, t)
	if err != nil {
		return err
	}
	if v.standing.Halt == nil {
		return nil
	}
	if _, err := l.change(ctx, c, t, attest.Standing.Cleared); err != nil {
		return fmt.Errorf("clear the halt of %s: %w", t.Key(), err)
	}
	return nil
}

// contention is how long writers of one standing make room for each other.
// Every conflict means that another one got through, so the steps are as many
// writers as may meet.
var contention = wait.Backoff{Steps: 15, Duration: 10 * time.Millisecond, Factor: 1.5, Jitter: 0.5, Cap: time.Second}

// errStale says that another writer was faster.
var errStale = errors.New("another hubship has changed the standing of the release")

func retriable(err error) bool {
	return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || errors.Is(err, errStale)
}

// change makes a release's next standing of its present one and stores it in
// both places. The view that it returns has the new standing. Stopped between
// the two places, the stricter one holds (attest.Merge), and changing again
// brings both into line.
func (l *Store) change(ctx context.Context, c model.Cluster, t model.Target, next func(attest.Standing) attest.Standing) (*view, error) {
	key := c.Name + "\x00" + releaseKey(t)
	l.changing.LockKey(key)
	defer func() { _ = l.changing.UnlockKey(key) }()
	var v *view
	err := retry.OnError(contention, retriable, func() (err error) {
		if v, err = l.look(ctx, c, t); err != nil {
			return err
		}
		v.standing = next(v.standing)
		envelope, err := v.standing.Seal(l.keys)
		if err != nil {
			return err
		}
		if err := v.conn.EnsureOwnNamespace(ctx); err != nil {
			return err
		}
		kept, err := l.memory.SetStanding(ctx, l.memoryKey(v), v.standing.Generation, envelope)
		if err != nil {
			return err
		}
		if !kept {
			return errStale
		}
		return v.put(ctx, envelope)
	})
	if err != nil {
		return nil, fmt.Errorf("cluster %s: %w", c.Name, err)
	}
	return v, nil
}

// put stores the standing in the cluster.
func (v *view) put(ctx context.Context, envelope []byte) error {
	maps := v.conn.Client.CoreV1().ConfigMaps(cluster.OwnNamespace)
	cm := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: nameOf(kindStanding, v.target), Namespace: cluster.OwnNamespace, Labels: recordLabels(kindStanding, v.target)},
		Data:       map[string]string{payload: string(envelope)},
	}
	options := metav1.CreateOptions{FieldManager: cluster.ManagedBy}
	if v.found == nil {
		_, err := maps.Create(ctx, cm, options)
		return err
	}
	// An update carries the resourceVersion that was read: what somebody else
	// writes meanwhile is not overwritten unseen.
	cm.ResourceVersion = v.found.ResourceVersion
	_, err := maps.Update(ctx, cm, metav1.UpdateOptions{FieldManager: cluster.ManagedBy})
	switch {
	case apierrors.IsNotFound(err):
		cm.ResourceVersion = ""
		_, err = maps.Create(ctx, cm, options)
	case apierrors.IsInvalid(err): // somebody made it immutable
		if err = maps.Delete(ctx, cm.Name, metav1.DeleteOptions{}); err == nil {
			cm.ResourceVersion = ""
			_, err = maps.Create(ctx, cm, options)
		}
	}
	return err
}
