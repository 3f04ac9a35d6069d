package confine

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

const rbacGroup = "rbac.authorization.k8s.io"

// dangerous are the verbs by which somebody gets more rights than a rule says.
var dangerous = set("escalate", "bind", "impersonate")

// schedulerSuffix is how Zero to JupyterHub names its scheduler's objects.
const schedulerSuffix = "user-scheduler"

// schedulerRules are the rights of Zero to JupyterHub's user scheduler, which
// are those of Kubernetes' own scheduler: verbs by "group/resource". They are
// all that a chart may grant beyond its namespace.
var schedulerRules = func() map[string]map[string]bool {
	out := map[string]map[string]bool{}
	add := func(verbs string, resources ...string) {
		for _, r := range resources {
			if out[r] == nil {
				out[r] = map[string]bool{}
			}
			for _, v := range strings.Fields(verbs) {
				out[r][v] = true
			}
		}
	}
	add("create patch update", "/events", "events.k8s.io/events")
	add("create get list update watch", "coordination.k8s.io/leases")
	add("create delete deletecollection get list patch update watch", "coordination.k8s.io/leasecandidates")
	add("get list watch", "/nodes", "/replicationcontrollers", "/services", "/namespaces",
		"apps/replicasets", "extensions/replicasets", "apps/statefulsets", "policy/poddisruptionbudgets",
		"storage.k8s.io/csinodes", "storage.k8s.io/volumeattachments", "storage.k8s.io/csidrivers",
		"storage.k8s.io/csistoragecapacities", "storage.k8s.io/storageclasses",
		"resource.k8s.io/deviceclasses", "resource.k8s.io/resourceslices")
	add("delete get list watch", "/pods")
	add("create", "/bindings", "/pods/binding", "authentication.k8s.io/tokenreviews", "authorization.k8s.io/subjectaccessreviews")
	add("patch update", "/pods/status", "resource.k8s.io/resourceclaims/binding")
	add("update", "/pods/finalizers")
	add("get list patch update watch", "/persistentvolumes", "/persistentvolumeclaims",
		"resource.k8s.io/resourceclaims", "resource.k8s.io/resourceclaims/status")
	return out
}()

// rules judges what a role grants. Within its namespace a role may grant what
// has a name; for the whole cluster, what the user scheduler needs.
func (j *judge) rules(wide bool) {
	if wide {
		const hint = "grant rights with a Role, within the namespace; only Zero to JupyterHub's user scheduler gets more"
		switch {
		case j.o.Content["aggregationRule"] != nil:
			j.refuse(hint, "gathers the rules of other roles")
		case !strings.HasSuffix(j.o.Name, schedulerSuffix):
			j.refuse(hint, "grants rights in the whole cluster")
			return
		case !j.a.UserScheduler:
			j.refuse("set scheduling.userScheduler.enabled to false; or the operator sets charts.userScheduler in installation.json", "grants the user scheduler's rights, which cover pods in all namespaces and which this installation refuses")
			return
		}
	}
	list, _ := j.o.Content["rules"].([]any)
	if j.o.Content["rules"] != nil && list == nil {
		j.refuse("write rules as a list", "has rules that cannot be read")
	}
	for _, r := range list {
		m, ok := r.(map[string]any)
		if !ok {
			j.refuse("write rules as a list of maps", "has a rule that cannot be read")
			continue
		}
		j.rule(m, wide)
	}
}

func (j *judge) rule(m map[string]any, wide bool) {
	groups, gok := texts(m["apiGroups"])
	resources, rok := texts(m["resources"])
	verbs, vok := texts(m["verbs"])
	if !gok || !rok || !vok {
		j.refuse("write apiGroups, resources and verbs as lists of strings", "has a rule that cannot be read")
		return
	}
	if m["nonResourceURLs"] != nil {
		j.refuse("remove nonResourceURLs", "grants access to paths of the API server")
	}
	for _, s := range slices.Concat(groups, resources, verbs) {
		if strings.Contains(s, "*") {
			j.refuse("name what is granted", "grants %q: everything", s)
			return
		}
	}
	for _, v := range verbs {
		if dangerous[v] {
			j.refuse("remove the verb", "grants %s, with which somebody can gain other rights", v)
		}
	}
	if !wide {
		j.within(groups, resources, verbs)
		return
	}
	for _, g := range groups {
		for _, r := range resources {
			for _, v := range verbs {
				if g+"/"+r == leases && v != "create" && !j.lock(m) {
					j.refuse("name the lock in resourceNames", "grants %s on every Lease in the whole cluster", v)
				}
				if !schedulerRules[g+"/"+r][v] {
					j.refuse("leave it to the cluster's operator", "grants %s on %s in the whole cluster, which the user scheduler does not need", v, strings.TrimPrefix(g+"/"+r, "/"))
				}
			}
		}
	}
}

