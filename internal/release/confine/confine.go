// Package confine says whether what a chart renders stays within its release:
// it is applied with hubship's rights, and whoever writes a chart must not get
// them. It is pure, and asked twice: about a plan, and about the very objects
// that an upgrade is about to apply.
package confine

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/release"
)

// Allowed is what an installation lets charts do beyond the usual. The zero
// value allows nothing more.
type Allowed struct {
	// Kinds are further kinds of objects, "GROUP/Kind". The operator answers
	// for what such an object can do.
	Kinds []string
	// Capabilities that containers may add beyond the Pod Security Standard
	// "baseline".
	Capabilities []string
	// Privileged lets pods do what they like with their node.
	Privileged bool
	// UserScheduler lets charts have the rights of Zero to JupyterHub's user
	// scheduler, which reach pods of all namespaces.
	UserScheduler bool
	// ExternalIPs that Services may take, as they write them.
	ExternalIPs []string
}

// PodSecurity is the Pod Security Standard that the namespaces of releases are held
// to. Kubernetes knows no baseline with one capability more.
func (a Allowed) PodSecurity() string {
	if a.Privileged || len(a.Capabilities) > 0 {
		return "privileged"
	}
	return "baseline"
}

// Scope says whether an object lies in a namespace.
type Scope int

// The scopes.
const (
	Unasked    Scope = iota // no cluster was asked; the kind tells, if it is Kubernetes' own
	Namespaced              // as the cluster says
	Cluster
)

// Object is an object that is about to be applied.
type Object struct {
	release.Object
	Scope Scope
}

// Violation is something that an object may not do.
type Violation struct {
	Object  release.Object
	Message string // "Pod x runs with the host's network"
	Hint    string
	// Warn says that it may be done, and that a person should look.
	Warn bool
}

// Error is a release that would reach beyond itself.
type Error struct{ Violations []Violation }

// Error names what was refused.
func (e *Error) Error() string {
	parts := make([]string, 0, len(e.Violations))
	for _, v := range e.Violations {
		text := v.Message
		if v.Object.Template != "" {
			text = v.Object.Template + ": " + text
		}
		parts = append(parts, text)
	}
	return "the chart reaches beyond its release: " + strings.Join(parts, "; ")
}

// Refuse returns an *Error with its hint when the objects may not be applied.
func Refuse(objects []Object, t model.Target, a Allowed) error {
	found := slices.DeleteFunc(Check(objects, t, a), func(v Violation) bool { return v.Warn })
	if len(found) == 0 {
		return nil
	}
	const most = 10
	return model.WithHint(&Error{found[:min(len(found), most)]}, found[0].Hint)
}

// Of wraps rendered objects, of which no cluster was asked.
func Of(objects []release.Object) []Object {
	out := make([]Object, len(objects))
	for i, o := range objects {
		out[i] = Object{Object: o}
	}
	return out
}

// namespaced are the kinds that every chart may have, in its namespace.
var namespaced = set(
	"ConfigMap", "Secret", "Service", "ServiceAccount", "PersistentVolumeClaim", "Pod", "PodTemplate",
	"ReplicationController", "LimitRange", "ResourceQuota",
	"apps/Deployment", "apps/StatefulSet", "apps/DaemonSet", "apps/ReplicaSet",
	"batch/Job", "batch/CronJob", "policy/PodDisruptionBudget", "autoscaling/HorizontalPodAutoscaler",
	"networking.k8s.io/NetworkPolicy", "networking.k8s.io/Ingress", "gateway.networking.k8s.io/HTTPRoute",
	"rbac.authorization.k8s.io/Role", "rbac.authorization.k8s.io/RoleBinding",
)

// clusterWide are the kinds without a namespace that Zero to JupyterHub needs.
var clusterWide = set(
	"rbac.authorization.k8s.io/ClusterRole", "rbac.authorization.k8s.io/ClusterRoleBinding", "scheduling.k8s.io/PriorityClass",
)

