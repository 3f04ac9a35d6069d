package evidence

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hubship/hubship/internal/attest"
	"github.com/hubship/hubship/internal/cluster"
	"github.com/hubship/hubship/internal/model"
)

// Evidence returns the evidence that counts for the shared inputs. A record
// that is not believed is passed over, whatever stands in it.
func (l *Store) Evidence(ctx context.Context, c model.Cluster, t model.Target, shared string) (model.Evidence, bool, error) {
	if shared == "" {
		return model.Evidence{}, false, fmt.Errorf("evidence of %s: no inputs are given", t.Key())
	}
	v, err := l.look(ctx, c, t)
	if err != nil {
		return model.Evidence{}, false, err
	}
	for _, r := range v.records {
		if v.judge(r, shared) == nil {
			return r.evidence.Evidence, true, nil
		}
	}
	return model.Evidence{}, false, nil
}

// Latest returns the newest evidence for any inputs, also when a halt of those
// has voided it since. It is for people: nothing rests on it.
func (l *Store) Latest(ctx context.Context, c model.Cluster, t model.Target) (model.Evidence, bool, error) {
	v, err := l.look(ctx, c, t)
	if err != nil {
		return model.Evidence{}, false, err
	}
	for _, r := range v.records {
		if refusal := v.judge(r, ""); refusal == nil || refusal.Reason == attest.Voided {
			return r.evidence.Evidence, true, nil
		}
	}
	return model.Evidence{}, false, nil
}

// Records lists everything that is kept of a release, believed or
// not, newest first.
func (l *Store) Records(ctx context.Context, c model.Cluster, t model.Target) ([]model.EvidenceRecord, error) {
	v, err := l.look(ctx, c, t)
	if err != nil {
		return nil, err
	}
	out := v.troubles
	for _, r := range v.records {
		one := model.EvidenceRecord{Target: t, Name: place(&r.cm), Believed: true, Key: r.keyID}
		if raw := []byte(r.cm.Data[payload]); json.Valid(raw) {
			one.Envelope = raw
		}
		if r.refusal == nil {
			ev := r.evidence.Evidence
			one.Evidence, one.Sequence, one.Recorded = &ev, r.evidence.Sequence, r.evidence.Recorded
		}
		if refusal := v.judge(r, ""); refusal != nil {
			one.Believed, one.Refused, one.Reason = false, refusal.Text, string(refusal.Reason)
		}
		out = append(out, one)
	}
	old, err := v.unsigned(ctx)
	return append(out, old...), err
}

// Record signs and stores evidence of a verification that passed, and makes it
// the one that counts for its inputs. Its cluster is the one that it is stored
// in, whatever it says. Recording the same again replaces it. Records that
// cannot count any more are removed.
func (l *Store) Record(ctx context.Context, c model.Cluster, t model.Target, ev model.Evidence) error {
	switch {
	case ev.Hub != t.Hub || ev.Environment != t.Environment || ev.Shared == "":
		return fmt.Errorf("record evidence of %s: the evidence is about %s@%s, shared inputs %q", t.Key(), ev.Hub, ev.Environment, ev.Shared)
	case !ev.Verified.Passed:
		return fmt.Errorf("record evidence of %s: that verification did not pass", t.Key())
	}
	// The number comes first: a process that dies before the record is written
	// leaves a number without one, and never one without a number.
	v, err := l.change(ctx, c, t, func(s attest.Standing) attest.Standing { return s.Record(ev.Shared) })
	if err != nil {
		return fmt.Errorf("record evidence of %s: %w", t.Key(), err)
	}
	ev.Cluster = v.want.Cluster
	signed := attest.Evidence{Evidence: ev, Namespace: t.Namespace, Release: t.Release, Sequence: v.standing.Sequence, Recorded: time.Now()}
	envelope, err := signed.Seal(l.keys)
	if err != nil {
		return err
	}
	immutable := true
	cm := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{
			Name:      fmt.Sprintf("%s-%08d", nameOf(kindEvidence, t), signed.Sequence),
			Namespace: cluster.OwnNamespace, Labels: recordLabels(kindEvidence, t),
		},
		Immutable: &immutable,
		Data:      map[string]string{payload: string(envelope)},
	}
	maps := v.conn.Client.CoreV1().ConfigMaps(cluster.OwnNamespace)
	_, err = maps.Create(ctx, cm, metav1.CreateOptions{FieldManager: cluster.ManagedBy})
	if apierrors.IsAlreadyExists(err) {
		// Nobody but this process writes that number: it is somebody else's.
		if err = maps.Delete(ctx, cm.Name, metav1.DeleteOptions{}); err == nil || apierrors.IsNotFound(err) {
			_, err = maps.Create(ctx, cm, metav1.CreateOptions{FieldManager: cluster.ManagedBy})
		}
	}
	if err != nil {
		return fmt.Errorf("cluster %s: record evidence of %s: %w", c.Name, t.Key(), err)
	}
	if err := prune(ctx, v); err != nil {
		return fmt.Errorf("cluster %s: remove old evidence of %s: %w", c.Name, t.Key(), err)
	}
	return nil
}

// maxRefused is how many records that are not genuine are left for people to
// look at.
const maxRefused = 20

// prune removes records that are too old to count.
func prune(ctx context.Context, v *view) error {
	var errs []error
	refused := 0
	for _, r := range v.records {
		refusal := v.judge(r, "")
		switch {
		case refusal == nil:
			continue
		case refusal.Reason == attest.OutOfOrder && r.evidence.Sequence <= v.standing.Sequence-attest.KeepEvidence:
		default:
			if refused++; refused <= maxRefused {
				continue
			}
		}
		err := v.conn.Client.CoreV1().ConfigMaps(r.cm.Namespace).Delete(ctx, r.cm.Name, metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
