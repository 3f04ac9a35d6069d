package evidence

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"

	"github.com/hubship/hubship/internal/cluster"
	"github.com/hubship/hubship/internal/model"
)

// ErrLockLost is the cause of a locked context that ended because the Lease
// could not be renewed or somebody else took it.
var ErrLockLost = errors.New("the release's lock was lost")

// lease is one release's Lease as one holder sees it. It is not client-go's
// leaderelection: an elector writes to its own log why it cannot lead, and goes
// on, so that a cluster that does not answer could not be told from a release
// that another run holds.
type lease struct {
	client coordinationclient.LeaseInterface
	target model.Target
	holder string
	timing Timing
}

// Lock takes the release's Lease and renews it until unlock. The same holder
// takes it at once, so that a run that was resumed after a crash goes on;
// another waits until it is released or has not been renewed for its duration.
// Within this process a second Lock of the release waits for the first unlock,
// whoever holds it.
func (l *Store) Lock(ctx context.Context, c model.Cluster, t model.Target, holder string, waiting func(holder string)) (context.Context, func(), error) {
	if waiting == nil {
		waiting = func(string) {}
	}
	conn, err := l.conn(c, t)
	if err != nil {
		return nil, nil, err
	}
	leave, err := l.enter(ctx, c, t, holder, waiting)
	if err != nil {
		return nil, nil, fmt.Errorf("cluster %s: lock %s: %w", c.Name, t.Key(), err)
	}
	if err := conn.EnsureOwnNamespace(ctx); err != nil {
		leave()
		return nil, nil, fmt.Errorf("lock %s: %w", t.Key(), err)
	}
	le := &lease{client: conn.Client.CoordinationV1().Leases(cluster.OwnNamespace), target: t, holder: holder, timing: l.timing}
	if err := le.acquire(ctx, waiting); err != nil {
		leave()
		return nil, nil, fmt.Errorf("cluster %s: lock %s: %w", c.Name, t.Key(), err)
	}
	locked, cancel := context.WithCancelCause(ctx)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		le.renew(locked, cancel, stop)
	}()
	var once sync.Once
	unlock := func() {
		once.Do(func() {
			close(stop)
			<-stopped
			cancel(context.Canceled)
			le.release()
			leave()
		})
	}
	return locked, unlock, nil
}

