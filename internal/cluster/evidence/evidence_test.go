package evidence_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"

	"github.com/hubship/hubship/internal/attest"
	"github.com/hubship/hubship/internal/cluster"
	"github.com/hubship/hubship/internal/cluster/evidence"
	"github.com/hubship/hubship/internal/model"
)

func passedEvidence(t model.Target, shared string) model.Evidence {
	return model.Evidence{Hub: t.Hub, Environment: t.Environment, Commit: "c", Shared: shared, Inputs: "i", Run: "run-" + shared,
		Verified: model.Verification{Passed: true, Finished: time.Now()}}
}

// place is a release on an API server in memory, with somebody who may write
// every ConfigMap there.
type place struct {
	*evidence.Store
	t      *testing.T
	all    clusters
	db     memory
	keys   *attest.Folder
	c      model.Cluster
	target model.Target
}

func newPlace(t *testing.T) place {
	t.Helper()
	p := place{t: t, all: newClusters("one", "two"), db: memory{}, keys: keysIn(t), c: model.Cluster{Name: "one"},
		target: model.Target{Hub: "data8", Environment: "staging", Cluster: "one", Namespace: "data8-staging", Release: "data8-staging"}}
	p.Store = evidence.New(p.all, p.keys, p.db, evidence.Timing{})
	return p
}

func (p place) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p place) record(shared string) {
	p.t.Helper()
	p.must(p.Record(p.t.Context(), p.c, p.target, passedEvidence(p.target, shared)))
}

func (p place) halt(shared string) {
	p.t.Helper()
	p.must(p.Halt(p.t.Context(), p.c, p.target, model.Halt{Hub: "data8", Environment: "staging", Shared: shared, Inputs: "i", Reason: "it fell over", Run: "r", Since: time.Now()}))
}

func (p place) believed(t model.Target, shared string) bool {
	p.t.Helper()
	_, ok, err := p.Evidence(p.t.Context(), p.c, t, shared)
	p.must(err)
	return ok
}

func (p place) halted() bool {
	p.t.Helper()
	_, ok, err := p.Halted(p.t.Context(), p.c, p.target)
	p.must(err)
	return ok
}

func (p place) maps(kind string) []corev1.ConfigMap {
	p.t.Helper()
	list, err := p.all[p.c.Name].Client.CoreV1().ConfigMaps(cluster.OwnNamespace).List(p.t.Context(), metav1.ListOptions{LabelSelector: "hubship.io/kind=" + kind})
	p.must(err)
	return list.Items
}

func (p place) write(on string, cm corev1.ConfigMap) {
	p.t.Helper()
	cm.ResourceVersion, cm.UID = "", ""
	maps := p.all[on].Client.CoreV1().ConfigMaps(cm.Namespace)
	_ = maps.Delete(p.t.Context(), cm.Name, metav1.DeleteOptions{})
	_, err := maps.Create(p.t.Context(), &cm, metav1.CreateOptions{})
	p.must(err)
}

func (p place) refusals() map[string]string {
	p.t.Helper()
	records, err := p.Records(p.t.Context(), p.c, p.target)
	p.must(err)
	out := map[string]string{}
	for _, r := range records {
		if !r.Believed {
			out[r.Name] = r.Reason
			if r.Refused == "" {
				p.t.Errorf("%s is not believed, and nobody knows why", r.Name)
			}
		}
	}
	return out
}

