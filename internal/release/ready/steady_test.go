package ready

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestSteadiness(t *testing.T) {
	object := func(probe bool, changed time.Time) *unstructured.Unstructured {
		container := map[string]any{"name": "c"}
		if probe {
			container["readinessProbe"] = map[string]any{}
		}
		return &unstructured.Unstructured{Object: map[string]any{
			"kind":   "Deployment",
			"spec":   map[string]any{"template": map[string]any{"spec": map[string]any{"containers": []any{container}}}},
			"status": map[string]any{"conditions": []any{map[string]any{"lastUpdateTime": changed.UTC().Format(time.RFC3339)}}},
		}}
	}
	old, now := time.Now().Add(-time.Hour), time.Now()
	ref := Ref{Name: "x"}
	look := func(s *steadiness, done bool, o *unstructured.Unstructured) bool {
		states := []state{{ref: ref, object: o, done: done}}
		s.judge(states)
		return states[0].done
	}
	if !look(newSteadiness(), true, object(false, old)) {
		t.Error("one that has long been ready is not believed")
	}
	if look(newSteadiness(), true, object(false, now)) {
		t.Error("one that has just become ready is believed")
	}
	if !look(newSteadiness(), true, object(true, now)) {
		t.Error("a readiness probe is not believed")
	}
	s := newSteadiness()
	look(s, false, object(false, old))
	if look(s, true, object(false, old)) {
		t.Error("one that became ready in this wait is believed at once")
	}
	s.since[ref] = time.Now().Add(-steadyFor)
	if !look(s, true, object(false, old)) {
		t.Error("one that stayed ready is not believed")
	}
	look(s, false, object(false, old))
	if look(s, true, object(false, old)) {
		t.Error("one that was not ready in between is believed at once")
	}
}
