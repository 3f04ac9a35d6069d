package planner

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hubship/hubship/internal/plan"
	"github.com/hubship/hubship/internal/release/helm"
	"github.com/hubship/hubship/internal/repo"
)

func problemsOf(p plan.Plan) string {
	var out []string
	for _, q := range p.Problems {
		old := ""
		if q.Preexisting {
			old = " old"
		}
		out = append(out, string(q.Severity)+" "+q.Check+old+" "+q.File+": "+q.Message+" "+strings.Join(q.Releases, " "))
	}
	return strings.Join(out, "\n")
}

const twoCharts = `version: 1
hubs:
  path: deployments/*
  chart: hub
  charts: {art: other}
  values: [config/common.yaml, "config/{env}.yaml"]
  secrets: ["secrets/{env}.yaml"]
  optional: true
environments:
  staging: {cluster: local}
  prod: {cluster: local, after: staging}
`

// TestChartOfOneHub plans changes of a chart that one hub has alone.
func TestChartOfOneHub(t *testing.T) {
	other := map[string]string{"hubship.yaml": twoCharts, "other/Chart.yaml": "apiVersion: v2\nname: other\nversion: 2.0.0\n",
		"other/values.yaml": "size: 1\n", "other/templates/x.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}\ndata:\n  size: {{ .Values.size | quote }}\n"}
	for name, tc := range map[string]struct {
		change   map[string]string
		releases string
		want     string // the only problem
	}{
		"its values":        {map[string]string{"other/values.yaml": "size: 2\n"}, "art@staging art@prod", ""},
		"its values, wrong": {map[string]string{"other/values.yaml": "size: 1\nsize: 2\n"}, "art@staging art@prod", "error yaml other/values.yaml: "},
		"back":              {map[string]string{"other/Chart.yaml": "apiVersion: v2\nname: other\nversion: 1.0.0\n"}, "art@staging art@prod", "warning chart other/Chart.yaml: the hub chart goes back from 2.0.0 to 1.0.0"},
		"unreadable":        {map[string]string{"other/Chart.yaml": "name: [\n"}, "art@staging art@prod", "error chart other/Chart.yaml: chart other: read other/Chart.yaml: yaml: line 1"},
		"the other chart":   {map[string]string{"hub/templates/x.yaml": "# nothing\n"}, "math@staging math@prod", ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t, "art", "math")
			base := f.commit("two charts", other)
			f.commit(name, tc.change)
			p := f.plan(Request{Base: base, Render: true})
			if got := releasesOfPlan(p); got != tc.releases {
				t.Errorf("releases %q, want %q", got, tc.releases)
			}
			if got := problemsOf(p); !strings.HasPrefix(got, tc.want) || tc.want == "" && got != "" || strings.Contains(got, "\n") {
				t.Errorf("problems %q, want %q", got, tc.want)
			}
			for _, r := range p.Releases {
				if (r.Unrendered != "") != (name == "unreadable") {
					t.Errorf("%s: %q", r.Key(), r.Unrendered)
				}
			}
		})
	}
}

// TestWrongDescription tells what is wrong with the head as what it is, whether or
// not the base has it too, and what is wrong with the base alone as a notice.
func TestWrongDescription(t *testing.T) {
	f := newFleet(t, "art")
	good := f.commit("described", map[string]string{"hubship.yaml": strings.Replace(twoCharts, "  charts: {art: other}\n", "", 1)})
	bad := f.commit("broken", map[string]string{"hubship.yaml": "version: 2\n"})
	worse := f.commit("still broken", map[string]string{"README.md": "x\n"})
	for _, tc := range []struct{ base, head, want string }{
		{good, bad, "error configuration hubship.yaml: "},
		{bad, worse, "error configuration old hubship.yaml: "},
		{bad, good, "notice configuration hubship.yaml: the base could not be read, so everything counts as new: "},
	} {
		got := problemsOf(f.plan(Request{Base: tc.base, Head: tc.head}))
		for _, line := range strings.Split(got, "\n") {
			if !strings.HasPrefix(line, tc.want) {
				t.Errorf("%.7s..%.7s: %q, want %q", tc.base, tc.head, line, tc.want)
			}
		}
	}
}

// TestGitCrypt plans around a file of which nothing can be read, and says so
// where it changes.
func TestGitCrypt(t *testing.T) {
	f := newFleet(t, "art")
	base := f.commit("secrets", map[string]string{"deployments/art/secrets/prod.yaml": gitCrypt + "one"})
	p := f.plan(Request{Base: base, Head: f.commit("values", map[string]string{"deployments/art/config/common.yaml": "singleuser:\n  memory:\n    limit: 4G\n"}), Render: true})
	for _, r := range p.Releases {
		if r.Unrendered != "" || len(r.Changes) == 0 || (len(r.Placeholders) == 1) != (r.Environment == "prod") {
			t.Errorf("%+v", r)
		}
	}
	base = f.head
	p = f.plan(Request{Base: base, Head: f.commit("secrets", map[string]string{"deployments/art/secrets/prod.yaml": gitCrypt + "two"}), Render: true})
	if releasesOfPlan(p) != "art@prod" || !strings.Contains(p.Releases[0].Unrendered, "secrets/prod.yaml changes and cannot be read here") || p.Releases[0].Impact.Level != plan.Unknown {
		t.Errorf("%+v", p.Releases)
	}
	// One that goes is no less unknown.
	base = f.head
	p = f.plan(Request{Base: base, Head: f.commit("none", map[string]string{"deployments/art/secrets/prod.yaml": ""}), Render: true})
	if releasesOfPlan(p) != "art@prod" || p.Releases[0].Unrendered == "" {
		t.Errorf("%+v", p.Releases)
	}
}

