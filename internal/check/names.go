package check

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/hubship/hubship/internal/plan"
)

// names judges the object's name, labels and annotations as an API server
// does.
func (m *manifest) names(gv schema.GroupVersion) {
	if why := nameFault(gv.Group, m.object.Kind, m.object.Name); why != "" {
		m.add(plan.Error, "has a name that Kubernetes rejects", why)
	}
	if ns := m.object.Namespace; ns != "" && len(validation.IsDNS1123Label(ns)) > 0 {
		m.add(plan.Error, "has a namespace that Kubernetes rejects", "lower case letters, digits and - only, at most 63")
	}
	m.metadata("metadata", at(m.object.Content, "metadata"))
}

// nameFault says what is wrong with a name, or "".
func nameFault(group, kind, name string) string {
	switch {
	case group == "rbac.authorization.k8s.io":
		if strings.ContainsAny(name, "/%") || name == "." || name == ".." {
			return "it must not contain / or %"
		}
		return ""
	case group == "" && (kind == "Service" || kind == "Namespace"):
		if len(validation.IsDNS1123Label(name)) > 0 {
			return "lower case letters, digits and - only, at most 63"
		}
		return ""
	case group == "batch" && kind == "CronJob" && len(name) > 52:
		return "the name of a CronJob can have at most 52 characters"
	}
	if len(validation.IsDNS1123Subdomain(name)) > 0 {
		return "lower case letters, digits, - and . only, at most 253"
	}
	return ""
}

func (m *manifest) metadata(path string, meta map[string]any) {
	for _, key := range slices.Sorted(maps.Keys(at(meta, "labels"))) {
		value, ok := at(meta, "labels")[key].(string)
		if faults := validation.IsQualifiedName(key); len(faults) > 0 {
			m.field(plan.Error, fmt.Sprintf("%s.labels[%q]", path, key), "a key that Kubernetes rejects", faults[0])
		} else if faults := validation.IsValidLabelValue(value); ok && len(faults) > 0 {
			m.field(plan.Error, fmt.Sprintf("%s.labels[%q]", path, key), fmt.Sprintf("the value %q, which Kubernetes rejects", value),
				"letters, digits, -, _ and . only, at most 63, with a letter or digit first and last")
		}
	}
	for _, key := range slices.Sorted(maps.Keys(at(meta, "annotations"))) {
		if faults := validation.IsQualifiedName(strings.ToLower(key)); len(faults) > 0 {
			m.field(plan.Error, fmt.Sprintf("%s.annotations[%q]", path, key), "a key that Kubernetes rejects", faults[0])
		}
	}
}

// at follows a path of maps. What is not there is an empty map.
func at(content any, path ...string) map[string]any {
	here, _ := content.(map[string]any)
	for _, p := range path {
		here, _ = here[p].(map[string]any)
	}
	return here
}

// pods judges what an object says of pods: their labels against its selector,
// and the names within them.
func (m *manifest) pods() {
	spec := at(m.object.Content, "spec")
	switch m.object.Kind {
	case "Pod":
		m.pod("spec", spec)
		return
	case "CronJob":
		spec = at(spec, "jobTemplate", "spec")
		m.metadata("spec.jobTemplate.spec.template.metadata", at(spec, "template", "metadata"))
		m.pod("spec.jobTemplate.spec.template.spec", at(spec, "template", "spec"))
		return
	case "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job":
	default:
		return
	}
	template := at(spec, "template")
	m.metadata("spec.template.metadata", at(template, "metadata"))
	m.pod("spec.template.spec", at(template, "spec"))
	labels := at(template, "metadata", "labels")
	wants := at(spec, "selector", "matchLabels")
	for _, key := range slices.Sorted(maps.Keys(wants)) {
		if labels[key] != wants[key] {
			m.field(plan.Error, fmt.Sprintf("spec.selector.matchLabels[%q]", key), "a label that its own pods do not have", "give spec.template.metadata.labels the same label")
		}
	}
}

// pod judges what must have names of its own within a pod.
func (m *manifest) pod(path string, spec map[string]any) {
	names := map[string]bool{}
	for _, group := range []string{"initContainers", "containers"} {
		list, _ := spec[group].([]any)
		for i, c := range list {
			container := at(c)
			here := fmt.Sprintf("%s.%s[%d]", path, group, i)
			name, _ := container["name"].(string)
			if names[name] {
				m.field(plan.Error, here+".name", fmt.Sprintf("%q, which is another container's name in this pod", name), "")
			}
			names[name] = true
			m.unique(plan.Error, here+".volumeMounts", container["volumeMounts"], "mountPath", "only one volume can be mounted at a path")
			m.unique(plan.Warning, here+".env", container["env"], "name", "the last one counts, and server-side apply rejects it")
		}
	}
	m.unique(plan.Error, path+".volumes", spec["volumes"], "name", "give each volume its own name")
}

// unique reports items of a list that have the same key.
func (m *manifest) unique(s plan.Severity, path string, list any, key, hint string) {
	items, _ := list.([]any)
	seen := map[string]bool{}
	for i, item := range items {
		value, ok := at(item)[key].(string)
		if ok && seen[value] {
			m.field(s, fmt.Sprintf("%s[%d].%s", path, i, key), fmt.Sprintf("duplicate %q", value), hint)
		}
		seen[value] = true
	}
}
