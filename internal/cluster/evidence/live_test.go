package evidence_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hubship/hubship/internal/cluster"
	"github.com/hubship/hubship/internal/cluster/clustertest"
	"github.com/hubship/hubship/internal/cluster/evidence"
	"github.com/hubship/hubship/internal/model"
)

// fast makes a Lease change hands in seconds.
var fast = evidence.Timing{Duration: 3 * time.Second, Renew: 500 * time.Millisecond, Retry: 100 * time.Millisecond}

// other is the Store of another process.
func other(t *testing.T, timing evidence.Timing) *evidence.Store {
	t.Helper()
	return evidence.New(cluster.New(cluster.Options{}), keysIn(t), memory{}, timing)
}

// setup returns a Store on a real cluster, and a release there that no other
// test has.
func setup(t *testing.T) (*evidence.Store, *cluster.Conn, model.Cluster, model.Target) {
	t.Helper()
	c := clustertest.Cluster(t)
	set := cluster.New(cluster.Options{})
	conn, err := set.Conn(c)
	if err != nil {
		t.Fatal(err)
	}
	target := clustertest.Target(t, set, c, "data8-staging")
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		ours := metav1.ListOptions{LabelSelector: "hubship.io/namespace=" + target.Namespace}
		err := errors.Join(conn.Client.CoreV1().ConfigMaps(cluster.OwnNamespace).DeleteCollection(ctx, metav1.DeleteOptions{}, ours),
			conn.Client.CoordinationV1().Leases(cluster.OwnNamespace).DeleteCollection(ctx, metav1.DeleteOptions{}, ours))
		if err != nil {
			t.Errorf("clean up: %v", err)
		}
	})
	return evidence.New(set, keysIn(t), memory{}, fast), conn, c, target
}

func leaseOf(ctx context.Context, conn *cluster.Conn, t model.Target) (*coordinationv1.Lease, error) {
	list, err := conn.Client.CoordinationV1().Leases(cluster.OwnNamespace).List(ctx, metav1.ListOptions{LabelSelector: "hubship.io/namespace=" + t.Namespace})
	if err != nil || len(list.Items) != 1 {
		return nil, fmt.Errorf("%d Leases: %w", len(list.Items), err)
	}
	return &list.Items[0], nil
}