func TestEvidenceOfARelease(t *testing.T) {
	p := newPlace(t)
	ctx := t.Context()
	p.record("1")
	p.record("2")
	p.record("1") // a step that was resumed records again
	if !p.believed(p.target, "1") || !p.believed(p.target, "2") || p.believed(p.target, "3") {
		t.Error("what was recorded is not what is believed")
	}
	if ev, ok, err := p.Latest(ctx, p.c, p.target); err != nil || !ok || ev.Shared != "1" || ev.Cluster != "uid-of-one" {
		t.Errorf("latest: %+v, %v, %v", ev, ok, err)
	}
	near := p.target
	near.Namespace, near.Release = "data8", "staging-data8-staging"
	if p.believed(near, "1") {
		t.Error("another release's evidence was taken")
	}
	for _, bad := range []model.Evidence{passedEvidence(model.Target{Hub: "other", Environment: "staging"}, "1"), passedEvidence(p.target, ""),
		{Hub: "data8", Environment: "staging", Shared: "1"}} {
		if err := p.Record(ctx, p.c, p.target, bad); err == nil {
			t.Errorf("recorded: %+v", bad)
		}
	}
	for i := range 40 {
		p.record(fmt.Sprint("more ", i))
	}
	if n := len(p.maps("evidence")); n != attest.KeepEvidence {
		t.Errorf("%d records are kept, want %d", n, attest.KeepEvidence)
	}
	if p.believed(p.target, "1") || !p.believed(p.target, "more 39") || !p.believed(p.target, "more 20") {
		t.Error("the newest do not count, or the oldest do")
	}
}

// TestWriterOfConfigMaps is somebody who may write all ConfigMaps, hubship's
// own included, and tries to have inputs believed that nobody proved.
func TestWriterOfConfigMaps(t *testing.T) {
	for _, attack := range []struct {
		name   string
		do     func(p place)
		reason attest.Reason // that a record is refused for
	}{
		{"writes one by hand", func(p place) {
			cm := p.maps("evidence")[0]
			cm.Name += "0"
			cm.Data = map[string]string{"envelope.json": strings.ReplaceAll(cm.Data["envelope.json"], `"sig":"`, `"sig":"AA`)}
			p.write("one", cm)
		}, attest.BadSignature},
		{"leaves the signature out", func(p place) {
			cm := p.maps("evidence")[0]
			cm.Name += "0"
			cm.Data = map[string]string{"envelope.json": `{"payloadType":"application/vnd.in-toto+json","payload":"AAAA","signatures":[]}`}
			p.write("one", cm)
		}, attest.BadSignature},
		{"signs with a key of its own", func(p place) {
			e := attest.Evidence{Evidence: passedEvidence(p.target, "bad"), Namespace: p.target.Namespace, Release: p.target.Release, Sequence: 2, Recorded: time.Now()}
			e.Evidence.Cluster = "uid-of-one"
			raw, err := e.Seal(keysIn(p.t))
			p.must(err)
			cm := p.maps("evidence")[0]
			cm.Name += "0"
			cm.Data = map[string]string{"envelope.json": string(raw)}
			p.write("one", cm)
		}, attest.BadSignature},
		{"passes off a standing", func(p place) {
			cm := p.maps("evidence")[0]
			cm.Name += "0"
			cm.Data = p.maps("standing")[0].Data
			p.write("one", cm)
		}, attest.WrongType},
		{"copies from another hub", func(p place) { copyFrom(p, "one", func(t *model.Target) { t.Hub, t.Namespace = "other", "other" }) }, attest.WrongHub},
		{"copies from another environment", func(p place) {
			copyFrom(p, "one", func(t *model.Target) { t.Environment, t.Namespace = "prod", "data8-prod" })
		}, attest.WrongEnv},
		{"copies from another namespace", func(p place) { copyFrom(p, "one", func(t *model.Target) { t.Namespace = "other" }) }, attest.WrongRelease},
		{"copies from another cluster", func(p place) { copyFrom(p, "two", func(*model.Target) {}) }, attest.WrongCluster},
		{"as an earlier hubship kept it", func(p place) {
			raw, err := json.Marshal(passedEvidence(p.target, "bad"))
			p.must(err)
			p.write("one", corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "hubship-evidence-data8-staging-20261129-120000.000000000-00000000", Namespace: p.target.Namespace,
				Labels: map[string]string{"app.kubernetes.io/managed-by": "hubship", "hubship.io/kind": "evidence", "hubship.io/release": "data8-staging"}},
				Data: map[string]string{"record.json": string(raw)}})
		}, attest.BadSignature},
	} {
		t.Run(attack.name, func(t *testing.T) {
			p := newPlace(t)
			p.record("1")
			attack.do(p)
			if p.believed(p.target, "bad") {
				t.Error("what nobody proved is believed")
			}
			if found := p.refusals(); !slices.Contains(reasons(found), string(attack.reason)) {
				t.Errorf("refused: %v, want one for its %s", found, attack.reason)
			}
			// It never stands in the way of what is genuine.
			if !p.believed(p.target, "1") {
				t.Error("the genuine record beside it is not believed")
			}
			p.record("2")
			if !p.believed(p.target, "2") {
				t.Error("a newer genuine record is not believed")
			}
		})
	}
}

