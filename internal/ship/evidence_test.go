package ship_test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/hubship/hubship/internal/attest"
	"github.com/hubship/hubship/internal/cluster"
	"github.com/hubship/hubship/internal/cluster/evidence"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/plan"
	"github.com/hubship/hubship/internal/ship"
	"github.com/hubship/hubship/internal/store"
)

// one is an API server in memory that every cluster's name leads to.
type one struct{ conn *cluster.Conn }

func (o one) Conn(model.Cluster) (*cluster.Conn, error) { return o.conn, nil }

// signing gives the world the real store of evidence.
func (w *world) signing(t *testing.T) *fake.Clientset {
	t.Helper()
	api := fake.NewClientset(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kube-system", UID: types.UID("uid")}})
	keys, err := attest.OpenFolder(filepath.Join(t.TempDir(), "keys"))
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "standings.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	w.kept = evidence.New(one{&cluster.Conn{Name: "local", Client: api}}, keys, db, evidence.Timing{})
	return api
}

func ended(t *testing.T, e *ship.Engine, r model.Run) model.Run {
	t.Helper()
	settle(t, e)
	r, err := e.Run(t.Context(), r.ID)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// unsigned is evidence as a hubship before signatures kept it, and as whoever
// may write ConfigMaps in a hub's namespace can make it.
func unsigned(t *testing.T, api *fake.Clientset, hub, shared, commit string, images []model.Built) {
	t.Helper()
	raw, err := json.Marshal(model.Evidence{Hub: hub, Environment: "staging", Commit: commit, Shared: shared, Images: images, Verified: model.Verification{Passed: true}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = api.CoreV1().ConfigMaps(hub+"-staging").Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		Name: "hubship-evidence-" + hub + "-staging-1", Namespace: hub + "-staging",
		Labels: map[string]string{"app.kubernetes.io/managed-by": "hubship", "hubship.io/kind": "evidence", "hubship.io/release": hub + "-staging"},
	}, Data: map[string]string{"record.json": string(raw)}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

// What runs since before evidence was signed is verified anew, once, and prod
// waits for that.
func TestUnsignedEvidenceIsVerifiedAnew(t *testing.T) {
	w := newWorld()
	w.commit("staging", "first", map[string]string{"common": "1", "image/requirements.txt": "numpy==1\n"})
	w.branches["prod"] = w.branches["staging"]
	before := w.start(t, t.TempDir()) // its evidence is the world's: nothing of it is signed
	r, err := before.Start(t.Context(), model.RunRequest{Kind: model.Deploy, Environment: "staging"})
	if err != nil {
		t.Fatal(err)
	}
	if r = ended(t, before, r); r.State != model.Done {
		t.Fatalf("%s: %s", r.State, r.Reason)
	}
	api := w.signing(t)
	for _, hub := range []string{"bio", "data"} {
		for _, ev := range w.evidence[hub+"@staging"] {
			unsigned(t, api, hub, ev.Shared, ev.Commit, ev.Images)
			break
		}
	}
	verified, upgrades := len(w.verified), len(w.revisions("bio@staging"))

	e := w.start(t, t.TempDir())
	settle(t, e)
	for range 3 {
		e.Reconcile(t.Context())
		settle(t, e)
	}
	seen := map[string]int{}
	for _, v := range w.verified[verified:] {
		if v.Target.Environment == "prod" && seen[v.Target.Hub+"@staging"] == 0 {
			t.Errorf("%s went to prod before staging had verified it anew", v.Target.Hub)
		}
		seen[v.Target.Key()]++
	}
	for _, key := range []string{"bio@staging", "data@staging", "bio@prod", "data@prod"} {
		if seen[key] != 1 {
			t.Errorf("%s was verified %d times, want once: %v", key, seen[key], seen)
		}
	}
	if n := len(w.revisions("bio@staging")); n != upgrades+1 {
		t.Errorf("what was tested was not applied once: %d revisions after %d", n, upgrades)
	}
	if w.revisions("bio@prod") == nil {
		t.Error("prod has nothing, though staging is verified")
	}
	records, err := e.Evidence(t.Context(), "staging", "bio")
	if err != nil || len(records) != 2 || !records[0].Believed || records[1].Believed {
		t.Errorf("records: %+v, %v", records, err)
	}
}

// Somebody who may write ConfigMaps in the staging namespace says that a
// commit passed which nobody verified.
func TestForgedEvidencePromotesNothing(t *testing.T) {
	w := newWorld()
	first := w.commit("staging", "first", map[string]string{"common": "1", "image/requirements.txt": "numpy==1\n"})
	w.branches["prod"] = first
	api := w.signing(t)
	e := w.start(t, t.TempDir())
	settle(t, e)
	bad := w.commit("prod", "bad", map[string]string{"common": "bad"})
	fleet, err := w.Fleet(t.Context(), bad)
	if err != nil {
		t.Fatal(err)
	}
	wanted, err := w.Desired(t.Context(), fleet, "staging")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range wanted {
		unsigned(t, api, d.Target.Hub, d.Shared, bad, []model.Built{w.registry[d.Images[0].Hash]})
	}
	r, err := e.Start(t.Context(), model.RunRequest{Kind: model.Deploy, Environment: "prod", Rev: bad, Force: true})
	if err != nil {
		t.Fatal(err)
	}
	if r = ended(t, e, r); r.State != model.Refused || !strings.Contains(r.Reason, "refused: it is not signed") {
		t.Errorf("%s: %s", r.State, r.Reason)
	}
	for _, rev := range append(w.revisions("bio@prod"), w.revisions("data@prod")...) {
		if rev.commit == bad {
			t.Errorf("prod runs what nobody verified")
		}
	}
	st, err := e.Status(t.Context())
	if err != nil || len(st.Environments[0].Releases[0].Refused) != 1 {
		t.Errorf("the status does not say so: %+v, %v", st.Environments[0].Releases[0].Refused, err)
	}
}

// Whoever may write Secrets in the staging namespace writes a record of Helm's
// that claims the inputs of a change to come, so that hubship tests what ran
// before and takes it for the change. A verification that a person asks for
// proves nothing of it either.
func TestForgedRecordsOfHelmProveNothing(t *testing.T) {
	for name, kind := range map[string]model.RunKind{"a deploy": model.Deploy, "a verification": model.Verify} {
		t.Run(name, func(t *testing.T) {
			w, e := live(t, t.TempDir())
			bad := w.commit("staging", "bad", map[string]string{"common": "bad"})
			fleet, err := w.Fleet(t.Context(), bad)
			if err != nil {
				t.Fatal(err)
			}
			wanted, err := w.Desired(t.Context(), fleet, "staging")
			if err != nil {
				t.Fatal(err)
			}
			w.set(func() {
				for _, d := range wanted {
					forged := plan.Inputs(d, []model.Built{w.registry[d.Images[0].Hash]}, model.Resolved{})
					w.releases[d.Target.Key()] = append(w.releases[d.Target.Key()], record{forged, bad, model.Deployed})
				}
			})
			r, err := e.Start(t.Context(), model.RunRequest{Kind: kind, Environment: "staging"})
			if err != nil {
				t.Fatal(err)
			}
			if r = ended(t, e, r); r.State != model.Done {
				t.Fatalf("%s: %s", r.State, r.Reason)
			}
			applied := map[string]bool{}
			for _, u := range w.upgraded {
				applied[u.Desired.Target.Hub+u.Desired.Commit] = true
			}
			for _, d := range wanted {
				ev, ok, err := w.Evidence(t.Context(), model.Cluster{}, d.Target, d.Shared)
				if err != nil {
					t.Fatal(err)
				}
				if ok && !applied[d.Target.Hub+ev.Commit] {
					t.Errorf("%s: evidence of what staging never ran: %+v", d.Target, ev)
				}
			}
		})
	}
}

// Whoever may write Secrets in the staging namespace writes a record of Helm's
// that claims the commit of a change to come, or one from long ago: then the
// change would have added nothing that is to be imported, or what an old commit
// allowed to be destroyed could be destroyed once more.
func TestForgedRecordsOfHelmHideNoPackage(t *testing.T) {
	for name, claim := range map[string]func(first, bad string) string{
		"the change's commit": func(_, bad string) string { return bad },
		"an older commit":     func(first, _ string) string { return first },
	} {
		t.Run(name, func(t *testing.T) {
			w, e := live(t, t.TempDir())
			first := w.branches["prod"]
			passed := w.commit("staging", "next", map[string]string{"image/requirements.txt": "numpy==2\nemoji==2\n"})
			push(t, e, "staging", passed)
			w.set(func() { w.branches["change"] = passed })
			bad := w.commit("change", "bad", map[string]string{"image/requirements.txt": "numpy==2\nemoji==2\nbroken==1\n"})
			before := len(w.verified)
			w.set(func() {
				w.branches["staging"] = bad
				for _, key := range []string{"bio@staging", "data@staging"} {
					w.releases[key] = append(w.releases[key], record{"forged", claim(first, bad), model.Deployed})
				}
			})
			push(t, e, "staging", bad)
			for _, key := range []string{"bio@staging", "data@staging"} {
				if h := w.halts[key]; !strings.Contains(h.Reason, "import broken") {
					t.Errorf("%s: halted because of %q", key, h.Reason)
				}
			}
			for _, req := range w.verified[before:] {
				if len(req.Packages) != 1 || req.Packages[0].Name != "broken" {
					t.Errorf("%s: imported %v", req.Target, req.Packages)
				}
			}
			for _, u := range w.upgraded {
				if u.Desired.Commit == bad && u.Passed != passed {
					t.Errorf("%s: %s passed last, not %s", u.Desired.Target, passed, u.Passed)
				}
			}
		})
	}
}

// Between the plan of a run and the upgrade of one of its releases, staging is
// halted, the process names another place, or the commit leaves the branch.
func TestWhatWasPlannedIsAskedAgain(t *testing.T) {
	for name, change := range map[string]func(w *world){
		"staging is halted":         func(w *world) { w.halts["data@staging"] = model.Halt{Run: "r", Reason: "rolled back by hand"} },
		"evidence is gone":          func(w *world) { w.evidence["data@staging"] = nil },
		"prod lives elsewhere":      func(w *world) { w.environments[1].Namespace = "{hub}-live" },
		"the process is broken":     func(w *world) { w.broken = true },
		"the branch was wound back": func(w *world) { w.branches["prod"] = w.commits[0].id },
	} {
		t.Run(name, func(t *testing.T) {
			w, e := live(t, t.TempDir())
			push(t, e, "staging", w.commit("staging", "next", map[string]string{"common": "2"}))
			run := "" // that took the Lease of prod's release
			w.set(func() {
				w.locked = func(key, holder string) {
					if key == "data@prod" {
						change(w)
						w.locked, run = nil, holder
					}
				}
			})
			push(t, e, "prod", w.merge("prod", "staging"))
			r, err := e.Run(t.Context(), run)
			if err != nil {
				t.Fatal(err)
			}
			if r.State != model.Refused {
				t.Errorf("%s: %s", r.State, r.Reason)
			}
			w.set(func() {
				for _, u := range w.upgraded {
					if u.Run == r.ID && u.Desired.Target.Key() == "data@prod" {
						t.Error("prod was upgraded all the same")
					}
				}
				if h, ok := w.halts["data@prod"]; ok {
					t.Errorf("the change was blamed: %+v", h)
				}
			})
		})
	}
}
