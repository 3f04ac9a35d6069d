package evidence

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/hubship/hubship/internal/attest"
	"github.com/hubship/hubship/internal/cluster"
	"github.com/hubship/hubship/internal/model"
)

// view is what is known of one release at one moment.
type view struct {
	conn     *cluster.Conn
	target   model.Target
	want     attest.Want // any inputs
	standing attest.Standing
	troubles []model.EvidenceRecord // copies of the standing that are not believed
	found    *corev1.ConfigMap      // the cluster's copy of the standing; nil when there is none
	fresh    bool                   // neither place knows the release
	records  []record               // newest first; those that are not genuine last
}

// record is a piece of evidence as it lies in the cluster.
type record struct {
	cm       corev1.ConfigMap
	evidence attest.Evidence
	keyID    string
	refusal  *attest.Refusal // why it is not genuine; nil when it is
}

// look reads everything about a release. What is not genuine is in the view;
// the error says that something could not be read.
func (l *Store) look(ctx context.Context, c model.Cluster, t model.Target) (*view, error) {
	conn, err := l.conn(c, t)
	if err != nil {
		return nil, err
	}
	identity, err := conn.Identity(ctx)
	if err != nil {
		return nil, err
	}
	keys, err := l.keys.Public()
	if err != nil {
		return nil, err
	}
	v := &view{conn: conn, target: t, want: attest.Want{
		Hub: t.Hub, Environment: t.Environment, Cluster: identity, Namespace: t.Namespace, Release: t.Release,
	}}
	list, err := conn.Client.CoreV1().ConfigMaps(cluster.OwnNamespace).List(ctx, metav1.ListOptions{LabelSelector: labels.Set{labelKey: releaseKey(t)}.String()})
	if err != nil {
		return nil, fmt.Errorf("cluster %s: list the records of %s in %s: %w", c.Name, t.Key(), cluster.OwnNamespace, err)
	}
	for i := range list.Items {
		cm := &list.Items[i]
		switch {
		case cm.Name == nameOf(kindStanding, t):
			v.found = cm
		case cm.Labels[cluster.LabelKind] == kindEvidence:
			r := record{cm: *cm}
			r.evidence, r.keyID, err = attest.OpenEvidence([]byte(cm.Data[payload]), keys)
			if err != nil && !errors.As(err, &r.refusal) {
				return nil, err
			}
			v.records = append(v.records, r)
		}
	}
	slices.SortStableFunc(v.records, func(a, b record) int { return cmp.Compare(b.evidence.Sequence, a.evidence.Sequence) })
	if v.found == nil {
		// Its labels may have been taken off; its name is what counts.
		cm, err := conn.Client.CoreV1().ConfigMaps(cluster.OwnNamespace).Get(ctx, nameOf(kindStanding, t), metav1.GetOptions{})
		if err == nil {
			v.found = cm
		} else if !apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("cluster %s: read the standing of %s: %w", c.Name, t.Key(), err)
		}
	}
	return v, l.stand(ctx, v, keys)
}

// stand makes one standing of the two copies.
func (l *Store) stand(ctx context.Context, v *view, keys []attest.Public) error {
	var database, there attest.Copy
	envelope, ok, err := l.memory.Standing(ctx, l.memoryKey(v))
	if err != nil {
		return err
	}
	if ok {
		if database, err = attest.OpenStanding(envelope, keys, v.want); err != nil {
			return err
		}
		v.trouble("hubship's database", database, envelope)
	}
	if v.found != nil {
		raw := []byte(v.found.Data[payload])
		if there, err = attest.OpenStanding(raw, keys, v.want); err != nil {
			return err
		}
		v.trouble(place(v.found), there, raw)
	}
	v.standing = attest.Merge(v.want, database, there)
	v.fresh = !database.Found && !there.Found
	if !v.fresh {
		return nil
	}
	v.standing.Halt, err = unsignedHalt(ctx, v)
	return err
}

// memoryKey is what a release's standing is kept under in the database.
func (l *Store) memoryKey(v *view) string { return v.want.Cluster + "/" + releaseKey(v.target) }

func place(cm *corev1.ConfigMap) string { return "ConfigMap " + cm.Namespace + "/" + cm.Name }

func (v *view) trouble(where string, c attest.Copy, envelope []byte) {
	if c.Trouble == nil {
		return
	}
	r := model.EvidenceRecord{Target: v.target, Name: where, Refused: "the standing of the release is not trusted: " + c.Trouble.Error()}
	var refusal *attest.Refusal
	if errors.As(c.Trouble, &refusal) {
		r.Reason = string(refusal.Reason)
	}
	if json.Valid(envelope) {
		r.Envelope = envelope
	}
	v.troubles = append(v.troubles, r)
}

// judge says whether a record proves that some inputs passed; no inputs means
// any.
func (v *view) judge(r record, shared string) *attest.Refusal {
	if r.refusal != nil {
		return r.refusal
	}
	w := v.want
	w.Shared = shared
	var refusal *attest.Refusal
	errors.As(attest.Judge(r.evidence, w, v.standing), &refusal)
	return refusal
}

// unsignedHalt is the halt that a hubship before signatures left in the
// release's namespace. It can only hold back, so it is taken as it is, until
// the release has a standing.
func unsignedHalt(ctx context.Context, v *view) (*model.Halt, error) {
	cm, err := v.conn.Client.CoreV1().ConfigMaps(v.target.Namespace).Get(ctx, "hubship-halt-"+v.target.Release, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cluster %s: read the halt of %s: %w", v.conn.Name, v.target.Key(), err)
	}
	var h model.Halt
	if err := json.Unmarshal([]byte(cm.Data[unsignedPayload]), &h); err != nil || h.Hub != v.target.Hub || h.Environment != v.target.Environment {
		h = model.Halt{Hub: v.target.Hub, Environment: v.target.Environment, Since: cm.CreationTimestamp.Time,
			Reason: place(cm) + " is a halt of an earlier version of hubship, and cannot be read"}
	}
	return &h, nil
}

// unsignedPayload is the key of a ConfigMap's data that held records before
// they were signed.
const unsignedPayload = "record.json"

// unsigned lists the records that a hubship before signatures left in the
// release's namespace. None of them is believed: whoever may write there may
// write them.
func (v *view) unsigned(ctx context.Context) ([]model.EvidenceRecord, error) {
	list, err := v.conn.Client.CoreV1().ConfigMaps(v.target.Namespace).List(ctx, metav1.ListOptions{LabelSelector: labels.Set{
		cluster.LabelManagedBy: cluster.ManagedBy, cluster.LabelKind: kindEvidence, cluster.LabelRelease: v.target.Release,
	}.String()})
	if err != nil {
		return nil, fmt.Errorf("cluster %s: list unsigned records of %s: %w", v.conn.Name, v.target.Key(), err)
	}
	var out []model.EvidenceRecord
	for i := range list.Items {
		out = append(out, model.EvidenceRecord{
			Target: v.target, Name: place(&list.Items[i]), Reason: string(attest.BadSignature),
			Refused: "it is not signed, and others can write where it is kept",
		})
	}
	return out, nil
}