func reasons(found map[string]string) []string {
	var all []string
	for _, r := range found {
		all = append(all, r)
	}
	return all
}

// copyFrom puts genuine evidence for the inputs "bad" of another release among
// the records of this one.
func copyFrom(p place, from string, change func(*model.Target)) {
	there := p.target
	there.Cluster = from
	change(&there)
	p.must(p.Record(p.t.Context(), model.Cluster{Name: from}, there, passedEvidence(there, "bad")))
	list, err := p.all[from].Client.CoreV1().ConfigMaps(cluster.OwnNamespace).List(p.t.Context(), metav1.ListOptions{
		LabelSelector: "hubship.io/kind=evidence,hubship.io/hub=" + there.Hub + ",hubship.io/environment=" + there.Environment + ",hubship.io/namespace=" + there.Namespace})
	p.must(err)
	own := p.maps("evidence")
	i := slices.IndexFunc(own, func(cm corev1.ConfigMap) bool {
		return cm.Labels["hubship.io/namespace"] == p.target.Namespace && cm.Labels["hubship.io/hub"] == p.target.Hub
	})
	cm := own[i]
	cm.Name += "0"
	cm.Data = list.Items[0].Data
	p.write("one", cm)
}

// A halt stands until it is cleared, and what it voided stays so, whatever is
// removed, replaced or brought back.
func TestHaltOutlivesItsRecords(t *testing.T) {
	p := newPlace(t)
	p.record("1")
	before := append(p.maps("standing"), p.maps("evidence")...)
	p.halt("1")
	for name, attack := range map[string]func(){
		"nothing": func() {},
		"everything removed": func() {
			for _, cm := range append(p.maps("standing"), p.maps("evidence")...) {
				p.must(p.all["one"].Client.CoreV1().ConfigMaps(cm.Namespace).Delete(t.Context(), cm.Name, metav1.DeleteOptions{}))
			}
		},
		"as it was before": func() {
			for _, cm := range before {
				p.write("one", cm)
			}
		},
		"spoiled": func() {
			cm := p.maps("standing")[0]
			cm.Data = map[string]string{"envelope.json": "{}"}
			p.write("one", cm)
		},
	} {
		attack()
		if !p.halted() || p.believed(p.target, "1") {
			t.Errorf("%s: halted %v, believed %v", name, p.halted(), p.believed(p.target, "1"))
		}
	}
	p.must(p.Clear(t.Context(), p.c, p.target))
	for _, cm := range before { // after the halt is over, the old evidence again
		p.write("one", cm)
	}
	if p.halted() || p.believed(p.target, "1") {
		t.Errorf("after the halt: halted %v, the evidence from before it is believed %v", p.halted(), p.believed(p.target, "1"))
	}
	if found := p.refusals(); !slices.Contains(reasons(found), string(attest.Voided)) {
		t.Errorf("refused: %v", found)
	}
	p.record("1")
	if !p.believed(p.target, "1") {
		t.Error("the same inputs, verified anew, do not count")
	}
}

func TestTheDatabaseIsLost(t *testing.T) {
	p := newPlace(t)
	p.record("1")
	p.record("2")
	p.halt("1")
	clear(p.db)
	if !p.halted() || p.believed(p.target, "1") || !p.believed(p.target, "2") {
		t.Error("the cluster alone does not remember")
	}
	p.must(p.Clear(t.Context(), p.c, p.target))
	p.record("3")
	if p.halted() || p.believed(p.target, "1") || !p.believed(p.target, "3") {
		t.Error("after the database was lost nothing goes on")
	}
}

