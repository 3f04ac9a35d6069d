package check

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hubship/hubship/internal/plan"
	"github.com/hubship/hubship/internal/release"
)

// parse reads a manifest as a release's objects.
func parse(t *testing.T, manifest string) []release.Object {
	t.Helper()
	objects, err := release.ParseManifest([]byte(manifest))
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

func messages(problems []plan.Problem) string {
	var b strings.Builder
	for _, p := range problems {
		fmt.Fprintf(&b, "%s %s", p.Severity, p.Message)
		if p.Hint != "" {
			b.WriteString(" | " + p.Hint)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// deployment is a valid one, with parts to replace.
const deployment = `apiVersion: apps/v1
kind: Deployment
metadata:
  name: hub
  labels: {app: jupyterhub, "helm.sh/chart": jupyterhub-3.3.8}
spec:
  replicas: 1
  selector:
    matchLabels: {app: jupyterhub}
  template:
    metadata:
      labels: {app: jupyterhub, component: hub}
    spec:
      containers:
      - name: hub
        image: hub:1
        ports: [{name: http, containerPort: 8081}]
        resources: {requests: {cpu: 0.001, memory: 3Gi}}
        env: [{name: A, value: "1"}]
        volumeMounts: [{name: v, mountPath: /v}]
      volumes: [{name: v, emptyDir: {}}]
`

func TestManifests(t *testing.T) {
	replace := func(old, now string) string {
		if !strings.Contains(deployment, old) {
			t.Fatalf("%q is not there", old)
		}
		return strings.Replace(deployment, old, now, 1)
	}
	secret := "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n"
	for name, test := range map[string]struct{ in, want string }{
		"fine":       {deployment, ""},
		"own kinds":  {"apiVersion: cert-manager.io/v1\nkind: Certificate\nmetadata: {name: x}\nspec: {anything: 1}\n", ""},
		"roles":      {"apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: \"system:hub\"}\nrules: [{apiGroups: [\"\"], resources: [pods], verbs: [get]}]\n", ""},
		"two spaces": {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, namespace: a}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, namespace: b}\n", ""},

		"unknown field": {replace("replicas: 1", "replica: 1"),
			"error Deployment hub has spec.replica: a field that apps/v1 Deployment does not have | did you mean replicas?\n"},
		"unknown in a list": {replace("image: hub:1", "image: hub:1\n        imagePullPolice: Always"),
			"error Deployment hub has spec.template.spec.containers[0].imagePullPolice: a field that apps/v1 Deployment does not have | did you mean imagePullPolicy?\n"},
		"unknown, wrong place": {replace("replicas: 1", "nodeSelector: {a: b}"),
			"error Deployment hub has spec.nodeSelector: a field that apps/v1 Deployment does not have | did you mean selector?\n"},
		"unknown, in a map": {replace("cpu: 0.001", "cpu: 1}, limit: {cpu: 1"),
			"error Deployment hub has spec.template.spec.containers[0].resources.limit: a field that apps/v1 Deployment does not have | did you mean limits?\n"},
		"case": {replace("replicas: 1", "Replicas: 1"),
			"error Deployment hub has spec.Replicas: a field that apps/v1 Deployment does not have | did you mean replicas?\n"},

		"text for a number": {replace("replicas: 1", "replicas: \"1\""), "error Deployment hub has spec.replicas: text, where a whole number belongs\n"},
		"fraction":          {replace("replicas: 1", "replicas: 1.5"), "error Deployment hub has spec.replicas: a number, where a whole number belongs\n"},
		"number for text":   {replace(`value: "1"`, "value: 1"), "error Deployment hub has spec.template.spec.containers[0].env[0].value: a number, where text belongs\n"},
		"truth for text":    {replace("component: hub", "component: true"), "error Deployment hub has spec.template.metadata.labels.component: true or false, where text belongs\n"},
		"map for a list":    {replace("volumes: [{name: v, emptyDir: {}}]", "volumes: {name: v}"), "error Deployment hub has spec.template.spec.volumes: a map, where a list belongs\n"},
		"text for a map":    {replace("emptyDir: {}", "emptyDir: yes please"), "error Deployment hub has spec.template.spec.volumes[0].emptyDir: text, where a map belongs\n"},
		"quantity":          {replace("memory: 3Gi", "memory: 3Gigs"), "error Deployment hub has spec.template.spec.containers[0].resources.requests.memory: text, where a quantity such as 500m or 2Gi belongs\n"},
		"two wrong, one unknown": {strings.Replace(replace("replicas: 1", "replicas: [1]"), "image: hub:1", "image: 1\n        foo_bar_baz: 1", 1),
			"error Deployment hub has spec.replicas: a list, where a whole number belongs\nerror Deployment hub has spec.template.spec.containers[0].image: a number, where text belongs\nerror Deployment hub has spec.template.spec.containers[0].foo_bar_baz: a field that apps/v1 Deployment does not have\n"},
		"secret not base64":   {secret + "data: {token: \"hunter2!\"}\n", "error Secret s has data.token: text, where text in base64 belongs\n"},
		"secret with numbers": {secret + "stringData: {token: 271828}\n", "error Secret s has stringData.token: a number, where text belongs\n"},

		"no apiVersion":   {"kind: Pod\nmetadata: {name: x}\n", "error Pod x has no valid apiVersion | write it as \"v1\" or \"apps/v1\"\n"},
		"gone version":    {"apiVersion: apps/v1beta7\nkind: Deployment\nmetadata: {name: x}\n", "warning Deployment x has apiVersion apps/v1beta7, which Kubernetes does not have | it has apps/v1, apps/v1beta1, apps/v1beta2\n"},
		"misspelled kind": {"apiVersion: v1\nkind: Configmap\nmetadata: {name: x}\n", "warning Configmap x is of a kind that v1 does not have | did you mean ConfigMap?\n"},
		"wrong group":     {"apiVersion: v1\nkind: Deployment\nmetadata: {name: x}\n", "warning Deployment x is of a kind that v1 does not have | did you mean apiVersion apps/v1?\n"},
		"removed": {"apiVersion: policy/v1beta1\nkind: PodDisruptionBudget\nmetadata: {name: x}\n",
			"warning PodDisruptionBudget x has apiVersion policy/v1beta1, which Kubernetes 1.25 no longer has | use policy/v1\n"},

		"name":      {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: My_Map}\n", "error ConfigMap My_Map has a name that Kubernetes rejects | lower case letters, digits, - and . only, at most 253\n"},
		"service":   {"apiVersion: v1\nkind: Service\nmetadata: {name: a.b}\n", "error Service a.b has a name that Kubernetes rejects | lower case letters, digits and - only, at most 63\n"},
		"namespace": {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, namespace: data8_prod}\n", "error ConfigMap data8_prod/x has a namespace that Kubernetes rejects | lower case letters, digits and - only, at most 63\n"},
		"label": {replace("component: hub", "component: the hub"),
			"error Deployment hub has spec.template.metadata.labels[\"component\"]: the value \"the hub\", which Kubernetes rejects | letters, digits, -, _ and . only, at most 63, with a letter or digit first and last\n"},
		"selector": {replace("matchLabels: {app: jupyterhub}", "matchLabels: {app: hub}"),
			"error Deployment hub has spec.selector.matchLabels[\"app\"]: a label that its own pods do not have | give spec.template.metadata.labels the same label\n"},
		"twice in env":    {replace(`[{name: A, value: "1"}]`, "[{name: A}, {name: A}]"), "warning Deployment hub has spec.template.spec.containers[0].env[1].name: duplicate \"A\" | the last one counts, and server-side apply rejects it\n"},
		"twice mounted":   {replace("[{name: v, mountPath: /v}]", "[{name: v, mountPath: /v}, {name: v, mountPath: /v}]"), "error Deployment hub has spec.template.spec.containers[0].volumeMounts[1].mountPath: duplicate \"/v\" | only one volume can be mounted at a path\n"},
		"twice a volume":  {replace("volumes: [", "volumes: [{name: v, emptyDir: {}}, "), "error Deployment hub has spec.template.spec.volumes[1].name: duplicate \"v\" | give each volume its own name\n"},
		"twice an object": {deployment + "---\n" + deployment, "error Deployment hub is defined twice | one replaces the other: give them different names\n"},
		"null fields":     {replace("replicas: 1", "replicas: null\n  strategy:"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := messages(Manifests(parse(t, test.in))); got != test.want {
				t.Errorf("got:\n%swant:\n%s", got, test.want)
			}
		})
	}
}

func TestRemovedVersionsGoByTheCluster(t *testing.T) {
	objects := parse(t, "apiVersion: policy/v1beta1\nkind: PodDisruptionBudget\nmetadata: {name: x}\n")
	for kube, want := range map[string]string{"v1.31.2": "error", "1.25": "error", "1.24+": "warning", "1.21": "", "": "warning", "next": "warning"} {
		got := ""
		if problems := ManifestsFor(objects, kube); len(problems) > 0 {
			got = string(problems[0].Severity)
		}
		if got != want {
			t.Errorf("%q: %q, want %q", kube, got, want)
		}
	}
}

func TestHooksMayShareAName(t *testing.T) {
	objects := parse(t, deployment+"---\n"+deployment)
	objects[1].Hook = true
	objects[0].Template, objects[1].Template = "a.yaml", "b.yaml"
	if got := Manifests(objects); len(got) > 0 {
		t.Error(messages(got))
	}
	objects[1].Hook = false
	got := Manifests(objects)
	if len(got) != 1 || got[0].File != "b.yaml" || got[0].Object != "Deployment hub" || !strings.Contains(got[0].Message, "first in a.yaml") {
		t.Errorf("%+v", got)
	}
}

func TestManifestsLeaveTheObjectsAsTheyAre(t *testing.T) {
	objects := parse(t, strings.Replace(deployment, "replicas: 1", "replicas: x\n  foo: 1", 1))
	before := fmt.Sprint(objects)
	Manifests(objects)
	if after := fmt.Sprint(objects); after != before {
		t.Errorf("changed:\n%s\n%s", before, after)
	}
}

func BenchmarkManifests(b *testing.B) {
	objects, err := release.ParseManifest([]byte(deployment))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if got := Manifests(objects); len(got) > 0 {
			b.Fatal(messages(got))
		}
	}
}
