package planner

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/hubship/hubship/internal/plan"
)

func (f *testFleet) plan(q Request) plan.Plan {
	f.tb.Helper()
	if q.Head == "" {
		q.Head = f.head
	}
	p, err := f.planner().Plan(f.tb.Context(), q)
	if err != nil {
		f.tb.Fatal(err)
	}
	if raw, err := json.Marshal(p); err != nil || strings.Contains(string(raw), ":null") {
		f.tb.Errorf("JSON %s, %v", raw, err)
	}
	return p
}

func releasesOfPlan(p plan.Plan) string {
	var out []string
	for _, r := range p.Releases {
		out = append(out, r.Key())
	}
	return strings.Join(out, " ")
}

func objects(r plan.Release) string {
	var out []string
	for _, c := range r.Changes {
		out = append(out, string(c.Change)+" "+c.Object())
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

// TestPlan makes one change at a time to a fleet of two hubs.
func TestPlan(t *testing.T) {
	all := "art@staging art@prod math@staging math@prod"
	for name, tc := range map[string]struct {
		change   map[string]string
		releases string
		objects  string // of the first release
		level    plan.Level
		problems string // checks
	}{
		"documents": {map[string]string{"README.md": "x\n", "deployments/math/notes.txt": "x\n"}, "", "", "", ""},
		"values of one hub": {map[string]string{"deployments/math/config/common.yaml": "singleuser:\n  memory:\n    limit: 3G\nhub:\n  extra:\n    title: math\n"},
			"math@staging math@prod", "changed Deployment hub, changed Secret hub", plan.HubRestart, ""},
		"a comment": {map[string]string{"deployments/math/config/prod.yaml": "# more\nstorage: 20Gi\n"}, "math@prod", "", plan.NoImpact, ""},
		"the proxy of all": {map[string]string{"hub/values.yaml": strings.Replace(chart["hub/values.yaml"], `tag: "4"`, `tag: "5"`, 1)},
			all, "changed Deployment proxy", plan.ProxyDown, ""},
		"a claim that goes": {map[string]string{"deployments/math/config/prod.yaml": "storage: null\n"}, "math@prod", "removed PersistentVolumeClaim hub-db", plan.Destructive, "destroy"},
		"a new user image": {map[string]string{"deployments/art/hubploy.yaml": "images:\n  images:\n    - name: registry.example.org/user/art:b2\n      helm_substitution_path: singleuser.image\n"},
			"art@staging art@prod", "changed Deployment hub, changed Secret hub", plan.HubRestart, ""},
		"a schema violated": {map[string]string{"deployments/math/config/prod.yaml": "storage: 20Gi\nsingleuser:\n  memory:\n    limits: 3G\n"},
			"math@prod", "", plan.Unknown, "parity schema"},
		"broken YAML":            {map[string]string{"deployments/math/config/prod.yaml": "storage: 20Gi\n  x: [\n"}, "math@prod", "", plan.Unknown, "yaml"},
		"a broken template":      {map[string]string{"hub/templates/proxy.yaml": "{{ .Values.proxy.image.name.first }}\n"}, all, "", plan.Unknown, "template"},
		"a hub without its file": {map[string]string{"deployments/art/hubploy.yaml": "images: [\n"}, "art@staging art@prod", "", plan.Unknown, "configuration yaml"},
		"nothing but the clock":  {map[string]string{"deployments/art/config/staging.yaml": "storage: \"1Gi\"\n"}, "art@staging", "", plan.NoImpact, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t, "art", "math")
			base := f.head
			f.commit(name, tc.change)
			p := f.plan(Request{Base: base, Render: true})
			if got := releasesOfPlan(p); got != tc.releases {
				t.Errorf("releases %q, want %q", got, tc.releases)
			}
			var checks []string
			for _, problem := range p.Problems {
				checks = append(checks, problem.Check)
				if problem.Message == "" || problem.File == "" && problem.Object == "" {
					t.Errorf("a problem without words or place: %+v", problem)
				}
			}
			slices.Sort(checks)
			if got := strings.Join(slices.Compact(checks), " "); got != tc.problems {
				t.Errorf("problems %q, want %q: %+v", got, tc.problems, p.Problems)
			}
			if tc.level == "" {
				return
			}
			r := p.Releases[0]
			if got := objects(r); got != tc.objects {
				t.Errorf("objects %q, want %q", got, tc.objects)
			}
			if r.Impact.Level != tc.level || r.Impact.Summary == "" {
				t.Errorf("impact %+v, want %s", r.Impact, tc.level)
			}
			// Without rendering the same releases are found.
			q := f.plan(Request{Base: base})
			if releasesOfPlan(q) != releasesOfPlan(p) || q.Rendered || len(q.Releases[0].Changes) > 0 {
				t.Errorf("not rendered: %+v", q)
			}
		})
	}
}