// TestSameContentTwice names each of two files of the same broken content.
func TestSameContentTwice(t *testing.T) {
	f := newFleet(t, "art", "math")
	base := f.head
	f.commit("broken", map[string]string{"deployments/art/config/prod.yaml": "a: [\n", "deployments/math/config/prod.yaml": "a: [\n"})
	p := f.plan(Request{Base: base, Render: true})
	for _, r := range p.Releases {
		if !strings.Contains(r.Unrendered, "deployments/"+r.Hub+"/config/prod.yaml") {
			t.Errorf("%s: %s", r.Key(), r.Unrendered)
		}
	}
}

// TestNeverRendered has a template that fails on both sides: that is not new.
func TestNeverRendered(t *testing.T) {
	f := newFleet(t, "art")
	base := f.commit("a failure", map[string]string{"hub/templates/x.yaml": `{{ fail "no" }}`})
	f.commit("values", map[string]string{"deployments/art/config/prod.yaml": "storage: 30Gi\n"})
	if got := problemsOf(f.plan(Request{Base: base, Render: true})); !strings.HasPrefix(got, "error template old hub/templates/x.yaml: ") {
		t.Errorf("problems %q", got)
	}
	base = f.head
	f.commit("another failure", map[string]string{"hub/templates/x.yaml": `{{ fail "not at all" }}`})
	if got := problemsOf(f.plan(Request{Base: base, Render: true})); !strings.HasPrefix(got, "error template hub/templates/x.yaml: ") {
		t.Errorf("problems %q", got)
	}
}

// TestNoFileOfItsOwn has a folder that is a hub's to be: it has no release, and
// nothing is wrong with it.
func TestNoFileOfItsOwn(t *testing.T) {
	f := newFleet(t, "art")
	base := f.commit("described", map[string]string{"hubship.yaml": strings.Replace(twoCharts, "  charts: {art: other}\n", "", 1)})
	f.commit("prepared", map[string]string{"deployments/math/config/common.yaml": "storage: 2Gi\n"})
	p := f.plan(Request{Base: base, Render: true})
	if got := problemsOf(p); got != "notice configuration deployments/math: hub math has no file of its own for any environment, so it has no release " || releasesOfPlan(p) != "" {
		t.Errorf("releases %q, problems %q", releasesOfPlan(p), got)
	}
	base = f.head
	f.commit("nothing", map[string]string{"README.md": "x\n"})
	if got := problemsOf(f.plan(Request{Base: base})); !strings.HasPrefix(got, "notice configuration old ") {
		t.Errorf("problems %q", got)
	}
}

// TestManyLoops plans a chart that loops for many hubs in the time of a few.
func TestManyLoops(t *testing.T) {
	f := newFleet(t, manyHubs(40)...)
	base := f.head
	f.commit("a loop", map[string]string{"hub/templates/loop.yaml": "{{ range until 100000 }}{{ range until 100000 }}{{ range until 100000 }}{{ end }}{{ end }}{{ end }}\n"})
	q, err := New(Options{Repository: repo.New(f.git, repo.Options{}), Renderer: helm.NewRenderer(helm.RendererOptions{Timeout: slowRender + 500*time.Millisecond})})
	if err != nil {
		t.Fatal(err)
	}
	if testing.Short() {
		t.Skip("it takes as long as a render may")
	}
	start := time.Now()
	p, err := q.Plan(t.Context(), Request{Base: base, Head: f.head, Render: true})
	if took := time.Since(start); err != nil || took > 6*slowRender {
		t.Errorf("%s, %v", took, err)
	}
	if len(p.Releases) != 80 || len(p.Problems) != 1 || len(p.Problems[0].Releases) != 80 ||
		// Which bound is met first depends on the machine.
		!strings.Contains(p.Problems[0].Message, "does a template loop?") && !strings.Contains(p.Problems[0].Message, "templates build texts of more than") {
		t.Errorf("%d releases, problems %.500s", len(p.Releases), problemsOf(p))
	}
}

// TestCancelled ends a plan at once, wherever it is.
func TestCancelled(t *testing.T) {
	f := newFleet(t, manyHubs(20)...)
	base := f.head
	f.commit("all", map[string]string{"hub/values.yaml": chart["hub/values.yaml"] + "more: 1\n"})
	whole := time.Now()
	if _, err := f.planner().Plan(t.Context(), Request{Base: base, Head: f.head, Render: true}); err != nil {
		t.Fatal(err)
	}
	step := time.Since(whole) / 12
	ended := 0
	for i := range 12 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*step)
		_, err := f.planner().Plan(ctx, Request{Base: base, Head: f.head, Render: true})
		over := time.Now()
		deadline, _ := ctx.Deadline()
		cancel()
		if err == nil {
			continue // it was faster this time
		}
		ended++
		if !errors.Is(err, context.DeadlineExceeded) || over.Sub(deadline) > 5*time.Second {
			t.Errorf("after %s of its time: %v", over.Sub(deadline), err)
		}
	}
	if ended == 0 {
		t.Error("no plan was ended")
	}
}
