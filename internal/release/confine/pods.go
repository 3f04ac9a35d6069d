package confine

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// baseline evaluates the Pod Security Standard "baseline" as an API server
// does.
var baseline = func() policy.Evaluator {
	e, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		panic(err) // the checks are Kubernetes' own
	}
	return e
}()

// maxDepth bounds how deep an object is looked into: no kind is as deep.
const maxDepth = 60

// pods judges everything in an object that is made like a pod, wherever it
// stands: in a Pod, in the template of a workload, in a kind that is not known
// here.
func (j *judge) pods(v any, meta map[string]any, depth int) {
	if depth > maxDepth {
		j.refuse("nest it less deeply", "is nested more than %d levels deep", maxDepth)
		return
	}
	switch v := v.(type) {
	case map[string]any:
		if isPodSpec(v) {
			j.pod(v, meta)
		}
		j.origin(v)
		above, _ := v["metadata"].(map[string]any)
		for _, k := range sorted(v) {
			if k == "spec" {
				j.pods(v[k], above, depth+1)
			} else {
				j.pods(v[k], nil, depth+1)
			}
		}
	case []any:
		for _, e := range v {
			j.pods(e, nil, depth+1)
		}
	}
}

// origin refuses a claim, or the template of one in a StatefulSet or an
// ephemeral volume, that takes its data from elsewhere, and has a person look at
// the volume that it names.
func (j *judge) origin(m map[string]any) {
	if volume := text(m["volumeName"]); volume != "" {
		j.warn("check that the volume is the hub's", "takes the volume %s", volume)
	}
	for _, field := range []string{"dataSource", "dataSourceRef"} {
		if ns := text(dig(m[field], "namespace")); ns != "" && ns != j.t.Namespace {
			j.refuse("copy claims within the release's namespace", "takes its data from namespace %s", ns)
		}
	}
}

func isPodSpec(m map[string]any) bool {
	for _, field := range []string{"containers", "initContainers", "ephemeralContainers"} {
		if list, ok := m[field].([]any); ok && len(list) > 0 {
			if _, ok := list[0].(map[string]any); ok {
				return true
			}
		}
	}
	return false
}

func (j *judge) pod(spec, meta map[string]any) {
	var s corev1.PodSpec
	var m metav1.ObjectMeta
	converter := runtime.DefaultUnstructuredConverter
	if converter.FromUnstructured(spec, &s) != nil || converter.FromUnstructured(map[string]any{"annotations": meta["annotations"]}, &m) != nil {
		j.refuse("compare it with the Kubernetes reference for pods", "has a pod that cannot be read, and so cannot be judged")
		return
	}
	if strings.HasPrefix(s.PriorityClassName, "system-") {
		j.refuse("leave out priorityClassName", "has pods with the priority %s, which is the cluster's own", s.PriorityClassName)
	}
	if j.a.Privileged {
		return
	}
	j.drop(&s)
	for _, r := range baseline.EvaluatePod(api.LevelVersion{Level: api.LevelBaseline, Version: api.LatestVersion()}, &m, &s) {
		if r.Allowed {
			continue
		}
		message := "has pods that can access their node: " + r.ForbiddenReason
		if r.ForbiddenDetail != "" {
			message += " (" + r.ForbiddenDetail + ")"
		}
		j.refuse("pods must meet the Pod Security Standard baseline; the operator can allow more with `charts` in installation.json", "%s", message)
	}
}

// drop takes out the capabilities that the installation allows.
func (j *judge) drop(s *corev1.PodSpec) {
	if len(j.a.Capabilities) == 0 {
		return
	}
	clean := func(sc *corev1.SecurityContext) {
		if sc != nil && sc.Capabilities != nil {
			sc.Capabilities.Add = slices.DeleteFunc(sc.Capabilities.Add, func(c corev1.Capability) bool {
				return slices.Contains(j.a.Capabilities, string(c))
			})
		}
	}
	for i := range s.Containers {
		clean(s.Containers[i].SecurityContext)
	}
	for i := range s.InitContainers {
		clean(s.InitContainers[i].SecurityContext)
	}
	for i := range s.EphemeralContainers {
		clean(s.EphemeralContainers[i].SecurityContext)
	}
}

func sorted(m map[string]any) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