func set(names ...string) map[string]bool {
	out := make(map[string]bool, len(names))
	for _, n := range names {
		out[n] = true
	}
	return out
}

// GroupKind is the kind as the tables and the settings name it: "apps/Deployment".
func GroupKind(apiVersion, kind string) string {
	gv, err := schema.ParseGroupVersion(apiVersion)
	if err != nil || gv.Group == "" {
		return kind
	}
	return gv.Group + "/" + kind
}

// Check returns everything that the objects of a release may not do, and what a
// person should look at.
func Check(objects []Object, t model.Target, a Allowed) []Violation {
	var out []Violation
	for _, o := range objects {
		j := &judge{o: o, t: t, a: a}
		j.object()
		out = append(out, j.found...)
	}
	return out
}

// Inside says that an object in a namespace, or without one, can be the
// release's own: what is not is neither applied nor removed nor asked about.
func Inside(o Object, t model.Target, a Allowed) bool {
	j := &judge{o: o, t: t, a: a}
	j.place()
	return len(j.found) == 0
}

// judge is one object, and what is wrong with it.
type judge struct {
	o     Object
	t     model.Target
	a     Allowed
	found []Violation
}

func (j *judge) refuse(hint, format string, args ...any) {
	j.found = append(j.found, Violation{Object: j.o.Object, Message: j.o.String() + " " + fmt.Sprintf(format, args...), Hint: hint})
}

func (j *judge) warn(hint, format string, args ...any) {
	j.refuse(hint, format, args...)
	j.found[len(j.found)-1].Warn = true
}

func (j *judge) object() {
	j.place()
	j.marks()
	switch GroupKind(j.o.APIVersion, j.o.Kind) {
	case "rbac.authorization.k8s.io/Role":
		j.rules(false)
	case "rbac.authorization.k8s.io/ClusterRole":
		j.rules(true)
	case "rbac.authorization.k8s.io/RoleBinding":
		j.binding("Role")
	case "rbac.authorization.k8s.io/ClusterRoleBinding":
		j.binding("ClusterRole")
	case "scheduling.k8s.io/PriorityClass":
		j.priority()
	case "PersistentVolumeClaim":
		if _, hook := dig(j.o.Content, "metadata", "annotations", "helm.sh/hook").(string); hook || j.o.Hook {
			j.refuse("make it an ordinary object of the chart", "is a hook: Helm removes it, with everything stored in it, each time before it creates it")
		}
	case "apps/StatefulSet":
		policy, _ := dig(j.o.Content, "spec", "persistentVolumeClaimRetentionPolicy").(map[string]any)
		if text(policy["whenDeleted"]) == "Delete" || text(policy["whenScaled"]) == "Delete" {
			j.warn("set persistentVolumeClaimRetentionPolicy to Retain", "makes Kubernetes delete its claims, with everything stored in them, when it is removed")
		}
	case "Service":
		j.service()
	case "networking.k8s.io/Ingress":
		j.ingress()
	case "gateway.networking.k8s.io/HTTPRoute":
		j.route()
	}
	j.pods(j.o.Content, nil, 0)
}

// place judges which kind of object it is, and where it lies.
func (j *judge) place() {
	kind := GroupKind(j.o.APIVersion, j.o.Kind)
	extra := slices.Contains(j.a.Kinds, kind)
	known := namespaced[kind] || clusterWide[kind]
	if !known && !extra {
		j.refuse("leave it to the cluster's operator, or have the operator allow the kind: `charts: {kinds: [\""+kind+"\"]}` in installation.json",
			"is of a kind that charts may not have here: %s", kind)
		return
	}
	within := j.o.Namespace == "" || j.o.Namespace == j.t.Namespace
	if !within {
		j.refuse("leave out metadata.namespace: objects are then created in the release's own, "+j.t.Namespace,
			"is in another namespace than the release, %s", j.t.Namespace)
	}
	if j.o.Name == "" {
		j.refuse("give it a metadata.name", "has no fixed name: a later upgrade does not know what generateName created")
	}
	wide := clusterWide[kind] || j.o.Scope == Cluster
	if namespaced[kind] && j.o.Scope == Cluster || clusterWide[kind] && j.o.Scope == Namespaced {
		j.refuse("check apiVersion and kind", "has another scope in this cluster than is known for its kind")
	}
	if wide && !extra && j.o.Name != j.t.Release && !strings.HasPrefix(j.o.Name, j.t.Release+"-") {
		j.refuse("name it after the release, with `{{ .Release.Name }}-…`", "has no namespace and a name that does not begin with the release's, %s-", j.t.Release)
	}
}

