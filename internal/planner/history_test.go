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

// TestMissingChart has a dependency that is not to be had: a change that does
// not touch it is not to blame, the one that asks for it is.
func TestMissingChart(t *testing.T) {
	f := newFleet(t, "math")
	without := f.head
	wanting := f.commit("want it", map[string]string{
		"hub/requirements.yaml": "dependencies:\n- name: gone\n  version: 1.0.0\n  repository: https://127.0.0.1:1/charts\n",
	})
	later := f.commit("something else", map[string]string{"deployments/math/config/prod.yaml": "storage: 30Gi\n"})
	for name, tt := range map[string]struct {
		base, head string
		severity   plan.Severity
		old        bool
	}{
		"asks for it":    {without, wanting, plan.Error, false},
		"something else": {wanting, later, plan.Warning, true},
	} {
		t.Run(name, func(t *testing.T) {
			p := f.plan(Request{Base: tt.base, Head: tt.head, Render: true})
			var found []plan.Problem
			for _, problem := range p.Problems {
				if problem.Check == "chart" {
					found = append(found, problem)
				}
			}
			if len(found) != 1 || found[0].Severity != tt.severity || found[0].Preexisting != tt.old {
				t.Errorf("problems %+v", p.Problems)
			}
			if len(p.Releases) == 0 || p.Releases[0].Unrendered == "" {
				t.Errorf("releases %+v", p.Releases)
			}
		})
	}
}

// TestUsuallyOpen tells packages that people pin from those that they do not.
func TestUsuallyOpen(t *testing.T) {
	for name, tt := range map[string]struct {
		p    plan.Package
		want bool
	}{
		"Debian":             {plan.Package{Ecosystem: "apt", Name: "vim"}, true},
		"a series of Python": {plan.Package{Ecosystem: "conda", Name: "python", After: "==3.11.*"}, true},
		"any Python":         {plan.Package{Ecosystem: "conda", Name: "python"}, false},
		"pip of conda":       {plan.Package{Ecosystem: "conda", Name: "pip"}, true},
		"a library":          {plan.Package{Ecosystem: "conda", Name: "numpy", After: ">=1.20"}, false},
		"pip's own":          {plan.Package{Ecosystem: "pip", Name: "pip"}, false},
	} {
		if got := usuallyOpen(tt.p); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
