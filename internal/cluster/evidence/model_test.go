package evidence_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	"pgregory.net/rapid"

	"github.com/hubship/hubship/internal/attest"
	"github.com/hubship/hubship/internal/cluster"
	"github.com/hubship/hubship/internal/cluster/evidence"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/store"
)

// clusters are API servers in memory, by name.
type clusters map[string]*cluster.Conn

func (c clusters) Conn(m model.Cluster) (*cluster.Conn, error) {
	conn, ok := c[m.Name]
	if !ok {
		return nil, fmt.Errorf("no cluster %s", m.Name)
	}
	return conn, nil
}

func newClusters(names ...string) clusters {
	all := clusters{}
	for _, name := range names {
		system := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kube-system", UID: types.UID("uid-of-" + name)}}
		all[name] = &cluster.Conn{Name: name, Client: fake.NewClientset(system)}
	}
	return all
}

// memory is the database in memory; a test may take it back.
type memory map[string]kept

type kept struct {
	generation int64
	envelope   []byte
}

func (m memory) Standing(_ context.Context, key string) ([]byte, bool, error) {
	k, ok := m[key]
	return k.envelope, ok, nil
}

func (m memory) SetStanding(_ context.Context, key string, generation int64, envelope []byte) (bool, error) {
	if k, ok := m[key]; ok && k.generation >= generation {
		return false, nil
	}
	m[key] = kept{generation, slices.Clone(envelope)}
	return true, nil
}