// marks refuses what would pass for a record of hubship's or Helm's.
func (j *judge) marks() {
	meta, _ := j.o.Content["metadata"].(map[string]any)
	for _, field := range []string{"labels", "annotations"} {
		m, _ := meta[field].(map[string]any)
		for k, v := range m {
			switch {
			case strings.HasPrefix(k, "hubship.io/"):
				j.refuse("remove it", "has the %s %s, with which hubship marks its own objects in a cluster", strings.TrimSuffix(field, "s"), k)
			case field == "labels" && k == "owner" && text(v) == "helm":
				j.refuse("remove it", "has the label owner=helm, by which Helm recognizes its records")
			case strings.HasPrefix(k, "rbac.authorization.k8s.io/aggregate-to-"):
				j.refuse("remove it", "has the %s %s, which adds its rules to a role for the whole cluster", strings.TrimSuffix(field, "s"), k)
			}
		}
	}
	if owners, _ := meta["ownerReferences"].([]any); meta["ownerReferences"] != nil && (owners == nil || len(owners) > 0) {
		j.refuse("remove metadata.ownerReferences", "has an owner: Kubernetes removes it, a claim with all its data, as soon as that owner is gone")
	}
	if record := j.o.Kind == "ConfigMap" || j.o.Kind == "Secret"; record && (strings.HasPrefix(j.o.Name, "hubship-") || strings.HasPrefix(j.o.Name, "sh.helm.release.")) {
		j.refuse("give it another name", "has a name that hubship or Helm uses for its records")
	}
	if j.o.Kind == "Secret" && strings.HasPrefix(text(j.o.Content["type"]), "helm.sh/") {
		j.refuse("leave out its type", "has the type of Helm's records")
	}
}

// highest is the value of a PriorityClass up to which it evicts nobody: pods
// without a class have it.
const highest = 0

func (j *judge) priority() {
	if j.o.Content["globalDefault"] == true {
		j.refuse("set globalDefault to false", "is the default of the whole cluster")
	}
	if value, ok := number(j.o.Content["value"]); (!ok || value > highest) && text(j.o.Content["preemptionPolicy"]) != "Never" {
		j.refuse("use a value of at most 0, or preemptionPolicy: Never", "lets its pods evict pods in other namespaces")
	}
}

// named are the names that an object asks to have in DNS, by annotations such
// as that of ExternalDNS.
func (j *judge) named() (hosts []string) {
	notes, _ := dig(j.o.Content, "metadata", "annotations").(map[string]any)
	for _, k := range sorted(notes) {
		if strings.HasSuffix(k, "/hostname") || strings.HasSuffix(k, "/internal-hostname") {
			hosts = append(hosts, text(notes[k]))
		}
	}
	return hosts
}

func (j *judge) service() {
	j.answers(j.named())
	if text(dig(j.o.Content, "spec", "type")) == "ExternalName" {
		name := text(dig(j.o.Content, "spec", "externalName"))
		if ns, inside := namespaceOf(name); inside && ns != j.t.Namespace {
			j.refuse("point to Services in the release's namespace", "leads to %s, in namespace %s", name, ns)
		} else if !inside {
			j.warn("check where it leads", "leads to %s, outside the namespace", name)
		}
	}
	// Every node sends what goes to such an address to this Service: that of
	// another hub, of the API server or of the Internet just as well.
	ips, _ := dig(j.o.Content, "spec", "externalIPs").([]any)
	for _, ip := range ips {
		if !slices.Contains(j.a.ExternalIPs, text(ip)) {
			j.refuse("use an Ingress or type LoadBalancer, or have the operator allow the address: `charts: {externalIPs: [\"192.0.2.7\"]}` in installation.json",
				"takes over what anything in the cluster sends to %v (externalIPs)", ip)
		}
	}
}