// reads are the verbs that change nothing.
var reads = set("get", "list", "watch")

// writable is what else pods may write within their namespace: what no object
// of a chart's kinds is, and what reaches nowhere.
var writable = set("/events", "events.k8s.io/events", leases)

// within judges what pods of the namespace may write there. A kind that a chart
// may not have may not be had by way of its pods either: controllers of the
// cluster act on such objects with rights of their own.
func (j *judge) within(groups, resources, verbs []string) {
	if !slices.ContainsFunc(verbs, func(v string) bool { return !reads[v] }) {
		return
	}
	for _, g := range groups {
		for _, r := range resources {
			base, _, _ := strings.Cut(r, "/")
			if at := g + "/" + base; !writable[at] && !j.known(g, base) {
				j.refuse("grant only get, list and watch, or have the operator allow the kind: `charts: {kinds: […]}` in installation.json",
					"lets pods write %s, a kind that charts may not have here", strings.TrimPrefix(at, "/"))
			}
		}
	}
}

// known says that a resource is that of a kind that charts may have.
func (j *judge) known(group, resource string) bool {
	is := func(kind string) bool {
		g, k, grouped := strings.Cut(kind, "/")
		if !grouped {
			g, k = "", kind
		}
		plural, _ := meta.UnsafeGuessKindToResource(schema.GroupVersionKind{Group: g, Kind: k})
		return g == group && plural.Resource == resource
	}
	for kind := range namespaced {
		if is(kind) {
			return true
		}
	}
	return slices.ContainsFunc(j.a.Kinds, is)
}

// leases are what hubship's own locks are, too.
const leases = "coordination.k8s.io/leases"

// lock says that a rule is about the scheduler's own lock alone.
func (j *judge) lock(rule map[string]any) bool {
	names, ok := texts(rule["resourceNames"])
	return ok && len(names) > 0 && !slices.ContainsFunc(names, func(n string) bool { return !strings.HasSuffix(n, schedulerSuffix+"-lock") })
}

// binding judges who gets a role: service accounts of the namespace, and a
// role of the release.
func (j *judge) binding(roleKind string) {
	ref, _ := j.o.Content["roleRef"].(map[string]any)
	kind, name := text(ref["kind"]), text(ref["name"])
	switch {
	case kind != roleKind || text(ref["apiGroup"]) != rbacGroup:
		j.refuse("bind a Role of the release", "binds %s %s, which is not the release's own", kind, name)
	case roleKind == "ClusterRole" && (name != j.o.Name || !strings.HasSuffix(name, schedulerSuffix)):
		j.refuse("grant rights with a Role and a RoleBinding, within the namespace", "binds the ClusterRole %s in the whole cluster", name)
	}
	subjects, ok := j.o.Content["subjects"].([]any)
	if !ok && j.o.Content["subjects"] != nil {
		j.refuse("write subjects as a list", "has subjects that cannot be read")
	}
	for _, s := range subjects {
		m, _ := s.(map[string]any)
		ns := text(m["namespace"])
		if text(m["kind"]) != "ServiceAccount" || text(m["apiGroup"]) != "" || ns != "" && ns != j.t.Namespace {
			j.refuse("bind service accounts in the namespace "+j.t.Namespace, "gives rights to %s %s, which is not in the release's namespace", text(m["kind"]), strings.TrimPrefix(ns+"/"+text(m["name"]), "/"))
		}
	}
}

// texts reads a list of texts; nothing is an empty list.
func texts(v any) ([]string, bool) {
	if v == nil {
		return nil, true
	}
	list, ok := v.([]any)
	if !ok {
		return nil, false
	}
	out := make([]string, len(list))
	for i, e := range list {
		if out[i], ok = e.(string); !ok {
			return nil, false
		}
	}
	return out, true
}