// enter waits until no other run of this process holds the lock.
func (l *Store) enter(ctx context.Context, c model.Cluster, t model.Target, holder string, waiting func(string)) (leave func(), err error) {
	key := c.Name + "\x00" + c.Kubeconfig + "\x00" + c.Context + "\x00" + t.Namespace + "\x00" + t.Release
	l.mu.Lock()
	token := l.held[key]
	if token == nil {
		token = make(chan struct{}, 1)
		token <- struct{}{}
		l.held[key] = token
	}
	l.mu.Unlock()
	leave = func() { token <- struct{}{} }
	select {
	case <-token:
		return leave, nil
	default:
		waiting("another run of this installation")
	}
	select {
	case <-token:
		return leave, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func leaseName(t model.Target) string { return nameOf("release", t) }

// acquire takes the Lease or waits for it. Another holder's Lease counts as
// expired when it was seen unchanged for its duration by this machine's clock:
// the clocks of two machines are never compared.
func (le *lease) acquire(ctx context.Context, waiting func(string)) error {
	var seen string // resourceVersion of the other's Lease
	var since time.Time
	var told string
	for {
		current, err := le.client.Get(ctx, leaseName(le.target), metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			_, err = le.client.Create(ctx, le.renewed(nil), metav1.CreateOptions{FieldManager: cluster.ManagedBy})
			if err == nil {
				return nil
			}
			if !apierrors.IsAlreadyExists(err) {
				return fmt.Errorf("create Lease %s/%s: %w", cluster.OwnNamespace, leaseName(le.target), err)
			}
			continue
		case err != nil:
			return fmt.Errorf("read Lease %s/%s: %w", cluster.OwnNamespace, leaseName(le.target), err)
		}
		if current.ResourceVersion != seen {
			seen, since = current.ResourceVersion, time.Now()
		}
		other := holderOf(current)
		if other == "" || other == le.holder || time.Since(since) >= le.durationOf(current) {
			_, err := le.client.Update(ctx, le.renewed(current), metav1.UpdateOptions{FieldManager: cluster.ManagedBy})
			if err == nil {
				return nil
			}
			if !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
				return fmt.Errorf("take Lease %s/%s: %w", cluster.OwnNamespace, leaseName(le.target), err)
			}
		} else if other != told {
			waiting(other)
			told = other
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", other, context.Cause(ctx))
		case <-time.After(le.timing.Retry):
		}
	}
}

func holderOf(l *coordinationv1.Lease) string {
	if l.Spec.HolderIdentity == nil {
		return ""
	}
	return *l.Spec.HolderIdentity
}

func (le *lease) durationOf(l *coordinationv1.Lease) time.Duration {
	if l.Spec.LeaseDurationSeconds == nil {
		return le.timing.Duration
	}
	return time.Duration(*l.Spec.LeaseDurationSeconds) * time.Second
}

// renewed is the Lease, held by this holder from now on, based on what is there.
func (le *lease) renewed(current *coordinationv1.Lease) *coordinationv1.Lease {
	now := metav1.NowMicro()
	seconds := max(int32(le.timing.Duration/time.Second), 1)
	if current == nil {
		current = &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: leaseName(le.target), Namespace: cluster.OwnNamespace}}
	}
	out := current.DeepCopy()
	out.Labels = recordLabels(kindLock, le.target)
	if holderOf(current) != le.holder {
		var transitions int32
		if current.Spec.LeaseTransitions != nil {
			transitions = *current.Spec.LeaseTransitions + 1
		}
		out.Spec.LeaseTransitions = &transitions
		out.Spec.AcquireTime = &now
	}
	out.Spec.HolderIdentity = &le.holder
	out.Spec.LeaseDurationSeconds = &seconds
	out.Spec.RenewTime = &now
	return out
}

// renew keeps the Lease until stop. When it cannot for two thirds of the
// duration it gives up, so that this holder has stopped before another takes
// over.
func (le *lease) renew(ctx context.Context, lost context.CancelCauseFunc, stop <-chan struct{}) {
	renewed := time.Now()
	wait := le.timing.Renew
	for {
		select {
		case <-stop:
			return
		case <-time.After(wait):
		}
		started := time.Now()
		// Renewal goes on while the caller winds down after a cancel; only
		// unlock ends it.
		rctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), le.timing.Renew)
		err := le.renewOnce(rctx)
		cancel()
		if err == nil {
			renewed, wait = started, le.timing.Renew
			continue
		}
		if errors.Is(err, errTaken) || time.Since(renewed) >= le.timing.Duration*2/3 {
			lost(fmt.Errorf("%w: %w", ErrLockLost, err))
			return
		}
		wait = le.timing.Retry
	}
}

var errTaken = errors.New("another holder has taken it")

func (le *lease) renewOnce(ctx context.Context) error {
	current, err := le.client.Get(ctx, leaseName(le.target), metav1.GetOptions{})
	if err != nil {
		if apierrors.IsNotFound(err) {
			return fmt.Errorf("%w: the Lease was removed", errTaken)
		}
		return err
	}
	if other := holderOf(current); other != le.holder {
		return fmt.Errorf("%w: %q", errTaken, other)
	}
	_, err = le.client.Update(ctx, le.renewed(current), metav1.UpdateOptions{FieldManager: cluster.ManagedBy})
	return err
}

// release gives the Lease up, if it is still held, so that the next holder
// need not wait for it to expire.
func (le *lease) release() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	current, err := le.client.Get(ctx, leaseName(le.target), metav1.GetOptions{})
	if err != nil || holderOf(current) != le.holder {
		return
	}
	free := current.DeepCopy()
	free.Spec.HolderIdentity = nil
	// A failure costs the next holder the Lease's duration, nothing else.
	_, _ = le.client.Update(ctx, free, metav1.UpdateOptions{FieldManager: cluster.ManagedBy})
}