// namespaceOf is the namespace of a Service's name within the cluster,
// [POD.]SERVICE.NAMESPACE.svc[.DOMAIN].
func namespaceOf(name string) (string, bool) {
	labels := strings.Split(strings.ToLower(name), ".")
	for i := len(labels) - 1; i >= 2; i-- {
		if labels[i] == "svc" {
			return labels[i-1], true
		}
	}
	return "", false
}

func (j *judge) ingress() {
	hosts := j.named()
	rules, _ := dig(j.o.Content, "spec", "rules").([]any)
	for _, r := range rules {
		m, _ := r.(map[string]any)
		hosts = append(hosts, text(m["host"]))
	}
	if dig(j.o.Content, "spec", "defaultBackend") != nil {
		hosts = append(hosts, "")
	}
	notes, _ := dig(j.o.Content, "metadata", "annotations").(map[string]any)
	for _, k := range sorted(notes) {
		_, name, _ := strings.Cut(k, "/")
		switch {
		case strings.HasSuffix(k, "-snippet"):
			j.refuse("use the controller's own settings", "has the annotation %s, whose text runs in the ingress controller", k)
		case strings.HasSuffix(name, "-alias"):
			hosts = append(hosts, text(notes[k]))
		case strings.HasSuffix(name, "-secret") || strings.HasSuffix(name, "-set-headers") || strings.HasSuffix(name, "-configmap"):
			if ns, _, elsewhere := strings.Cut(text(notes[k]), "/"); elsewhere && ns != j.t.Namespace {
				j.refuse("use one in the release's namespace", "has the annotation %s, which makes the ingress controller read an object in namespace %s", k, ns)
			}
		}
	}
	j.answers(hosts)
}

func (j *judge) route() {
	names, _ := dig(j.o.Content, "spec", "hostnames").([]any)
	hosts := make([]string, 0, len(names))
	for _, n := range names {
		hosts = append(hosts, text(n))
	}
	if len(hosts) == 0 {
		hosts = append(hosts, "")
	}
	j.answers(hosts)
	j.backends(dig(j.o.Content, "spec", "rules"), 0)
}

// backends refuses the Services of other namespaces that a route leads to.
func (j *judge) backends(v any, depth int) {
	if depth > maxDepth {
		return // refused already
	}
	switch v := v.(type) {
	case map[string]any:
		for _, k := range sorted(v) {
			if k == "backendRef" || k == "backendRefs" {
				refs, ok := v[k].([]any)
				if !ok {
					refs = []any{v[k]}
				}
				for _, r := range refs {
					if ns := text(dig(r, "namespace")); ns != "" && ns != j.t.Namespace {
						j.refuse("point to Services in the release's namespace", "leads to namespace %s", ns)
					}
				}
			}
			j.backends(v[k], depth+1)
		}
	case []any:
		for _, e := range v {
			j.backends(e, depth+1)
		}
	}
}

// answers has a person look at the names that an object answers for.
func (j *judge) answers(hosts []string) {
	for i, h := range hosts {
		if h == "" {
			hosts[i] = "every host name"
		}
	}
	if len(hosts) > 0 {
		j.warn("check that these names are the hub's", "answers for %s", strings.Join(hosts, ", "))
	}
}

func dig(m any, keys ...string) any {
	for _, k := range keys {
		at, ok := m.(map[string]any)
		if !ok {
			return nil
		}
		m = at[k]
	}
	return m
}

func text(v any) string { s, _ := v.(string); return s }

func number(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case int64:
		return float64(v), true
	case int:
		return float64(v), true
	}
	return 0, false
}