// A halt that an earlier hubship left stands, until the release has a standing
// of its own.
func TestUnsignedHalt(t *testing.T) {
	for _, data := range []string{`{"hub":"data8","environment":"staging","reason":"it fell over","inputs":"i"}`, `{`, `{"hub":"other"}`} {
		p := newPlace(t)
		p.write("one", corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "hubship-halt-data8-staging", Namespace: p.target.Namespace}, Data: map[string]string{"record.json": data}})
		if !p.halted() {
			t.Errorf("%s: not halted", data)
		}
		p.must(p.Clear(t.Context(), p.c, p.target))
		if p.halted() {
			t.Errorf("%s: still halted after it was cleared", data)
		}
	}
}

// What cannot be read is an error, and never an answer.
func TestUnknownIsNoAnswer(t *testing.T) {
	broken := errors.New("the API server does not answer")
	for _, resource := range []string{"namespaces", "configmaps"} {
		p := newPlace(t)
		p.record("1")
		p.all["one"].Client.(*fake.Clientset).PrependReactor("*", resource, func(k8stesting.Action) (bool, runtime.Object, error) { return true, nil, broken })
		unknown(t, p, resource)
	}
	p := newPlace(t)
	p.record("1")
	p.Store = evidence.New(p.all, p.keys, lost{}, evidence.Timing{})
	unknown(t, p, "the database")
	p.Store = evidence.New(p.all, noKeys{}, p.db, evidence.Timing{})
	unknown(t, p, "the keys")
}

func unknown(t *testing.T, p place, what string) {
	t.Helper()
	ctx := t.Context()
	_, ok, err := p.Evidence(ctx, p.c, p.target, "1")
	_, halted, herr := p.Halted(ctx, p.c, p.target)
	_, latest, lerr := p.Latest(ctx, p.c, p.target)
	_, rerr := p.Records(ctx, p.c, p.target)
	if ok || halted || latest || err == nil || herr == nil || lerr == nil || rerr == nil {
		t.Errorf("without %s: %v %v, %v %v, %v %v, %v", what, ok, err, halted, herr, latest, lerr, rerr)
	}
	if err := p.Record(ctx, p.c, p.target, passedEvidence(p.target, "2")); err == nil {
		t.Errorf("without %s evidence was recorded", what)
	}
	if err := p.Halt(ctx, p.c, p.target, model.Halt{Hub: "data8", Environment: "staging"}); err == nil {
		t.Errorf("without %s a halt was stored", what)
	}
}

type lost struct{}

func (lost) Standing(context.Context, string) ([]byte, bool, error) {
	return nil, false, errors.New("the database is locked")
}

func (lost) SetStanding(context.Context, string, int64, []byte) (bool, error) {
	return false, errors.New("the database is locked")
}

type noKeys struct{}

func (noKeys) Newest() (attest.Private, error) {
	return attest.Private{}, errors.New("the folder cannot be read")
}

func (noKeys) Public() ([]attest.Public, error) { return nil, errors.New("the folder cannot be read") }

// Stopped between its two places, a change errs on the safe side, and doing it
// again brings both into line.
func TestStoppedHalfWay(t *testing.T) {
	p := newPlace(t)
	p.record("1")
	down := true
	p.all["one"].Client.(*fake.Clientset).PrependReactor("update", "configmaps", func(k8stesting.Action) (bool, runtime.Object, error) {
		return down, nil, errors.New("the API server went away")
	})
	h := model.Halt{Hub: "data8", Environment: "staging", Shared: "1", Reason: "x", Since: time.Now()}
	if err := p.Halt(t.Context(), p.c, p.target, h); err == nil {
		t.Fatal("half a halt is no error")
	}
	if !p.halted() || p.believed(p.target, "1") {
		t.Error("half a halt does not hold")
	}
	down = false
	p.must(p.Halt(t.Context(), p.c, p.target, h))
	down = true
	if err := p.Clear(t.Context(), p.c, p.target); err == nil {
		t.Fatal("half a clearing is no error")
	}
	if !p.halted() {
		t.Error("half a clearing clears")
	}
	down = false
	p.must(p.Clear(t.Context(), p.c, p.target))
	if p.halted() {
		t.Error("it cannot be cleared any more")
	}
}
