package helm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"helm.sh/helm/v4/pkg/action"
	rcommon "helm.sh/helm/v4/pkg/release/common"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/hubship/hubship/internal/cluster"
	"github.com/hubship/hubship/internal/cluster/clustertest"
	"github.com/hubship/hubship/internal/model"
)

// world is a release in a namespace of its own in a real cluster.
type world struct {
	t       testing.TB
	r       *Releases
	set     *cluster.Set
	conn    *cluster.Conn
	cluster model.Cluster
	target  model.Target

	mu  sync.Mutex
	log []string
}

func newWorld(t testing.TB, change func(*Options)) *world {
	t.Helper()
	c := clustertest.Cluster(t)
	sideBySideWithOthers(t)
	set := cluster.New(cluster.Options{})
	conn, err := set.Conn(c)
	if err != nil {
		t.Fatal(err)
	}
	opts := Options{Clusters: set, Decrypt: plain, Timeout: time.Minute}
	if change != nil {
		change(&opts)
	}
	r, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	return &world{t: t, r: r, set: set, conn: conn, cluster: c, target: clustertest.Target(t, set, c, "data8-staging")}
}

var parallel sync.Map // tests that run beside others already

// sideBySideWithOthers lets tests that mostly wait do so together.
func sideBySideWithOthers(t testing.TB) {
	if tt, ok := t.(*testing.T); ok {
		if _, again := parallel.LoadOrStore(tt, true); !again {
			tt.Parallel()
		}
	}
}

// upgrade is what the deployment repository with these changes wants; the
// inputs are their digest as far as the tests care.
func (w *world) upgrade(inputs string, changes map[string]string) model.Upgrade {
	return w.upgradeTree(inputs, repository(w.t, changes))
}

func (w *world) upgradeTree(inputs string, tree fs.FS) model.Upgrade {
	u := wanted(tree)
	u.Desired.Target, u.Desired.Commit, u.Inputs, u.Run = w.target, "commit-of-"+inputs, inputs, "run-"+inputs
	u.Log = func(level model.Level, text string) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.log = append(w.log, string(level)+" "+text)
	}
	return u
}

func (w *world) logged() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.log, "\n")
}

func (w *world) must(u model.Upgrade) model.Observed {
	w.t.Helper()
	obs, err := w.r.Upgrade(context.Background(), w.cluster, u)
	if err != nil {
		var failed *model.UpgradeError
		if errors.As(err, &failed) {
			w.t.Log(failed.Log)
		}
		w.t.Fatalf("upgrade to %s: %v\n%s", u.Inputs, err, w.logged())
	}
	return obs
}

// fails upgrades and returns the error that it must give.
func (w *world) fails(u model.Upgrade) *model.UpgradeError {
	w.t.Helper()
	_, err := w.r.Upgrade(context.Background(), w.cluster, u)
	var failed *model.UpgradeError
	if !errors.As(err, &failed) {
		w.t.Fatalf("upgrade to %s: %v, want an UpgradeError\n%s", u.Inputs, err, w.logged())
	}
	return failed
}

func (w *world) observe() model.Observed {
	w.t.Helper()
	obs, err := w.r.Observe(context.Background(), w.cluster, w.target)
	if err != nil {
		w.t.Fatal(err)
	}
	return obs
}

func (w *world) configMap(name string) (*corev1.ConfigMap, error) {
	return w.conn.Client.CoreV1().ConfigMaps(w.target.Namespace).Get(context.Background(), w.target.Release+"-"+name, metav1.GetOptions{})
}

func (w *world) greeting() string {
	w.t.Helper()
	cm, err := w.configMap("config")
	if err != nil {
		w.t.Fatal(err)
	}
	return cm.Data["greeting"]
}

func greet(s string) map[string]string {
	return map[string]string{"config/staging.yaml": "greeting: " + s + "\n"}
}