// The rules hold on a real API server too: records are immutable, writers that
// meet make room for each other, and a halt outlives its ConfigMap.
func TestOnACluster(t *testing.T) {
	l, conn, c, target := setup(t)
	ctx := t.Context()
	if _, ok, err := l.Evidence(ctx, c, target, "1"); ok || err != nil {
		t.Fatalf("evidence of a release that nobody knows: %v, %v", ok, err)
	}
	var wg sync.WaitGroup
	for i := range 25 {
		wg.Go(func() {
			if err := l.Record(ctx, c, target, passedEvidence(target, fmt.Sprint(i%23))); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	maps := conn.Client.CoreV1().ConfigMaps(cluster.OwnNamespace)
	mine := metav1.ListOptions{LabelSelector: "hubship.io/kind=evidence,hubship.io/namespace=" + target.Namespace}
	list, err := maps.List(ctx, mine)
	if err != nil || len(list.Items) == 0 || len(list.Items) > 25 {
		t.Fatalf("%d records, %v", len(list.Items), err)
	}
	cm := list.Items[0].DeepCopy()
	cm.Data["envelope.json"] = "{}"
	if _, err := maps.Update(ctx, cm, metav1.UpdateOptions{}); err == nil {
		t.Error("evidence could be changed in place")
	}
	if err := l.Record(ctx, c, target, passedEvidence(target, "x")); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := l.Evidence(ctx, c, target, "x"); !ok || err != nil {
		t.Errorf("evidence that was recorded: %v, %v", ok, err)
	}
	for i := range 5 { // several at once: all succeed, one of them stays
		wg.Go(func() {
			if err := l.Halt(ctx, c, target, model.Halt{Hub: "data8", Environment: "staging", Shared: "x", Reason: fmt.Sprint(i), Since: time.Now()}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for name, spoil := range map[string]func(standing string) error{
		"as it is": func(string) error { return nil },
		"removed":  func(name string) error { return maps.Delete(ctx, name, metav1.DeleteOptions{}) },
		"made immutable": func(name string) error {
			cm, err := maps.Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			yes := true
			cm.Immutable = &yes
			_, err = maps.Update(ctx, cm, metav1.UpdateOptions{})
			return err
		},
	} {
		standings, err := maps.List(ctx, metav1.ListOptions{LabelSelector: "hubship.io/kind=standing,hubship.io/namespace=" + target.Namespace})
		if err != nil || len(standings.Items) != 1 {
			t.Fatalf("%s: %d standings, %v", name, len(standings.Items), err)
		}
		if err := spoil(standings.Items[0].Name); err != nil {
			t.Fatal(err)
		}
		if h, ok, err := l.Halted(ctx, c, target); !ok || err != nil || h.Reason == "" {
			t.Errorf("%s: halted %v, %v", name, ok, err)
		}
		if err := l.Clear(ctx, c, target); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, ok, err := l.Halted(ctx, c, target); ok || err != nil {
			t.Errorf("%s: still halted: %v, %v", name, ok, err)
		}
		if err := l.Halt(ctx, c, target, model.Halt{Hub: "data8", Environment: "staging", Reason: "again", Since: time.Now()}); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok, err := l.Evidence(ctx, c, target, "x"); ok || err != nil {
		t.Errorf("evidence of inputs that failed later: %v, %v", ok, err)
	}
}

func TestLockExcludes(t *testing.T) {
	l, _, c, target := setup(t)
	others := []*evidence.Store{l, other(t, fast)} // two processes
	var inside, most atomic.Int32
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			locked, unlock, err := others[i%2].Lock(t.Context(), c, target, fmt.Sprintf("run-%d", i), nil)
			if err != nil {
				t.Error(err)
				return
			}
			defer unlock()
			if n := inside.Add(1); n > most.Load() {
				most.Store(n)
			}
			time.Sleep(200 * time.Millisecond)
			if locked.Err() != nil {
				t.Errorf("lost: %v", context.Cause(locked))
			}
			inside.Add(-1)
		})
	}
	wg.Wait()
	if most.Load() != 1 {
		t.Errorf("%d held the lock at once", most.Load())
	}
}

// A holder that died is waited for until its Lease has run out; the same
// holder, resumed, is not.
func TestLockTakeover(t *testing.T) {
	_, conn, c, target := setup(t)
	ctx := t.Context()
	dead := func() *evidence.Store {
		return other(t, evidence.Timing{Duration: 3 * time.Second, Renew: time.Hour})
	}
	if _, _, err := dead().Lock(ctx, c, target, "run-1", nil); err != nil { // never renewed
		t.Fatal(err)
	}
	began := time.Now()
	if _, _, err := dead().Lock(ctx, c, target, "run-1", func(h string) { t.Errorf("the same holder waits for %q", h) }); err != nil {
		t.Fatal(err)
	}
	if waited := time.Since(began); waited > time.Second {
		t.Errorf("the same holder waited %s", waited)
	}
	began = time.Now()
	var told []string
	_, unlock, err := other(t, fast).Lock(ctx, c, target, "run-2", func(h string) { told = append(told, h) })
	if err != nil {
		t.Fatal(err)
	}
	if waited := time.Since(began); waited < 2500*time.Millisecond || waited > 10*time.Second {
		t.Errorf("taken over after %s, want about 3 s", waited)
	}
	if len(told) != 1 || told[0] != "run-1" {
		t.Errorf("waiting was told %q", told)
	}
	unlock()
	unlock() // twice is once
	lease, err := leaseOf(ctx, conn, target)
	if err != nil || lease.Spec.HolderIdentity != nil {
		t.Errorf("after unlock: %v, %v", lease.Spec.HolderIdentity, err)
	}
}

func TestLostLockEndsTheContext(t *testing.T) {
	l, conn, c, target := setup(t)
	locked, unlock, err := l.Lock(t.Context(), c, target, "run-1", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	leases := conn.Client.CoordinationV1().Leases(cluster.OwnNamespace)
	time.Sleep(1200 * time.Millisecond) // renewed at least once
	if locked.Err() != nil {
		t.Fatalf("lost while renewing: %v", context.Cause(locked))
	}
	for range 5 { // its own renewal may come between
		lease, err := leaseOf(t.Context(), conn, target)
		if err != nil {
			t.Fatal(err)
		}
		thief := "thief"
		lease.Spec.HolderIdentity = &thief
		if _, err = leases.Update(t.Context(), lease, metav1.UpdateOptions{}); err == nil {
			break
		}
	}
	select {
	case <-locked.Done():
	case <-time.After(5 * time.Second):
		t.Fatal("the context did not end")
	}
	if !errors.Is(context.Cause(locked), evidence.ErrLockLost) || !strings.Contains(context.Cause(locked).Error(), "thief") {
		t.Errorf("cause: %v", context.Cause(locked))
	}
}

func TestLockEndsWithItsContext(t *testing.T) {
	l, _, c, target := setup(t)
	_, unlock, err := l.Lock(t.Context(), c, target, "run-1", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, _, err := l.Lock(ctx, c, target, "run-2", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("within the process: %v", err)
	}
	second := other(t, fast)
	ctx2, cancel2 := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel2()
	if _, _, err := second.Lock(ctx2, c, target, "run-2", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("between processes: %v", err)
	}
}
