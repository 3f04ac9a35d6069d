package ready

import (
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// steadyFor is how long a workload without readiness probes must stay ready.
// Its containers count as ready the moment that they start, so that one which
// crashes at once would pass for ready between two crashes.
const steadyFor = 2 * time.Second

// steadiness remembers since when objects have been ready in one wait.
type steadiness struct {
	looked map[Ref]bool
	since  map[Ref]time.Time
}

func newSteadiness() *steadiness {
	return &steadiness{looked: map[Ref]bool{}, since: map[Ref]time.Time{}}
}

// judge takes back that a workload is ready if that is too new to be believed.
// One that was ready when first looked at, and had not just become so, is
// believed.
func (s *steadiness) judge(states []state) {
	for i := range states {
		st := &states[i]
		first := !s.looked[st.ref]
		s.looked[st.ref] = true
		switch {
		case !st.done:
			delete(s.since, st.ref)
			continue
		case !unprobed(st.object):
			continue
		}
		since, ok := s.since[st.ref]
		if !ok {
			since = time.Now()
			if first && !justChanged(st.object) {
				since = since.Add(-steadyFor)
			}
			s.since[st.ref] = since
		}
		if time.Since(since) < steadyFor {
			st.done, st.message = false, "has just started and has no readiness probe; watching that it stays up"
		}
	}
}

// unprobed says that a workload has a container without a readiness probe.
func unprobed(object *unstructured.Unstructured) bool {
	if object == nil {
		return false
	}
	switch object.GetKind() {
	case "Deployment", "StatefulSet", "DaemonSet":
	default:
		return false
	}
	containers, _, _ := unstructured.NestedSlice(object.Object, "spec", "template", "spec", "containers")
	for _, c := range containers {
		if m, ok := c.(map[string]any); ok && m["readinessProbe"] == nil {
			return true
		}
	}
	return false
}

// justChanged says that one of the object's conditions is newer than a
// steadiness takes.
func justChanged(object *unstructured.Unstructured) bool {
	conditions, _, _ := unstructured.NestedSlice(object.Object, "status", "conditions")
	for _, c := range conditions {
		m, _ := c.(map[string]any)
		for _, field := range []string{"lastUpdateTime", "lastTransitionTime"} {
			text, _ := m[field].(string)
			if at, err := time.Parse(time.RFC3339, text); err == nil && time.Since(at) < 2*steadyFor {
				return true
			}
		}
	}
	return false
}
