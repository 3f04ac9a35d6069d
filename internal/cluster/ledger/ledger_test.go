package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hubship/hubship/internal/cluster"
	"github.com/hubship/hubship/internal/cluster/clustertest"
	"github.com/hubship/hubship/internal/cluster/ledger"
	"github.com/hubship/hubship/internal/model"
)

// fast makes a Lease change hands in seconds.
var fast = ledger.Timing{Duration: 3 * time.Second, Renew: 500 * time.Millisecond, Retry: 100 * time.Millisecond}

func setup(t *testing.T) (*ledger.Ledger, *cluster.Conn, model.Cluster, model.Target) {
	t.Helper()
	c := clustertest.Cluster(t)
	set := cluster.New(cluster.Options{})
	conn, err := set.Conn(c)
	if err != nil {
		t.Fatal(err)
	}
	return ledger.New(set, fast), conn, c, clustertest.Target(t, set, c, "data8-staging")
}

func evidence(shared string, at time.Time, passed bool) model.Evidence {
	return model.Evidence{
		Hub: "data8", Environment: "staging", Commit: "c" + shared, Shared: shared, Inputs: "i" + shared, Run: at.String(),
		Verified: model.Verification{Passed: passed, Finished: at},
	}
}

func TestEvidence(t *testing.T) {
	l, conn, c, target := setup(t)
	ctx := t.Context()
	if _, ok, err := l.Evidence(ctx, c, target, "sha256:1"); ok || err != nil {
		t.Fatalf("evidence in a namespace that does not exist: %v, %v", ok, err)
	}
	base := time.Now().UTC().Truncate(time.Second)
	record := func(ev model.Evidence) {
		t.Helper()
		if err := l.Record(ctx, c, target, ev); err != nil {
			t.Fatal(err)
		}
	}
	record(evidence("sha256:1", base, true))
	record(evidence("sha256:1", base, true)) // a step that was resumed records again
	record(evidence("sha256:1", base.Add(time.Millisecond), true))
	record(evidence("sha256:2", base.Add(2*time.Millisecond), false))
	ev, ok, err := l.Evidence(ctx, c, target, "sha256:1")
	if err != nil || !ok || !ev.Verified.Finished.Equal(base.Add(time.Millisecond)) {
		t.Errorf("newest evidence for 1: %v %v %v", ev.Verified.Finished, ok, err)
	}
	if _, ok, err := l.Evidence(ctx, c, target, "sha256:2"); ok || err != nil {
		t.Errorf("a failed verification counts as passed: %v, %v", ok, err)
	}
	if _, ok, _ := l.Evidence(ctx, c, target, "sha256:3"); ok {
		t.Error("evidence for inputs that were never verified")
	}
	if ev, ok, err := l.Latest(ctx, c, target); err != nil || !ok || ev.Shared != "sha256:2" {
		t.Errorf("latest: %q %v %v", ev.Shared, ok, err)
	}
	other := target
	other.Release = "data100-staging"
	if _, ok, _ := l.Evidence(ctx, c, other, "sha256:1"); ok {
		t.Error("another release's evidence was taken")
	}
	list, err := conn.Client.CoreV1().ConfigMaps(target.Namespace).List(ctx, metav1.ListOptions{LabelSelector: "hubship.io/kind=evidence"})
	if err != nil || len(list.Items) != 3 {
		t.Fatalf("%d records, %v; want 3", len(list.Items), err)
	}
	cm := list.Items[0].DeepCopy()
	cm.Data["record.json"] = "{}"
	if _, err := conn.Client.CoreV1().ConfigMaps(target.Namespace).Update(ctx, cm, metav1.UpdateOptions{}); err == nil {
		t.Error("evidence could be changed")
	}
	if err := l.Record(ctx, c, target, model.Evidence{Hub: "other", Environment: "staging", Shared: "x"}); err == nil {
		t.Error("evidence about another hub was recorded")
	}
}

func TestOldEvidenceIsRemoved(t *testing.T) {
	l, conn, c, target := setup(t)
	base := time.Now().UTC().Truncate(time.Second)
	for i := range 23 {
		if err := l.Record(t.Context(), c, target, evidence(fmt.Sprint(i), base.Add(time.Duration(i)*time.Second), true)); err != nil {
			t.Fatal(err)
		}
	}
	list, err := conn.Client.CoreV1().ConfigMaps(target.Namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "hubship.io/kind=evidence"})
	if err != nil || len(list.Items) != 20 {
		t.Errorf("%d records, %v; want 20", len(list.Items), err)
	}
	for shared, want := range map[string]bool{"0": false, "2": false, "3": true, "22": true} {
		if _, ok, err := l.Evidence(t.Context(), c, target, shared); ok != want || err != nil {
			t.Errorf("evidence %s: %v, %v; want %v", shared, ok, err, want)
		}
	}
}