func keysIn(t testing.TB) *attest.Folder {
	t.Helper()
	keys, err := attest.OpenFolder(filepath.Join(t.TempDir(), "keys"))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// happened is one thing that hubship did to a release: the independent model
// of what has to hold is the list of them.
type happened struct {
	kind   string // record, halt, clear
	shared string
	run    string
	key    string // that signed it
}

type release struct {
	cluster model.Cluster
	target  model.Target
	log     []happened
}

// counting says whether the record of a run ought to count.
func (r release) counting(run string, removed map[string]bool) bool {
	for i, h := range r.log {
		if h.kind != "record" || h.run != run {
			continue
		}
		later := 0
		for _, after := range r.log[i+1:] {
			if after.shared == h.shared && after.kind != "clear" {
				return false
			}
			if after.kind == "record" {
				later++
			}
		}
		return later < attest.KeepEvidence && !removed[h.key]
	}
	return false
}

func (r release) newest(shared string) (happened, bool) {
	for _, h := range slices.Backward(r.log) {
		if h.shared == shared && h.kind == "record" {
			return h, true
		}
	}
	return happened{}, false
}

func (r release) halted() bool {
	for _, h := range slices.Backward(r.log) {
		if h.kind != "record" {
			return h.kind == "halt"
		}
	}
	return false
}

// TestStoreAgainstItsModel lets hubship, and somebody who may write every
// ConfigMap of the clusters, or an operator who loses or restores the
// database, do whatever they can in any order. Nothing that should not count is
// ever believed, and no halt goes away; and as long as nobody but hubship
// wrote, exactly what should count is believed.
func TestStoreAgainstItsModel(t *testing.T) {
	own := t
	rapid.Check(t, func(t *rapid.T) {
		ctx := own.Context()
		all := newClusters("one", "two")
		db := memory{}
		keys := keysIn(own)
		l := evidence.New(all, keys, db, evidence.Timing{})
		releases := []*release{
			{cluster: model.Cluster{Name: "one"}, target: model.Target{Hub: "data", Environment: "staging", Cluster: "one", Namespace: "data-staging", Release: "data"}},
			{cluster: model.Cluster{Name: "one"}, target: model.Target{Hub: "data", Environment: "prod", Cluster: "one", Namespace: "data-prod", Release: "data"}},
			{cluster: model.Cluster{Name: "two"}, target: model.Target{Hub: "data", Environment: "staging", Cluster: "two", Namespace: "data-staging", Release: "data"}},
		}
		removed := map[string]bool{}
		clean := true
		victim := rapid.SampledFrom([]string{"cluster", "database", "nobody"}).Draw(t, "victim")
		var seen []corev1.ConfigMap   // every one that was ever there
		var backups []map[string]kept // of the database
		shareds := []string{"a", "b"}

		for step := range rapid.IntRange(1, 16).Draw(t, "steps") {
			r := rapid.SampledFrom(releases).Draw(t, "release")
			shared := rapid.SampledFrom(shareds).Draw(t, "inputs")
			run := fmt.Sprint("run-", step)
			signer, err := keys.Newest()
			if err != nil {
				t.Fatal(err)
			}
			acts := []string{"record", "record", "halt", "clear", "rotate", "remove"}
			if victim != "nobody" {
				acts = append(acts, "attack", "attack", "attack")
			}
			act := rapid.SampledFrom(acts).Draw(t, "act")
			switch act {
			case "record":
				err = l.Record(ctx, r.cluster, r.target, model.Evidence{Hub: "data", Environment: r.target.Environment, Shared: shared, Run: run, Commit: "c",
					Verified: model.Verification{Passed: true, Finished: time.Now()}})
			case "halt":
				err = l.Halt(ctx, r.cluster, r.target, model.Halt{Hub: "data", Environment: r.target.Environment, Shared: shared, Run: run, Since: time.Now()})
			case "clear":
				err = l.Clear(ctx, r.cluster, r.target)
				shared = ""
			case "rotate":
				_, err = keys.Rotate()
			case "remove":
				old, kerr := keys.Public()
				if kerr != nil {
					t.Fatal(kerr)
				}
				if len(old) > 1 {
					gone, rerr := keys.Remove(old[len(old)-1].ID)
					removed[gone.ID], clean, err = true, false, rerr
				}
			case "attack":
				clean = false
				if victim == "database" {
					clear(db)
					if len(backups) > 0 && rapid.Bool().Draw(t, "restore") {
						for k, v := range rapid.SampledFrom(backups).Draw(t, "backup") {
							db[k] = v
						}
					}
				} else {
					tamper(own, t, all, seen)
				}
			}
			if err != nil {
				t.Fatalf("%s: %v", act, err)
			}
			if slices.Contains([]string{"record", "halt", "clear"}, act) {
				r.log = append(r.log, happened{act, shared, run, signer.ID})
			}
			backup := map[string]kept{}
			for k, v := range db {
				backup[k] = v
			}
			backups = append(backups, backup)
			for _, conn := range all {
				list, lerr := conn.Client.CoreV1().ConfigMaps("").List(ctx, metav1.ListOptions{})
				if lerr != nil {
					t.Fatal(lerr)
				}
				seen = append(seen, list.Items...)
			}

			for _, r := range releases {
				for _, shared := range shareds {
					ev, ok, err := l.Evidence(ctx, r.cluster, r.target, shared)
					if err != nil {
						t.Fatalf("evidence of %s: %v", r.target, err)
					}
					if ok && (ev.Shared != shared || ev.Environment != r.target.Environment || !r.counting(ev.Run, removed)) {
						t.Fatalf("%s on %s: the evidence of %s for %s is believed, after %v", r.target.Key(), r.cluster.Name, ev.Run, shared, r.log)
					}
					if h, there := r.newest(shared); clean && ok != (there && r.counting(h.run, removed)) {
						t.Fatalf("%s on %s: evidence for %s: %v, after %v", r.target.Key(), r.cluster.Name, shared, ok, r.log)
					}
				}
				_, halted, err := l.Halted(ctx, r.cluster, r.target)
				if err != nil {
					t.Fatal(err)
				}
				if r.halted() && !halted {
					t.Fatalf("%s on %s: the halt is gone, after %v", r.target.Key(), r.cluster.Name, r.log)
				}
				if clean && halted != r.halted() {
					t.Fatalf("%s on %s: halted %v, after %v", r.target.Key(), r.cluster.Name, halted, r.log)
				}
				if _, err := l.Records(ctx, r.cluster, r.target); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

// tamper does one thing that whoever writes ConfigMaps can do.
func tamper(own *testing.T, t *rapid.T, all clusters, seen []corev1.ConfigMap) {
	ctx := own.Context()
	conn := all[rapid.SampledFrom([]string{"one", "two"}).Draw(t, "on")]
	maps := conn.Client.CoreV1().ConfigMaps(cluster.OwnNamespace)
	list, err := maps.List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	put := func(cm corev1.ConfigMap) {
		cm.ResourceVersion, cm.UID, cm.Namespace = "", "", cluster.OwnNamespace
		_ = maps.Delete(ctx, cm.Name, metav1.DeleteOptions{})
		if _, err := maps.Create(ctx, &cm, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if len(seen) == 0 {
		return
	}
	old := rapid.SampledFrom(seen).Draw(t, "earlier")
	switch rapid.SampledFrom([]string{"delete", "replay", "copy", "spoil"}).Draw(t, "attack") {
	case "delete":
		if len(list.Items) > 0 {
			_ = maps.Delete(ctx, rapid.SampledFrom(list.Items).Draw(t, "gone").Name, metav1.DeleteOptions{})
		}
	case "replay": // as it was, here or on the other cluster
		put(*old.DeepCopy())
	case "copy": // what one says, under the name and the labels of another
		taken := rapid.SampledFrom(seen).Draw(t, "in place of")
		other := *taken.DeepCopy()
		other.Data = old.Data
		if rapid.Bool().Draw(t, "beside") {
			other.Name += "-x"
		}
		put(other)
	case "spoil":
		cm := *old.DeepCopy()
		raw := []byte(cm.Data["envelope.json"])
		if len(raw) > 0 {
			raw[rapid.IntRange(0, len(raw)-1).Draw(t, "at")] ^= 1
		}
		cm.Data = map[string]string{"envelope.json": string(raw)}
		put(cm)
	}
}

// The real database keeps a standing as the test's does.
var _ evidence.Memory = (*store.Store)(nil)
