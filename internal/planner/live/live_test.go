package live

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/hubship/hubship/internal/cluster"
	"github.com/hubship/hubship/internal/model"
)

// served is a cluster with three pods of users' servers, one of which has ended, and
// three nodes, one of which takes no pods.
func served(t *testing.T) (Clusters, model.Cluster) {
	t.Helper()
	mux := http.NewServeMux()
	answer := func(pattern, body string) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			if selected := r.URL.Query().Get("labelSelector"); pattern != "GET /api/v1/nodes" && selected != serverPods {
				t.Errorf("asked for the pods with %q", selected)
			}
			fmt.Fprint(w, body)
		})
	}
	answer("GET /api/v1/namespaces/datahub-prod/pods", `{"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": [
		{"status": {"phase": "Running"}}, {"status": {"phase": "Pending"}}, {"status": {"phase": "Succeeded"}}]}`)
	answer("GET /api/v1/nodes", `{"kind": "NodeList", "apiVersion": "v1", "metadata": {}, "items": [
		{"status": {"images": [{"names": ["user:1", "user@sha256:1"]}, {"names": ["hub:1"]}]}},
		{"status": {"images": [{"names": ["user:1"]}]}},
		{"spec": {"unschedulable": true}, "status": {}}]}`)
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	file := filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: %q}}]
users: [{name: u, user: {token: t}}]
contexts: [{name: campus, context: {cluster: c, user: u}}]
`, srv.URL)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Clusters{Set: cluster.New(cluster.Options{})}, model.Cluster{Name: "campus", Kubeconfig: file, Context: "campus"}
}

func TestWhoIsOnlineAndWhatNodesHave(t *testing.T) {
	c, campus := served(t)
	n, err := c.Servers(t.Context(), campus, model.Target{Hub: "datahub", Environment: "prod", Namespace: "datahub-prod"})
	if err != nil || n != 2 {
		t.Errorf("%d servers, %v", n, err)
	}
	images, err := c.Images(t.Context(), campus)
	if err != nil || !slices.Equal(slices.Sorted(maps.Keys(images)), []string{"user:1"}) {
		t.Errorf("images %v, %v", images, err)
	}
	if found := c.DryRun(t.Context(), campus, model.Target{}, nil); found != nil {
		t.Errorf("tried, although nobody asked for it: %v", found)
	}
}

func TestClusterAway(t *testing.T) {
	c := Clusters{Set: cluster.New(cluster.Options{}), Try: true}
	away := model.Cluster{Name: "away", Kubeconfig: filepath.Join(t.TempDir(), "none"), Context: "away"}
	if _, err := c.Servers(t.Context(), away, model.Target{}); err == nil {
		t.Error("servers were counted")
	}
	if _, err := c.Images(t.Context(), away); err == nil {
		t.Error("images were listed")
	}
	if found := c.DryRun(t.Context(), away, model.Target{}, nil); found != nil {
		t.Errorf("found %v", found)
	}
}