func (w *world) expect(obs model.Observed, status model.HelmStatus, revision, good int, inputs string) {
	w.t.Helper()
	if obs.Status != status || obs.Revision != revision || obs.Good != good || obs.Inputs != inputs {
		w.t.Errorf("observed %s revision %d good %d inputs %q, want %s %d %d %q\n%s",
			obs.Status, obs.Revision, obs.Good, obs.Inputs, status, revision, good, inputs, w.logged())
	}
}

func TestInstallUpgradeNothing(t *testing.T) {
	w := newWorld(t, nil)
	if obs := w.observe(); obs.Status != model.Absent || obs.Ready {
		t.Errorf("before: %+v", obs)
	}
	w.expect(w.must(w.upgrade("1", greet("one"))), model.Deployed, 1, 1, "1")
	obs := w.observe()
	w.expect(obs, model.Deployed, 1, 1, "1")
	if !obs.Ready || obs.Commit != "commit-of-1" || obs.Chart != "hub-1.2.3" || time.Since(obs.Updated) > time.Minute {
		t.Errorf("observed %+v", obs)
	}
	secret := func() string {
		s, err := w.conn.Client.CoreV1().Secrets(w.target.Namespace).Get(t.Context(), w.target.Release+"-secret", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return string(s.Data["generated"])
	}
	generated := secret()
	// A record that claims these inputs already may be anybody's: they are
	// applied all the same.
	w.expect(w.must(w.upgrade("1", greet("again"))), model.Deployed, 2, 2, "1")
	if got := w.greeting(); got != "again" {
		t.Errorf("the record was believed: %q", got)
	}
	w.expect(w.must(w.upgrade("2", greet("two"))), model.Deployed, 3, 3, "2")
	if got := w.greeting(); got != "two" {
		t.Errorf("greeting %q", got)
	}
	if secret() != generated {
		t.Error("lookup did not find the secret that was generated before")
	}
}

func TestFailureBeforeAnythingIsApplied(t *testing.T) {
	w := newWorld(t, nil)
	w.must(w.upgrade("1", greet("one")))
	changes := greet("two")
	changes["hub/templates/bad.yaml"] = `{{ fail (printf "no %s" .Values.token) }}`
	_, err := w.r.Upgrade(t.Context(), w.cluster, w.upgrade("2", changes))
	var failed *model.UpgradeError
	if err == nil || errors.As(err, &failed) || !strings.Contains(err.Error(), w.target.String()) || strings.Contains(err.Error(), "decrypted-token-1") {
		t.Errorf("error %v", err)
	}
	w.expect(w.observe(), model.Deployed, 1, 1, "1")
}

func TestUnknownFieldIsRefusedByTheServer(t *testing.T) {
	w := newWorld(t, nil)
	w.must(w.upgrade("1", greet("one")))
	changes := greet("two")
	changes["hub/templates/zz.yaml"] = "apiVersion: v1\nkind: Service\nmetadata: {name: bogus}\nspec: {bogusField: 1, ports: [{port: 80}]}\n"
	failed := w.fails(w.upgrade("2", changes))
	if !strings.Contains(failed.Error(), "bogusField") || failed.RolledBackTo != 1 || failed.RollbackErr != nil {
		t.Errorf("%v, rolled back to %d, %v", failed, failed.RolledBackTo, failed.RollbackErr)
	}
	obs := w.observe()
	w.expect(obs, model.Deployed, 3, 3, "1")
	if obs.Commit != "commit-of-1" || w.greeting() != "one" {
		t.Errorf("after the rollback: commit %s, greeting %q", obs.Commit, w.greeting())
	}
}

func TestConflictNamesObjectAndManager(t *testing.T) {
	w := newWorld(t, nil)
	w.must(w.upgrade("1", greet("one")))
	force := true
	patch := fmt.Sprintf(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"%s-config"},"data":{"greeting":"by hand"}}`, w.target.Release)
	_, err := w.conn.Client.CoreV1().ConfigMaps(w.target.Namespace).Patch(t.Context(), w.target.Release+"-config", types.ApplyPatchType,
		[]byte(patch), metav1.PatchOptions{FieldManager: "somebody", Force: &force})
	if err != nil {
		t.Fatal(err)
	}
	failed := w.fails(w.upgrade("2", greet("two")))
	for _, s := range []string{"somebody", "data8-staging-config", "greeting"} {
		if !strings.Contains(failed.Error(), s) {
			t.Errorf("the error does not name %q: %v", s, failed)
		}
	}
	if model.HintOf(failed.Err) == "" {
		t.Error("no hint")
	}
}

func TestSameInputsAfterAHandMadeUpgrade(t *testing.T) {
	w := newWorld(t, nil)
	w.must(w.upgrade("1", greet("one")))
	// As Helm's command line does it: labels are carried over.
	cfg, err := w.r.configure(t.Context(), w.conn, w.target)
	if err != nil {
		t.Fatal(err)
	}
	cfg.kube.timeout = time.Minute
	ch, _, err := w.r.charts.load(t.Context(), repository(t, nil), "", "hub", nil, true)
	if err != nil {
		t.Fatal(err)
	}
	up := action.NewUpgrade(cfg.Configuration)
	up.Namespace, up.ServerSideApply, up.WaitStrategy = w.target.Namespace, "true", "watcher"
	if _, err := up.Run(w.target.Release, ch, map[string]any{"greeting": "by hand"}); err != nil {
		t.Fatal(err)
	}
	w.expect(w.observe(), model.Deployed, 2, 2, "")
	w.expect(w.must(w.upgrade("1", greet("one"))), model.Deployed, 3, 3, "1")
	if got := w.greeting(); got != "one" {
		t.Errorf("greeting %q", got)
	}
}

func TestRollback(t *testing.T) {
	w := newWorld(t, nil)
	ctx := context.Background()
	if _, err := w.r.Rollback(ctx, w.cluster, w.target, 0, "r", "x", nil); err == nil || model.HintOf(err) == "" {
		t.Errorf("a release that does not exist: %v", err)
	}
	for _, s := range []string{"1", "2", "3"} {
		w.must(w.upgrade(s, greet("is-"+s)))
	}
	for range 2 { // a resumed run does it once
		obs, err := w.r.Rollback(ctx, w.cluster, w.target, 0, "run-r", "verification failed", nil)
		if err != nil {
			t.Fatal(err)
		}
		w.expect(obs, model.Deployed, 4, 4, "2")
		if obs.Commit != "commit-of-2" || !obs.Ready || w.greeting() != "is-2" {
			t.Errorf("%+v, greeting %q", obs, w.greeting())
		}
	}
	obs, err := w.r.Rollback(ctx, w.cluster, w.target, 0, "another run", "again", nil)
	if err != nil {
		t.Fatal(err)
	}
	w.expect(obs, model.Deployed, 5, 5, "1") // past 3, which was rolled away from
	obs, err = w.r.Rollback(ctx, w.cluster, w.target, 3, "third run", "by hand", nil)
	if err != nil {
		t.Fatal(err)
	}
	w.expect(obs, model.Deployed, 6, 6, "3")
	cfg, err := w.r.configure(ctx, w.conn, w.target)
	if err != nil {
		t.Fatal(err)
	}
	rec, err := record(cfg, w.target.Release, 4)
	if err != nil || rec.Info.Description != "Rollback to 2: verification failed" || rec.Info.Status != rcommon.StatusSuperseded {
		t.Errorf("record 4: %+v, %v", rec.Info, err)
	}
}

func TestHistoryIsBounded(t *testing.T) {
	w := newWorld(t, nil)
	for i := range 13 {
		w.must(w.upgrade(strconv.Itoa(i), greet("is-"+strconv.Itoa(i))))
	}
	found, err := heads(t.Context(), w.conn, w.target)
	if err != nil || len(found) != maxHistory || found[0].revision != 13 {
		t.Errorf("%d records, %v", len(found), err)
	}
}

// left writes a record of an operation that never finished.
func (w *world) left(status rcommon.Status, byHubship bool, age time.Duration) {
	w.t.Helper()
	cfg, err := w.r.configure(context.Background(), w.conn, w.target)
	if err != nil {
		w.t.Fatal(err)
	}
	records, err := history(cfg, w.target.Release)
	if err != nil {
		w.t.Fatal(err)
	}
	rec := *records[0]
	info := *rec.Info
	rec.Info = &info
	rec.Version++
	rec.Info.Status, rec.Info.LastDeployed, rec.Info.Description = status, time.Now().Add(-age), "Preparing upgrade"
	rec.Labels = map[string]string{labelInputs: "left"}
	if byHubship {
		rec.Labels[labelRevision] = strconv.Itoa(rec.Version)
	}
	if err := cfg.Releases.Create(&rec); err != nil {
		w.t.Fatal(err)
	}
}

func TestPendingIsRecovered(t *testing.T) {
	for _, status := range []rcommon.Status{rcommon.StatusPendingUpgrade, rcommon.StatusPendingRollback} {
		t.Run(string(status), func(t *testing.T) {
			w := newWorld(t, nil)
			w.must(w.upgrade("1", greet("one")))
			w.left(status, true, 0)
			w.expect(w.observe(), model.HelmStatus(status), 2, 1, "left")
			w.expect(w.must(w.upgrade("2", greet("two"))), model.Deployed, 3, 3, "2")
			if !strings.Contains(w.logged(), "was left "+string(status)) {
				t.Errorf("the log does not say so: %s", w.logged())
			}
		})
	}
	t.Run("rollback", func(t *testing.T) {
		w := newWorld(t, nil)
		w.must(w.upgrade("1", greet("one")))
		w.left(rcommon.StatusPendingUpgrade, true, 0)
		obs, err := w.r.Rollback(t.Context(), w.cluster, w.target, 0, "r", "x", nil)
		if err != nil {
			t.Fatal(err)
		}
		w.expect(obs, model.Deployed, 3, 3, "1")
	})
	t.Run("somebody else's, old", func(t *testing.T) {
		w := newWorld(t, nil)
		w.must(w.upgrade("1", greet("one")))
		w.left(rcommon.StatusPendingUpgrade, false, time.Hour)
		w.expect(w.must(w.upgrade("2", greet("two"))), model.Deployed, 3, 3, "2")
	})
	t.Run("somebody else's, under way", func(t *testing.T) {
		w := newWorld(t, nil)
		w.must(w.upgrade("1", greet("one")))
		w.left(rcommon.StatusPendingUpgrade, false, 0)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		_, err := w.r.Upgrade(ctx, w.cluster, w.upgrade("2", greet("two")))
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(w.logged(), "somebody else") {
			t.Errorf("error %v, log %s", err, w.logged())
		}
		w.expect(w.observe(), model.PendingUpgrade, 2, 1, "")
	})
}

// never is a Deployment that no node can ever run.
func never(extra string) map[string]string {
	changes := greet("never")
	changes["hub/templates/never.yaml"] = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: never}\nspec:\n  selector: {matchLabels: {a: b}}\n  template:\n" +
		"    metadata: {labels: {a: b}}\n    spec: {nodeSelector: {no: node}, containers: [{name: c, image: none}]}\n" + extra
	return changes
}

const leftover = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: leftover}\n"

func (w *world) leftoverExists() bool {
	_, err := w.conn.Client.CoreV1().ConfigMaps(w.target.Namespace).Get(context.Background(), "leftover", metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		w.t.Fatal(err)
	}
	return err == nil
}

func TestNotReadyInTimeIsRolledBack(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Timeout = 3 * time.Second })
	w.must(w.upgrade("1", greet("one")))
	failed := w.fails(w.upgrade("2", never(leftover)))
	if failed.RolledBackTo != 1 || failed.RollbackErr != nil || !strings.Contains(failed.Error(), "Deployment never") || !strings.Contains(failed.Error(), "not ready after 3s") {
		t.Errorf("%v, rolled back to %d, %v", failed, failed.RolledBackTo, failed.RollbackErr)
	}
	if !strings.Contains(failed.Log, "Deployment never") {
		t.Errorf("log: %s", failed.Log)
	}
	w.expect(w.observe(), model.Deployed, 3, 3, "1")
	if w.greeting() != "one" || w.leftoverExists() {
		t.Errorf("not rolled back: greeting %q, leftover %v", w.greeting(), w.leftoverExists())
	}
}

func TestFirstInstallThatFails(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Timeout = 2 * time.Second })
	for range 2 {
		failed := w.fails(w.upgrade("1", never(leftover)))
		if failed.RolledBackTo != 0 || failed.RollbackErr != nil {
			t.Errorf("rolled back to %d, %v", failed.RolledBackTo, failed.RollbackErr)
		}
	}
	obs := w.observe()
	w.expect(obs, model.Failed, 2, 0, "1")
	if obs.Ready {
		t.Error("a release that never was good is ready")
	}
	w.expect(w.must(w.upgrade("2", greet("two"))), model.Deployed, 3, 3, "2")
	if w.leftoverExists() {
		t.Error("remains of the failed attempts are still there")
	}
}

func TestCancelStopsAtOnce(t *testing.T) {
	w := newWorld(t, nil)
	w.must(w.upgrade("1", greet("one")))
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("superseded by a newer push")
	time.AfterFunc(2*time.Second, func() { cancel(cause) })
	began := time.Now()
	_, err := w.r.Upgrade(ctx, w.cluster, w.upgrade("2", never(leftover)))
	if took := time.Since(began); took > 8*time.Second || took < 2*time.Second {
		t.Errorf("ended after %s", took)
	}
	var failed *model.UpgradeError
	if !errors.Is(err, cause) || errors.As(err, &failed) {
		t.Errorf("error %v", err)
	}
	obs := w.observe()
	w.expect(obs, model.Failed, 2, 1, "2")
	w.expect(w.must(w.upgrade("3", greet("three"))), model.Deployed, 3, 3, "3")
	if w.leftoverExists() {
		t.Error("remains of the cancelled attempt are still there")
	}
}

func TestTenReleasesAtOnce(t *testing.T) {
	w := newWorld(t, nil)
	tree := repository(t, nil)
	for round := range 2 {
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() {
				u := w.upgradeTree(fmt.Sprintf("%d-%d", round, i), tree)
				u.Desired.Commit = fmt.Sprint("round-", round) // all of one loaded chart
				u.Desired.Target.Release = fmt.Sprintf("hub%d", i)
				obs, err := w.r.Upgrade(context.Background(), w.cluster, u)
				if err != nil || obs.Revision != round+1 || !obs.Ready {
					t.Errorf("release %d: revision %d, %v", i, obs.Revision, err)
				}
			})
		}
		wg.Wait()
	}
}

// What a chart looks up in the cluster it finds there: a secret that it drew
// stays as it is.
func TestUpgradeFindsWhatIsThere(t *testing.T) {
	w := newWorld(t, nil)
	w.must(w.upgrade("1", greet("one")))
	w.must(w.upgrade("2", greet("one")))
	cfg, err := w.r.configure(t.Context(), w.conn, w.target)
	if err != nil {
		t.Fatal(err)
	}
	var manifests []string
	for revision := range 2 {
		rec, err := record(cfg, w.target.Release, revision+1)
		if err != nil {
			t.Fatal(err)
		}
		manifests = append(manifests, rec.Manifest)
	}
	if manifests[0] != manifests[1] || !strings.Contains(manifests[0], "greeting: \"one\"") {
		t.Errorf("first:\n%s\nsecond:\n%s", manifests[0], manifests[1])
	}
}
