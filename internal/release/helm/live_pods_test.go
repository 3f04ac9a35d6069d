package helm

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"helm.sh/helm/v4/pkg/action"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hubship/hubship/internal/cluster/clustertest"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/release/ready"
)

// running is a change that makes the chart's Deployment run a command.
func running(command string) map[string]string {
	return map[string]string{"config/staging.yaml": fmt.Sprintf("deployment: {enabled: true, command: %s}\n", command)}
}

const sleeping = `["sleep", "1000000"]`

// podWorld is a world in a cluster that runs pods.
func podWorld(t *testing.T, change func(*Options)) *world {
	t.Helper()
	w := newWorld(t, change)
	clustertest.Image(t)
	return w
}

// with returns the upgrade with the image that the nodes have.
func (w *world) with(inputs string, changes map[string]string) model.Upgrade {
	w.t.Helper()
	u := w.upgrade(inputs, changes)
	u.Images[0].Name, u.Images[0].Tag = clustertest.Image(w.t)
	u.Images[0].Digest = clustertest.Digest(w.t)
	return u
}

func (w *world) pods() int {
	w.t.Helper()
	list, err := w.conn.Client.CoreV1().Pods(w.target.Namespace).List(context.Background(), metav1.ListOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return len(list.Items)
}

func TestUpgradeWaitsForPods(t *testing.T) {
	w := podWorld(t, nil)
	obs := w.must(w.with("1", running(sleeping)))
	w.expect(obs, model.Deployed, 1, 1, "1")
	if got := w.observe(); !got.Ready || len(got.Waiting) != 0 {
		t.Errorf("not ready after the upgrade: %q", got.Waiting)
	}
	if !strings.Contains(w.logged(), "waiting for Deployment data8-staging") {
		t.Errorf("it did not say what it waits for: %s", w.logged())
	}
	if w.pods() != 1 {
		t.Errorf("%d pods", w.pods())
	}
}

func TestBadImage(t *testing.T) {
	w := podWorld(t, nil)
	w.must(w.with("1", running(sleeping)))
	u := w.with("2", running(sleeping))
	u.Images[0].Tag, u.Images[0].Digest = "there-is-no-such-tag", "sha256:"+strings.Repeat("0", 64)
	began := time.Now()
	failed := w.fails(u)
	took := time.Since(began)
	if failed.RolledBackTo != 1 || failed.RollbackErr != nil {
		t.Errorf("rolled back to %d, %v", failed.RolledBackTo, failed.RollbackErr)
	}
	for _, s := range []string{"Deployment data8-staging", "container main", "sha256:0000", "not found"} {
		if !strings.Contains(failed.Error(), s) {
			t.Errorf("the error does not say %q: %v", s, failed)
		}
	}
	if !strings.Contains(failed.Log, "event ") || !strings.Contains(failed.Log, "Failed") {
		t.Errorf("no events in the log:\n%s", failed.Log)
	}
	if took > 50*time.Second {
		t.Errorf("took %s; the timeout is %s", took, w.r.opts.Timeout)
	}
	obs := w.observe()
	w.expect(obs, model.Deployed, 3, 3, "1")
	if !obs.Ready {
		t.Errorf("after the rollback not ready: %q", obs.Waiting)
	}
	t.Logf("failed and rolled back in %s: %v", took, failed)
}

func TestCrashLoop(t *testing.T) {
	w := podWorld(t, func(o *Options) { o.Timeout = 3 * time.Minute; o.Limits = ready.Limits{Crash: 20 * time.Second} })
	w.must(w.with("1", running(sleeping)))
	failed := w.fails(w.with("2", running(`["sh", "-c", "echo the hub cannot start: decrypted-token-1; exit 3"]`)))
	if !strings.Contains(failed.Error(), "exit code 3") {
		t.Errorf("the error does not tell the exit code: %v", failed)
	}
	if !strings.Contains(failed.Log, "the hub cannot start") {
		t.Errorf("the container's last lines are missing:\n%s", failed.Log)
	}
	if strings.Contains(failed.Log, "decrypted-token-1") || strings.Contains(w.logged(), "decrypted-token-1") {
		t.Error("a secret reached the log")
	}
	w.expect(w.observe(), model.Deployed, 3, 3, "1")
}

func TestMissingConfigMap(t *testing.T) {
	w := podWorld(t, func(o *Options) { o.Limits = ready.Limits{Config: 3 * time.Second} })
	changes := running(sleeping)
	changes["hub/templates/pod.yaml"] = "apiVersion: v1\nkind: Pod\nmetadata: {name: bad}\nspec:\n  terminationGracePeriodSeconds: 0\n  containers: [{name: c, image: \"{{ .Values.deployment.image.name }}:{{ .Values.deployment.image.tag }}\", envFrom: [{configMapRef: {name: missing}}]}]\n"
	failed := w.fails(w.with("1", changes))
	if !strings.Contains(failed.Error(), "CreateContainerConfigError") || !strings.Contains(failed.Error(), `"missing" not found`) {
		t.Errorf("error %v", failed)
	}
}

func TestUnschedulable(t *testing.T) {
	w := podWorld(t, func(o *Options) { o.Limits = ready.Limits{Unschedulable: 4 * time.Second} })
	w.must(w.with("1", greet("one")))
	failed := w.fails(w.with("2", never("")))
	if !strings.Contains(failed.Error(), "is not scheduled") || failed.RolledBackTo != 1 {
		t.Errorf("error %v, rolled back to %d", failed, failed.RolledBackTo)
	}
}

func job(command string) string {
	return "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: migrate\n  annotations: {helm.sh/hook: \"pre-install,pre-upgrade\", helm.sh/hook-delete-policy: \"before-hook-creation,hook-succeeded\"}\nspec:\n" +
		"  backoffLimit: 0\n  template:\n    spec:\n      restartPolicy: Never\n      terminationGracePeriodSeconds: 0\n" +
		"      containers: [{name: c, image: \"{{ .Values.deployment.image.name }}:{{ .Values.deployment.image.tag }}\", command: " + command + "}]\n"
}

func TestHooks(t *testing.T) {
	w := podWorld(t, nil)
	changes := greet("one")
	changes["hub/templates/job.yaml"] = job(`["sh", "-c", "sleep 1"]`)
	w.must(w.with("1", changes))
	changes = greet("two")
	changes["hub/templates/job.yaml"] = job(`["sh", "-c", "echo migration went wrong; exit 1"]`)
	failed := w.fails(w.with("2", changes))
	if !strings.Contains(failed.Error(), "Job migrate") || !strings.Contains(failed.Log, "migration went wrong") {
		t.Errorf("error %v, log:\n%s", failed, failed.Log)
	}
	if failed.RolledBackTo != 1 || w.greeting() != "one" {
		t.Errorf("rolled back to %d, greeting %q", failed.RolledBackTo, w.greeting())
	}
	// An image puller that cannot pull holds up the job that waits for it.
	changes = greet("three")
	changes["hub/templates/puller.yaml"] = "apiVersion: apps/v1\nkind: DaemonSet\nmetadata:\n  name: puller\n  annotations: {helm.sh/hook: pre-upgrade, helm.sh/hook-weight: \"-10\", helm.sh/hook-delete-policy: \"before-hook-creation,hook-succeeded\"}\nspec:\n" +
		"  selector: {matchLabels: {p: p}}\n  template:\n    metadata: {labels: {p: p}}\n    spec: {terminationGracePeriodSeconds: 0, containers: [{name: pull, image: \"{{ .Values.deployment.image.name }}:no-such-tag\"}]}\n"
	changes["hub/templates/job.yaml"] = job(`["sleep", "1000"]`)
	failed = w.fails(w.with("3", changes))
	if !strings.Contains(failed.Error(), "DaemonSet puller") || !strings.Contains(failed.Error(), "not found") {
		t.Errorf("error %v", failed)
	}
}

func claiming(name string) map[string]string {
	return map[string]string{"config/staging.yaml": "deployment: {enabled: true}\nclaim: {enabled: true, name: " + name + "}\n"}
}

func (w *world) claimExists(name string) bool {
	w.t.Helper()
	pvc, err := w.conn.Client.CoreV1().PersistentVolumeClaims(w.target.Namespace).Get(context.Background(), name, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		w.t.Fatal(err)
	}
	return err == nil && pvc.DeletionTimestamp == nil
}

func TestClaimsAreNotDestroyed(t *testing.T) {
	var allow []string
	w := podWorld(t, func(o *Options) { o.AllowDestroy = func(context.Context, string, string) []string { return allow } })
	w.must(w.with("1", claiming("db")))
	_, err := w.r.Upgrade(t.Context(), w.cluster, w.with("2", claiming("renamed")))
	if model.ExitCodeOf(err) != model.ExitRefused || !strings.Contains(err.Error(), "would delete PersistentVolumeClaim db") {
		t.Errorf("error %v", err)
	}
	w.expect(w.observe(), model.Deployed, 1, 1, "1")
	if !w.claimExists("db") || w.claimExists("renamed") {
		t.Error("something was applied although it was refused")
	}
	// A rollback past a claim's beginning keeps it.
	w.must(w.with("3", map[string]string{
		"config/staging.yaml":       "deployment: {enabled: true}\nclaim: {enabled: true, name: db}\n",
		"hub/templates/claim2.yaml": "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: second}\nspec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}\n",
	}))
	if _, err := w.r.Rollback(t.Context(), w.cluster, w.target, 0, "r", "x", nil); err != nil {
		t.Fatal(err)
	}
	if !w.claimExists("second") {
		t.Error("the rollback destroyed a claim")
	}
	allow = []string{"Secret/db", "PersistentVolumeClaim/db"}
	w.must(w.with("4", claiming("renamed")))
	if w.claimExists("db") || !w.claimExists("renamed") {
		t.Error("a claim that was named was not replaced")
	}
}

// A first install with a class that does not exist must not be stuck once the
// class is corrected: the claim never got a volume.
func TestUnboundClaimIsReplaced(t *testing.T) {
	w := podWorld(t, func(o *Options) { o.Limits = ready.Limits{Unschedulable: 3 * time.Second} })
	bad := claiming("db")
	bad["config/staging.yaml"] += "  # none\n"
	bad["config/staging.yaml"] = strings.Replace(bad["config/staging.yaml"], "name: db}", "name: db, class: no-such-class}", 1)
	if failed := w.fails(w.with("1", bad)); !strings.Contains(failed.Error(), "not scheduled") && !strings.Contains(failed.Error(), "no-such-class") {
		t.Errorf("error %v", failed)
	}
	w.expect(w.must(w.with("2", claiming("db"))), model.Deployed, 2, 2, "2")
	if !w.claimExists("db") {
		t.Error("the claim is not there")
	}
}

func TestAfterUninstall(t *testing.T) {
	w := podWorld(t, nil)
	w.must(w.with("1", greet("one")))
	cfg, err := w.r.configure(t.Context(), w.conn, w.target)
	if err != nil {
		t.Fatal(err)
	}
	cfg.kube.timeout = time.Minute
	un := action.NewUninstall(cfg.Configuration)
	un.KeepHistory, un.WaitStrategy = true, "watcher"
	if _, err := un.Run(w.target.Release); err != nil {
		t.Fatal(err)
	}
	w.expect(w.observe(), model.Uninstalled, 1, 0, "1")
	w.expect(w.must(w.with("1", greet("one"))), model.Deployed, 2, 2, "1")
}

// What somebody set by hand, and no chart sets, stays through a deploy of the
// same inputs and through the way back: it is applied, waited for, and told.
func TestEqualInputsAreAppliedAndAwaited(t *testing.T) {
	w := podWorld(t, func(o *Options) { o.Timeout = 5 * time.Second })
	u := w.with("1", running(sleeping))
	w.r.opts.Timeout = time.Minute
	w.must(u)
	w.r.opts.Timeout = 5 * time.Second
	patch := []byte(`{"spec":{"template":{"spec":{"nodeSelector":{"no":"node"}}}}}`)
	if _, err := w.conn.Client.AppsV1().Deployments(w.target.Namespace).Patch(t.Context(), w.target.Release, "application/merge-patch+json", patch, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	failed := w.fails(u)
	if failed.RolledBackTo != 0 || !strings.Contains(failed.Error(), "Deployment data8-staging") {
		t.Errorf("%v, rolled back to %d", failed, failed.RolledBackTo)
	}
	obs := w.observe()
	w.expect(obs, model.Failed, 3, 1, "1")
	if obs.Ready || len(obs.Waiting) == 0 {
		t.Errorf("observed as ready: %+v", obs)
	}
}
