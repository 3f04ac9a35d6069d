package planner

import (
	"strings"
	"testing"

	"github.com/hubship/hubship/internal/plan"
)

// TestChartVersion says which version of its dependency the hubs' chart goes
// to, beside the file that says so.
func TestChartVersion(t *testing.T) {
	f := newFleet(t, "math")
	requirements := func(version string) map[string]string {
		return map[string]string{"hub/requirements.yaml": "dependencies:\n- name: jupyterhub\n  version: " + version + "\n  repository: https://charts.example.org\n"}
	}
	base := f.commit("one", requirements("3.3.7"))
	p := f.plan(Request{Base: base, Head: f.commit("two", requirements("3.3.8"))})
	if len(p.Releases) != 2 {
		t.Fatalf("releases %v", releasesOfPlan(p))
	}
	for _, r := range p.Releases {
		if len(r.Reasons) != 1 || r.Reasons[0] != (plan.Reason{Path: "hub/requirements.yaml", Reason: "chart: jupyterhub 3.3.7 → 3.3.8"}) {
			t.Errorf("%s: reasons %+v", r.Key(), r.Reasons)
		}
	}
}

// TestRenamedHub warns that users and data stay with the old name.
func TestRenamedHub(t *testing.T) {
	f := newFleet(t, "math")
	base := f.head
	changes := map[string]string{}
	for name, text := range hubFiles("math") {
		changes[name] = ""
		changes[strings.Replace(name, "/math/", "/numbers/", 1)] = text
	}
	p := f.plan(Request{Base: base, Head: f.commit("rename", changes)})
	var found []plan.Problem
	for _, problem := range p.Problems {
		if problem.Check == "renamed" {
			found = append(found, problem)
		}
	}
	if len(found) != 1 || len(found[0].Releases) != 4 || found[0].Severity != plan.Warning || found[0].File != "deployments/numbers" {
		t.Errorf("problems %+v, hubs %+v", p.Problems, p.Hubs)
	}
}
