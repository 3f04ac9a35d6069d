package confine

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/hubship/hubship/internal/release"
)

var words = []string{
	"", "x", "data-staging", "data-prod", "data-staging-user-scheduler", "data-prod-user-scheduler", "cluster-admin", "system:masters",
	"*", "get", "create", "delete", "escalate", "pods", "secrets", "leases", "coordination.k8s.io", "rbac.authorization.k8s.io",
	"ServiceAccount", "Group", "User", "Role", "ClusterRole", "NET_ADMIN", "NET_RAW", "CHOWN", "/", "helm", "hubship.io/kind", "default", "user-scheduler-lock",
}

// fields are what the objects of the test are made of: everything that gives
// rights, and enough around it.
var fields = map[string]func(t *rapid.T, depth int) any{}

func init() {
	word := func(t *rapid.T, _ int) any { return rapid.SampledFrom(words).Draw(t, "word") }
	flag := func(t *rapid.T, _ int) any { return rapid.Bool().Draw(t, "flag") }
	list := func(of func(*rapid.T, int) any) func(*rapid.T, int) any {
		return func(t *rapid.T, d int) any {
			var out []any
			for range rapid.IntRange(0, 2).Draw(t, "items") {
				out = append(out, of(t, d+1))
			}
			return out
		}
	}
	some := func(names ...string) func(*rapid.T, int) any {
		return func(t *rapid.T, d int) any {
			out := map[string]any{}
			if d > 8 {
				return out
			}
			for _, n := range names {
				if rapid.IntRange(0, 2).Draw(t, n) > 0 {
					out[n] = fields[n](t, d+1)
				}
			}
			return out
		}
	}
	container := some("name", "image", "securityContext", "ports")
	fields["name"], fields["namespace"], fields["image"], fields["kind"], fields["apiGroup"] = word, word, word, word, word
	fields["path"], fields["priorityClassName"], fields["preemptionPolicy"], fields["type"] = word, word, word, word
	fields["hostNetwork"], fields["hostPID"], fields["hostIPC"], fields["privileged"], fields["globalDefault"] = flag, flag, flag, flag, flag
	fields["value"] = func(t *rapid.T, _ int) any { return float64(rapid.IntRange(-5, 5).Draw(t, "value")) }
	fields["hostPort"] = func(t *rapid.T, _ int) any { return int64(rapid.IntRange(0, 2).Draw(t, "port")) }
	fields["containers"], fields["initContainers"] = list(container), list(container)
	fields["securityContext"], fields["capabilities"], fields["add"] = some("privileged", "capabilities"), some("add"), list(word)
	fields["ports"], fields["volumes"] = list(some("hostPort")), list(some("name", "hostPath"))
	fields["hostPath"] = some("path")
	fields["apiGroups"], fields["resources"], fields["verbs"], fields["resourceNames"] = list(word), list(word), list(word), list(word)
	fields["rules"] = list(some("apiGroups", "resources", "verbs", "resourceNames"))
	fields["roleRef"] = some("apiGroup", "kind", "name")
	fields["subjects"] = list(some("kind", "name", "namespace", "apiGroup"))
	fields["spec"] = some("containers", "initContainers", "hostNetwork", "hostPID", "hostIPC", "volumes", "priorityClassName", "template", "jobTemplate")
	fields["template"], fields["jobTemplate"] = some("metadata", "spec"), some("spec")
	fields["metadata"] = some("name", "namespace")
	fields["object"] = some("spec", "rules", "roleRef", "subjects", "value", "globalDefault", "preemptionPolicy", "type")
}

