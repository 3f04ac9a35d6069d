package helm

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"helm.sh/helm/v4/pkg/release/common"
	rspb "helm.sh/helm/v4/pkg/release/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hubship/hubship/internal/model"
)

// other is a namespace beside the release's, with something to steal and to
// spoil.
func (w *world) other() string {
	w.t.Helper()
	name := w.target.Namespace + "-other"
	if _, err := w.conn.Client.CoreV1().Namespaces().Create(w.t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		_ = w.conn.Client.CoreV1().Namespaces().Delete(context.Background(), name, metav1.DeleteOptions{})
	})
	theirs := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "theirs", Annotations: map[string]string{
		"meta.helm.sh/release-name": w.target.Release, "meta.helm.sh/release-namespace": w.target.Namespace,
	}, Labels: map[string]string{"app.kubernetes.io/managed-by": "Helm"}}, StringData: map[string]string{"k": "their-own-secret"}}
	if _, err := w.conn.Client.CoreV1().Secrets(name).Create(w.t.Context(), theirs, metav1.CreateOptions{}); err != nil {
		w.t.Fatal(err)
	}
	return name
}

// untouched fails when the other namespace is not as it was made.
func (w *world) untouched(name, after string) {
	w.t.Helper()
	list, err := w.conn.Client.CoreV1().Secrets(name).List(w.t.Context(), metav1.ListOptions{})
	if err != nil || len(list.Items) != 1 || string(list.Items[0].Data["k"]) != "their-own-secret" || list.Items[0].DeletionTimestamp != nil {
		w.t.Errorf("%s: the other namespace has %v, %v", after, list, err)
	}
}

// TestLiveChartsAreConfined lets charts reach for another namespace, in every
// way that Helm has. Nothing of a revision is applied when a part of it does.
func TestLiveChartsAreConfined(t *testing.T) {
	w := newWorld(t, nil)
	other := w.other()
	foreign := "apiVersion: v1\nkind: Secret\nmetadata: {name: theirs, namespace: " + other + "%s}\nstringData: {k: spoilt}\n"
	for name, tt := range map[string]struct {
		file, text, want string
	}{
		"an object": {"templates", fmt.Sprintf(foreign, ""), "another namespace"},
		"a hook":    {"templates", fmt.Sprintf(foreign, ", annotations: {helm.sh/hook: pre-install}"), "another namespace"},
		"a list":    {"templates", "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Secret, metadata: {name: theirs, namespace: " + other + "}, stringData: {k: spoilt}}\n", "another namespace"},
		"crds":      {"crds", "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: x.example.org}\nspec: {}\n", "the chart reaches beyond its release"},
		"lookup":    {"templates", "a: {{ lookup \"v1\" \"Secret\" \"" + other + "\" \"theirs\" | toJson | quote }}\n", "the template fails"},
		"all":       {"templates", "a: {{ lookup \"v1\" \"Secret\" \"\" \"\" | toJson | quote }}\n", "the template fails"},
	} {
		_, err := w.r.Upgrade(t.Context(), w.cluster, w.upgrade("bad "+name, map[string]string{"hub/" + tt.file + "/bad.yaml": tt.text}))
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(fmt.Sprintf("%+v", err), "their-own-secret") {
			t.Errorf("%s: %v", name, err)
		}
		w.untouched(other, name)
	}
	list, err := w.conn.Client.CoreV1().ConfigMaps(w.target.Namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/managed-by=Helm"})
	if err != nil || len(list.Items) != 0 {
		t.Errorf("a part of what was refused was applied: %v, %v", list, err)
	}
	ns, err := w.conn.Client.CoreV1().Namespaces().Get(t.Context(), w.target.Namespace, metav1.GetOptions{})
	if err != nil || ns.Labels["pod-security.kubernetes.io/enforce"] != "baseline" {
		t.Errorf("the namespace has the labels %v, %v", ns.Labels, err)
	}
}

// TestLiveForgedRecords writes Helm's records as a pod can that may write
// Secrets in the namespace: they claim that the release has objects of another
// namespace, and that it once had others there. No upgrade removes the former,
// no rollback applies the latter.
func TestLiveForgedRecords(t *testing.T) {
	w := newWorld(t, nil)
	other := w.other()
	w.must(w.upgrade("one", nil))
	cfg, err := w.r.configure(t.Context(), w.conn, w.target)
	if err != nil {
		t.Fatal(err)
	}
	rec, err := record(cfg, w.target.Release, 1)
	if err != nil {
		t.Fatal(err)
	}
	theirs := "---\napiVersion: v1\nkind: Secret\nmetadata: {name: theirs, namespace: " + other + "}\nstringData: {k: spoilt}\n"
	forged := *rec
	forged.Manifest = rec.Manifest + theirs
	forged.Info = &rspb.Info{Status: common.StatusDeployed, LastDeployed: time.Now(), Description: "Upgrade complete"}
	if err := cfg.Releases.Update(&forged); err != nil {
		t.Fatal(err)
	}
	w.must(w.upgrade("two", map[string]string{"config/staging.yaml": "greeting: two\n"}))
	w.untouched(other, "an upgrade")
	if !strings.Contains(w.logged(), "leaving Secret theirs alone") {
		t.Errorf("nobody is told: %s", w.logged())
	}
	_, err = w.r.Rollback(t.Context(), w.cluster, w.target, 1, "run-back", "a test", func(model.Level, string) {})
	if err == nil || !strings.Contains(err.Error(), "another namespace") {
		t.Errorf("rolled back to a forged record: %v", err)
	}
	w.untouched(other, "a rollback")
	if _, err := w.conn.Client.CoreV1().Secrets(other).Get(t.Context(), "theirs", metav1.GetOptions{}); apierrors.IsNotFound(err) {
		t.Error("it is gone")
	}
}