func TestDamagedRecordsNeverPass(t *testing.T) {
	l, conn, c, target := setup(t)
	ctx := t.Context()
	if err := l.Record(ctx, c, target, evidence("1", time.Now(), true)); err != nil {
		t.Fatal(err)
	}
	maps := conn.Client.CoreV1().ConfigMaps(target.Namespace)
	list, err := maps.List(ctx, metav1.ListOptions{LabelSelector: "hubship.io/kind=evidence"})
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]map[string]string{
		"half":      {"record.json": `{"hub": "data8", "shared": "1", "ver`},
		"empty":     {},
		"other hub": {"record.json": `{"hub": "data100", "environment": "staging", "shared": "1", "verified": {"passed": true}}`},
	} {
		t.Run(name, func(t *testing.T) {
			bad := list.Items[0].DeepCopy()
			bad.ResourceVersion, bad.UID, bad.Data = "", "", data
			bad.Name = strings.Replace(bad.Name, "-2", "-9", 1) // newer than any
			if _, err := maps.Create(ctx, bad, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			_, ok, err := l.Evidence(ctx, c, target, "1")
			if ok || err == nil || !strings.Contains(err.Error(), bad.Name) || model.HintOf(err) == "" {
				t.Errorf("ok %v, error %v, hint %q", ok, err, model.HintOf(err))
			}
			if _, _, err := l.Latest(ctx, c, target); err == nil {
				t.Error("the latest evidence is damaged, and no error")
			}
			if _, ok, err := l.Evidence(ctx, c, target, "another"); ok || err != nil {
				t.Errorf("a damaged record stands in the way of other inputs: %v", err)
			}
			if err := maps.Delete(ctx, bad.Name, metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestHalt(t *testing.T) {
	l, conn, c, target := setup(t)
	ctx := t.Context()
	if _, ok, err := l.Halted(ctx, c, target); ok || err != nil {
		t.Fatalf("halted from the start: %v, %v", ok, err)
	}
	if err := l.Clear(ctx, c, target); err != nil {
		t.Errorf("clear with nothing to clear: %v", err)
	}
	var wg sync.WaitGroup
	for i := range 5 { // several at once: all succeed, one of them stays
		wg.Go(func() {
			h := model.Halt{Hub: "data8", Environment: "staging", Reason: fmt.Sprint(i), Since: time.Now()}
			if err := l.Halt(ctx, c, target, h); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if h, ok, err := l.Halted(ctx, c, target); !ok || err != nil || h.Reason == "" {
		t.Errorf("halted: %+v %v %v", h, ok, err)
	}
	maps := conn.Client.CoreV1().ConfigMaps(target.Namespace)
	cm, err := maps.Get(ctx, "hubship-halt-data8-staging", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	cm.Data["record.json"] = "{"
	if _, err := maps.Update(ctx, cm, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := l.Halted(ctx, c, target); err == nil {
		t.Error("a damaged halt does not count")
	}
	if err := l.Clear(ctx, c, target); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := l.Halted(ctx, c, target); ok || err != nil {
		t.Errorf("still halted: %v, %v", ok, err)
	}
}

func TestLockExcludes(t *testing.T) {
	l, _, c, target := setup(t)
	others := []*ledger.Ledger{l, ledger.New(cluster.New(cluster.Options{}), fast)} // two processes
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
	dead := func() *ledger.Ledger {
		return ledger.New(cluster.New(cluster.Options{}), ledger.Timing{Duration: 3 * time.Second, Renew: time.Hour})
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
	_, unlock, err := ledger.New(cluster.New(cluster.Options{}), fast).Lock(ctx, c, target, "run-2", func(h string) { told = append(told, h) })
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
	lease, err := conn.Client.CoordinationV1().Leases(target.Namespace).Get(ctx, "hubship-data8-staging", metav1.GetOptions{})
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
	leases := conn.Client.CoordinationV1().Leases(target.Namespace)
	time.Sleep(1200 * time.Millisecond) // renewed at least once
	if locked.Err() != nil {
		t.Fatalf("lost while renewing: %v", context.Cause(locked))
	}
	for range 5 { // its own renewal may come between
		lease, err := leases.Get(t.Context(), "hubship-data8-staging", metav1.GetOptions{})
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
	if !errors.Is(context.Cause(locked), ledger.ErrLockLost) || !strings.Contains(context.Cause(locked).Error(), "thief") {
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
	other := ledger.New(cluster.New(cluster.Options{}), fast)
	ctx2, cancel2 := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel2()
	if _, _, err := other.Lock(ctx2, c, target, "run-2", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("between processes: %v", err)
	}
}
