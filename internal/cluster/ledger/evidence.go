package ledger

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hubship/hubship/internal/cluster"
	"github.com/hubship/hubship/internal/model"
)

// labelShared lets a record be found by its inputs without decoding it. It
// holds a digest of Evidence.Shared, whatever form that has.
const labelShared = "hubship.io/shared"

// stampLayout has a fixed width, so that names sort by time.
const stampLayout = "20060102-150405.000000000"

func sharedLabel(shared string) string {
	sum := sha256.Sum256([]byte(shared))
	return hex.EncodeToString(sum[:])[:40]
}

// Evidence returns the newest passed evidence for the shared inputs. A damaged
// record that could be about them is an error: it is never taken as passed,
// nor passed over.
func (l *Ledger) Evidence(ctx context.Context, c model.Cluster, t model.Target, shared string) (model.Evidence, bool, error) {
	want := sharedLabel(shared)
	return l.newest(ctx, c, t, func(cm *corev1.ConfigMap) bool {
		got, labelled := cm.Labels[labelShared]
		return !labelled || got == want
	}, func(ev model.Evidence) bool {
		return ev.Shared == shared && ev.Verified.Passed
	})
}

// Latest returns the newest evidence, passed or not, for any inputs.
func (l *Ledger) Latest(ctx context.Context, c model.Cluster, t model.Target) (model.Evidence, bool, error) {
	every := func(*corev1.ConfigMap) bool { return true }
	return l.newest(ctx, c, t, every, func(model.Evidence) bool { return true })
}

func (l *Ledger) newest(ctx context.Context, c model.Cluster, t model.Target, candidate func(*corev1.ConfigMap) bool, wanted func(model.Evidence) bool) (model.Evidence, bool, error) {
	conn, err := l.conn(c, t)
	if err != nil {
		return model.Evidence{}, false, err
	}
	records, err := l.list(ctx, conn, kindEvidence, t)
	if err != nil {
		return model.Evidence{}, false, err
	}
	newestFirst(records)
	for i := range records {
		if !candidate(&records[i]) {
			continue
		}
		var ev model.Evidence
		if err := decode(c, &records[i], &ev, func(ev *model.Evidence) bool {
			return ev.Hub == t.Hub && ev.Environment == t.Environment && ev.Shared != ""
		}); err != nil {
			return model.Evidence{}, false, err
		}
		if wanted(ev) {
			return ev, true, nil
		}
	}
	return model.Evidence{}, false, nil
}

func newestFirst(records []corev1.ConfigMap) {
	slices.SortFunc(records, func(a, b corev1.ConfigMap) int {
		if n := strings.Compare(stampOf(b.Name), stampOf(a.Name)); n != 0 {
			return n
		}
		return strings.Compare(b.Name, a.Name)
	})
}

// stampOf is the part of a record's name that tells its time, with the digest
// that follows it.
func stampOf(name string) string {
	const width = len(stampLayout) + 1 + 8
	if len(name) < width {
		return ""
	}
	return name[len(name)-width:]
}

// Record stores evidence. Evidence is append-only: a record is immutable, and
// recording the same again changes nothing. The oldest beyond 20 of a release
// are removed.
func (l *Ledger) Record(ctx context.Context, c model.Cluster, t model.Target, ev model.Evidence) error {
	if ev.Hub != t.Hub || ev.Environment != t.Environment || ev.Shared == "" {
		return fmt.Errorf("record evidence of %s: the evidence is about %s@%s, shared inputs %q", t.Key(), ev.Hub, ev.Environment, ev.Shared)
	}
	conn, err := l.conn(c, t)
	if err != nil {
		return err
	}
	data, err := json.Marshal(ev)
	if err != nil {
		return fmt.Errorf("record evidence of %s: %w", t.Key(), err)
	}
	sum := sha256.Sum256(data)
	at := ev.Verified.Finished.UTC()
	if at.IsZero() {
		at = time.Now().UTC()
	}
	immutable := true
	cm := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{
			Name:      "hubship-evidence-" + t.Release + "-" + at.Format(stampLayout) + "-" + hex.EncodeToString(sum[:4]),
			Namespace: t.Namespace,
			Labels:    recordLabels(kindEvidence, t),
		},
		Immutable: &immutable,
		Data:      map[string]string{payload: string(data)},
	}
	cm.Labels[labelShared] = sharedLabel(ev.Shared)
	if err := conn.EnsureNamespace(ctx, t); err != nil {
		return fmt.Errorf("record evidence of %s: %w", t.Key(), err)
	}
	_, err = conn.Client.CoreV1().ConfigMaps(t.Namespace).Create(ctx, cm, metav1.CreateOptions{FieldManager: cluster.ManagedBy})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("cluster %s: record evidence of %s: %w", c.Name, t.Key(), err)
	}
	if err := l.prune(ctx, conn, t); err != nil {
		return fmt.Errorf("cluster %s: remove old evidence of %s: %w", c.Name, t.Key(), err)
	}
	return nil
}

func (l *Ledger) prune(ctx context.Context, conn *cluster.Conn, t model.Target) error {
	records, err := l.list(ctx, conn, kindEvidence, t)
	if err != nil {
		return err
	}
	if len(records) <= keep {
		return nil
	}
	newestFirst(records)
	var errs []error
	for _, cm := range records[keep:] {
		err := conn.Client.CoreV1().ConfigMaps(cm.Namespace).Delete(ctx, cm.Name, metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
