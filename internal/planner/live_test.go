package planner

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/plan"
	"github.com/hubship/hubship/internal/release"
	"github.com/hubship/hubship/internal/release/helm"
	"github.com/hubship/hubship/internal/repo"
)

// asked notes which clusters a plan speaks to, and about which releases.
type asked struct {
	mu   sync.Mutex
	list []string
}

func (a *asked) add(s string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.list = append(a.list, s)
}

func (a *asked) Servers(_ context.Context, c model.Cluster, t model.Target) (int, error) {
	a.add("servers on " + c.Name + " " + t.Namespace)
	return 7, nil
}

func (a *asked) Images(_ context.Context, c model.Cluster) (map[string]bool, error) {
	a.add("images on " + c.Name)
	return map[string]bool{}, nil
}

func (a *asked) DryRun(_ context.Context, c model.Cluster, t model.Target, _ []release.Object) []plan.Problem {
	a.add("dry run on " + c.Name + " " + t.Namespace)
	return nil
}

// TestPlansAskClustersOfTheProcess has a change lead its own releases to a cluster
// that the installation has and the process does not name: nobody asks there.
func TestPlansAskClustersOfTheProcess(t *testing.T) {
	const process = `version: 1
hubs: {path: deployments/*, chart: hub, values: [config/common.yaml, "config/{env}.yaml"]}
environments:
  staging: {branch: staging, cluster: campus, namespace: "{hub}-staging"}
  prod: {branch: prod, cluster: campus, namespace: "{hub}-prod", after: staging}
`
	f := newFleet(t, "math")
	base := f.commit("describe the process", map[string]string{"hubship.yaml": process, "deployments/math/hubploy.yaml": ""})
	var a asked
	var names []string
	p, err := New(Options{
		Repository: repo.New(f.git, repo.Options{}), Renderer: helm.NewRenderer(helm.RendererOptions{}), Live: &a,
		Clusters: func(_ context.Context, name string) (model.Cluster, error) {
			names = append(names, name)
			return model.Cluster{Name: name}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	change := map[string]string{"deployments/math/config/common.yaml": "singleuser:\n  memory:\n    limit: 3G\n"}
	f.commit("a change", change)
	made, err := p.Plan(t.Context(), Request{Base: base, Head: f.head, Render: true})
	if err != nil || len(made.Releases) != 2 || made.Releases[0].Impact.Active == nil {
		t.Fatalf("%+v, %v", made, err)
	}
	if !slices.Contains(a.list, "servers on campus math-prod") || !slices.Contains(a.list, "dry run on campus math-staging") {
		t.Errorf("asked %q", a.list)
	}

	a.list, names = nil, nil
	change["hubship.yaml"] = `version: 1
hubs: {path: deployments/*, chart: hub, values: [config/common.yaml, "config/{env}.yaml"]}
environments:
  staging: {branch: staging, cluster: library, namespace: "{hub}-staging"}
  prod: {branch: prod, cluster: library, namespace: "{hub}-prod", after: staging}
`
	if err := f.git.SetBranch(t.Context(), "staging", base, f.head); err != nil {
		t.Fatal(err)
	}
	f.head = base
	head := f.commit("lead it elsewhere", change)
	if err := f.git.SetBranch(t.Context(), "staging", base, head); err != nil {
		t.Fatal(err) // the process of now is that of before
	}
	if _, err := p.Plan(t.Context(), Request{Base: base, Head: head, Branch: "staging", Render: true}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(names, []string{"campus"}) || !slices.Equal(a.list, []string{"images on campus"}) {
		t.Errorf("looked up %q and asked %q", names, a.list)
	}
}