// TestAcceptedLiesWithinTheRelease makes objects at random. Whatever is
// accepted is looked at with other eyes than the rules': it lies in the
// release's namespace or is named after the release, and nothing in it reaches
// further.
func TestAcceptedLiesWithinTheRelease(t *testing.T) {
	t.Parallel()
	kinds := []string{"v1 Pod", "v1 ConfigMap", "v1 Secret", "v1 Namespace", "v1 Node", "v1 PersistentVolume", "apps/v1 Deployment", "batch/v1 CronJob",
		"rbac.authorization.k8s.io/v1 Role", "rbac.authorization.k8s.io/v1 RoleBinding", "rbac.authorization.k8s.io/v1 ClusterRole",
		"rbac.authorization.k8s.io/v1 ClusterRoleBinding", "scheduling.k8s.io/v1 PriorityClass", "example.org/v1 Thing", "admissionregistration.k8s.io/v1 ValidatingWebhookConfiguration"}
	accepted := 0
	rapid.Check(t, func(t *rapid.T) {
		content := fields["object"](t, 0).(map[string]any)
		apiVersion, kind, _ := strings.Cut(rapid.SampledFrom(kinds).Draw(t, "kind"), " ")
		meta := fields["metadata"](t, 0).(map[string]any)
		content["apiVersion"], content["kind"], content["metadata"] = apiVersion, kind, meta
		o := release.Object{APIVersion: apiVersion, Kind: kind, Name: text(meta["name"]), Namespace: text(meta["namespace"]), Content: content}
		if Refuse(Of([]release.Object{o}), target, Allowed{}) != nil {
			return
		}
		accepted++
		wide := strings.HasPrefix(kind, "Cluster") || kind == "PriorityClass"
		switch {
		case o.Name == "":
			t.Fatal("it has no name")
		case o.Namespace != "" && o.Namespace != target.Namespace:
			t.Fatalf("it lies in %s", o.Namespace)
		case wide && !strings.HasPrefix(o.Name, target.Release):
			t.Fatalf("%s %s is not named after the release", kind, o.Name)
		case kind == "Namespace" || kind == "Node" || kind == "PersistentVolume" || kind == "Thing" || strings.HasSuffix(kind, "Configuration"):
			t.Fatalf("a %s is accepted", kind)
		}
		reaches(t, content, kind, true)
	})
	if accepted == 0 && !testing.Short() { // which tries few
		t.Error("nothing was ever accepted: the test says nothing")
	}
}

// reaches fails at whatever reaches beyond the release, wherever it stands.
func reaches(t *rapid.T, v any, kind string, top bool) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			reaches(t, e, kind, false)
		}
	case map[string]any:
		list, _ := v["containers"].([]any)
		inits, _ := v["initContainers"].([]any)
		if len(list)+len(inits) > 0 {
			for _, k := range []string{"hostNetwork", "hostPID", "hostIPC"} {
				if v[k] == true {
					t.Fatalf("a pod with %s", k)
				}
			}
			volumes, _ := v["volumes"].([]any)
			for _, vol := range volumes {
				if m, _ := vol.(map[string]any); m["hostPath"] != nil {
					t.Fatal("a volume of the host")
				}
			}
			for _, c := range append(list[:len(list):len(list)], inits...) {
				m, _ := c.(map[string]any)
				sc, _ := m["securityContext"].(map[string]any)
				if sc["privileged"] == true {
					t.Fatal("a privileged container")
				}
				caps, _ := sc["capabilities"].(map[string]any)
				add, _ := caps["add"].([]any)
				for _, c := range add {
					if c == "NET_ADMIN" || c == "NET_RAW" || c == "*" {
						t.Fatalf("a container with %v", c)
					}
				}
				ports, _ := m["ports"].([]any)
				for _, p := range ports {
					if m, _ := p.(map[string]any); m["hostPort"] != nil && m["hostPort"] != int64(0) {
						t.Fatal("a port of the host")
					}
				}
			}
		}
		if top && strings.HasSuffix(kind, "Role") {
			for _, r := range anyList(v["rules"]) {
				for _, field := range []string{"verbs", "resources", "apiGroups"} {
					for _, w := range asWords(r[field]) {
						if w == "*" || w == "escalate" {
							t.Fatalf("a role that grants %s", w)
						}
						if kind == "ClusterRole" && w == "secrets" && len(asWords(r["verbs"])) > 0 && len(asWords(r["apiGroups"])) > 0 {
							t.Fatal("a role for secrets of the whole cluster")
						}
					}
				}
			}
		}
		if top && strings.HasSuffix(kind, "Binding") {
			ref, _ := v["roleRef"].(map[string]any)
			if ref["kind"] != strings.TrimSuffix(kind, "Binding") || ref["name"] == "cluster-admin" && kind == "ClusterRoleBinding" {
				t.Fatalf("binds %v", ref)
			}
			for _, s := range anyList(v["subjects"]) {
				if s["kind"] != "ServiceAccount" || text(s["namespace"]) != "" && s["namespace"] != target.Namespace {
					t.Fatalf("for %v", s)
				}
			}
		}
		for _, e := range v {
			reaches(t, e, kind, false)
		}
	}
}

func anyList(v any) []map[string]any {
	list, _ := v.([]any)
	var out []map[string]any
	for _, e := range list {
		if m, ok := e.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

func asWords(v any) []string {
	list, _ := v.([]any)
	var out []string
	for _, e := range list {
		out = append(out, text(e))
	}
	return out
}
