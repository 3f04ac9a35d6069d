package check

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"

	"github.com/hubship/hubship/internal/cluster"
	"github.com/hubship/hubship/internal/cluster/clustertest"
	"github.com/hubship/hubship/internal/plan"
)

// live connects to the test cluster, with a namespace for the test.
func live(t *testing.T) (Cluster, string) {
	t.Helper()
	c := clustertest.Cluster(t)
	set := cluster.New(cluster.Options{})
	conn, err := set.Conn(c)
	if err != nil {
		t.Fatal(err)
	}
	target := clustertest.Target(t, set, c, "data8-staging")
	if err := conn.EnsureNamespace(context.Background(), target); err != nil {
		t.Fatal(err)
	}
	return Cluster{Name: c.Name, Dynamic: conn.Dynamic, Mapper: conn.Mapper}, target.Namespace
}

func TestDryRunLive(t *testing.T) {
	c, namespace := live(t)
	ctx := context.Background()
	if got := DryRun(ctx, c, namespace, parse(t, deployment)); len(got) > 0 {
		t.Fatal(messages(got))
	}
	// Nothing is kept.
	list, err := c.Dynamic.Resource(schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}).Namespace(namespace).List(ctx, metav1.ListOptions{})
	if err != nil || len(list.Items) > 0 {
		t.Fatalf("%d deployments, %v", len(list.Items), err)
	}
	change := func(old, now string) string {
		if !strings.Contains(deployment, old) {
			t.Fatalf("%q is not there", old)
		}
		return strings.Replace(deployment, old, now, 1)
	}
	secret := "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n"
	for name, test := range map[string]struct{ in, want string }{
		"label":         {change("component: hub", "component: the hunter2"), "error Deployment hub has spec.template.labels: a value that is not valid: a valid label"},
		"negative":      {change("replicas: 1", "replicas: -1"), "error Deployment hub has spec.replicas: a value that is not valid: must be greater than or equal to 0\n"},
		"port":          {change("containerPort: 8081", "containerPort: 80810"), "error Deployment hub has spec.template.spec.containers[0].ports[0].containerPort: a value that is not valid: must be between 1 and 65535, inclusive\n"},
		"no image":      {change("        image: hub:1\n", ""), "error Deployment hub has spec.template.spec.containers[0].image: it must be set\n"},
		"no volume":     {change("name: v, mountPath", "name: w, mountPath"), "error Deployment hub has spec.template.spec.containers[0].volumeMounts[0].name: a value that names something that does not exist\n"},
		"policy":        {change("image: hub:1", "image: hub:1\n        imagePullPolicy: Sometimes"), "error Deployment hub has spec.template.spec.containers[0].imagePullPolicy: a value that is not supported: supported values: \"Always\", \"IfNotPresent\", \"Never\"\n"},
		"unknown field": {change("replicas: 1", "replica: 1"), "error Deployment hub has spec.replica: field not declared in schema\n"},
		"wrong type":    {change("replicas: 1", "replicas: hunter2"), "error Deployment hub has spec.replicas: expected "},
		"twice in env":  {change(`[{name: A, value: "1"}]`, "[{name: A, value: hunter2}, {name: A}]"), "error Deployment hub has spec.template.spec.containers[name=\"hub\"].env: duplicate entries for key\n"},
		"secret":        {secret + "data: {token: \"hunter2!\"}\n", "error Secret s is refused by the cluster | `kubectl apply --dry-run=server` shows its reason\n"},
		"secret's key":  {secret + "data: {\"a b\": aHVudGVyMg==}\n", "error Secret s has data[a b]: a value that is not valid: a valid config key"},
		"no such kind":  {"apiVersion: example.org/v1\nkind: Thing\nmetadata: {name: x}\n", "warning Thing x is of a kind that the cluster does not have (example.org/v1) | install its definition first, or check apiVersion and kind\n"},
	} {
		t.Run(name, func(t *testing.T) {
			got := messages(DryRun(ctx, c, namespace, parse(t, test.in)))
			if !strings.HasPrefix(got, test.want) {
				t.Errorf("got:\n%swant:\n%s", got, test.want)
			}
			if strings.Contains(got, "hunter2") {
				t.Errorf("the value is told: %s", got)
			}
		})
	}
	got := DryRun(ctx, c, namespace+"-not-there", parse(t, deployment))
	if len(got) != 1 || got[0].Severity != plan.Notice || !strings.Contains(got[0].Message, "does not exist yet") {
		t.Errorf("no namespace: %s", messages(got))
	}
}

func TestDryRunFindsConflictsLive(t *testing.T) {
	c, namespace := live(t)
	ctx := context.Background()
	client := c.Dynamic.Resource(schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}).Namespace(namespace)
	object := parse(t, deployment)[0].Content
	if _, err := client.Apply(ctx, "hub", &unstructured.Unstructured{Object: object}, metav1.ApplyOptions{FieldManager: "helm"}); err != nil {
		t.Fatal(err)
	}
	other := parse(t, "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: hub}\nspec: {replicas: 3}\n")[0].Content
	if _, err := client.Apply(ctx, "hub", &unstructured.Unstructured{Object: other}, metav1.ApplyOptions{FieldManager: "somebody", Force: true}); err != nil {
		t.Fatal(err)
	}
	want := "error Deployment hub has spec.replicas: also set by somebody | somebody changed the live object by hand or with another tool: undo that, or put it into the values\n"
	if got := messages(DryRun(ctx, c, namespace, parse(t, deployment))); got != want {
		t.Errorf("got %s want %s", got, want)
	}
	fixed := strings.ReplaceAll(strings.Replace(deployment, "replicas: 1", "replicas: 3", 1), "{app: jupyterhub", "{app: other")
	if !strings.Contains(fixed, "matchLabels: {app: other}") {
		t.Fatal(fixed)
	}
	if got := messages(DryRun(ctx, c, namespace, parse(t, fixed))); !strings.Contains(got, "error Deployment hub has spec.selector: a value that is not valid: field is immutable") {
		t.Errorf("immutable: %s", got)
	}
}

func TestDryRunOfAClusterThatIsNotThere(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	stop := make(chan struct{})
	hangs := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-stop }))
	defer hangs.Close()
	defer close(stop)
	for _, url := range []string{gone.URL, hangs.URL} {
		config := &rest.Config{Host: url}
		dyn, err1 := dynamic.NewForConfig(config)
		disco, err2 := discovery.NewDiscoveryClientForConfig(config)
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		c := Cluster{Name: "campus", Dynamic: dyn, Mapper: restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(disco))}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		start := time.Now()
		got := DryRun(ctx, c, "x", parse(t, deployment+"---\n"+deployment))
		cancel()
		if took := time.Since(start); took > time.Minute {
			t.Errorf("took %s", took)
		}
		want := "notice the cluster campus did not say whether it accepts Deployment hub, Deployment hub | make it reachable to have this checked\n"
		if messages(got) != want {
			t.Errorf("got %s", messages(got))
		}
	}
}
