package ship_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/git"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/process"
	"github.com/hubship/hubship/internal/repo"
)

// What the process branch says, and what other branches say of themselves.
const (
	content = "version: 1\nhubs: {path: deployments/*, chart: hub, values: [config/common.yaml]}\n"
	truth   = "environments:\n  stage: {branch: stage, cluster: local}\n  live: {branch: production, cluster: local, after: stage}\n"
)

var lies = []string{
	"environments:\n  live: {branch: x, cluster: local}\n",
	"environments:\n  live: {branch: production, cluster: local}\n",
	"environments:\n  live: {branch: stage, cluster: local, namespace: '{hub}'}\n",
	"environments:\n  stage: {branch: x, cluster: evil, push: true}\nreview: {approvals: 0}\n",
	"environments: nonsense\n",
	truth,
}

// TestLyingCommits pushes commits whose own hubship.yaml lies about the process,
// on random branches of a real repository: no branch that the process does not
// name causes a run, and nothing enters the environment with a gate without
// evidence from the one before.
func TestLyingCommits(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 14))
	g, err := git.Init(t.Context(), filepath.Join(t.TempDir(), "r.git"), git.InitOptions{Bare: true, DefaultBranch: "main"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() })
	heads := map[string]string{}
	commit := func(branch, says string) string {
		id, err := g.CommitFiles(t.Context(), branch, heads[branch], map[string][]byte{
			"hubship.yaml": []byte(content + says), "hub/Chart.yaml": []byte("name: hub\n"), "deployments/data/config/common.yaml": []byte(fmt.Sprintf("n: %d\n", random.Int())),
		}, nil, "A commit", git.Identity{Name: "Carl", Email: "carl@localhost"})
		if err != nil {
			t.Fatal(err)
		}
		heads[branch] = id
		return id
	}
	commit("main", truth)
	w := newWorld()
	w.repository = repo.New(g, repo.Options{Process: process.New(g, "")})
	e := w.start(t, t.TempDir())
	branches := []string{"stage", "production", "x", "staging", "prod"}
	for range 12 {
		branch := branches[random.IntN(len(branches))]
		id := commit(branch, lies[random.IntN(len(lies))])
		if branch == "production" && random.IntN(3) == 0 && heads["stage"] != "" {
			// What stage has is promoted, as its branch is at.
			if err := g.SetBranch(t.Context(), "production", heads["stage"], id); err != nil {
				t.Fatal(err)
			}
			id, heads["production"] = heads["stage"], heads["stage"]
		}
		runs, err := e.Pushed(t.Context(), []forge.RefUpdate{{Branch: branch, Old: forge.ZeroID, New: id}}, "carl")
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]string{"stage": "stage", "production": "live"}[branch]
		if want == "" && len(runs) > 0 || want != "" && (len(runs) != 1 || runs[0].Environment != want) {
			t.Fatalf("a push to %s asked for %+v", branch, runs)
		}
		for _, r := range settle(t, e) {
			if r.State.Final() && r.Process != "" && r.Process != heads["main"] {
				t.Fatalf("run %s was judged by %s", r.ID, r.Process)
			}
		}
		onlyProvenRuns(t, w, heads["main"])
	}
	// What stage has verified goes live, whatever its commit says.
	id := commit("stage", lies[1])
	if _, err := e.Pushed(t.Context(), []forge.RefUpdate{{Branch: "stage", New: id}}, "carl"); err != nil {
		t.Fatal(err)
	}
	settle(t, e)
	if err := g.SetBranch(t.Context(), "production", id, heads["production"]); err != nil {
		t.Fatal(err)
	}
	if r := push(t, e, "production", id); r.State != model.Done || r.Process != heads["main"] || len(w.releases["data@live"]) == 0 {
		t.Fatalf("the promotion: %+v", r)
	}
	// A commit of another branch is refused, and an old one of the own is not.
	if _, err := e.Start(t.Context(), model.RunRequest{Kind: model.Deploy, Environment: "live", Rev: commit("x", lies[1])}); model.ExitCodeOf(err) != model.ExitRefused {
		t.Errorf("a commit of another branch: %v", err)
	}
	// A process that cannot be read stops everything.
	commit("main", "environments: {")
	if runs, err := e.Pushed(t.Context(), []forge.RefUpdate{{Branch: "stage", New: commit("stage", truth)}}, "carl"); err == nil || len(runs) > 0 {
		t.Errorf("a push without a process: %v, %v", runs, err)
	}
	if s, err := e.Status(t.Context()); err != nil || len(s.Problems) != 1 || !strings.Contains(s.Problems[0], "main") {
		t.Errorf("status %+v, %v", s, err)
	}
	if len(e.Reconcile(t.Context())) != 1 {
		t.Error("a reconcile pass without a process says nothing")
	}
}

// onlyProvenRuns holds that there are releases where the process has them alone,
// and that what runs live was verified on stage under that process.
func onlyProvenRuns(t *testing.T, w *world, process string) {
	t.Helper()
	w.set(func() {
		for key := range w.releases {
			if !strings.HasSuffix(key, "@stage") && !strings.HasSuffix(key, "@live") {
				t.Fatalf("a release %s", key)
			}
		}
		for _, rec := range w.releases["data@live"] {
			shared := w.shared[rec.commit]
			if !slices.ContainsFunc(w.evidence["data@stage"], func(ev model.Evidence) bool { return ev.Shared == shared && ev.Process == process }) {
				t.Fatalf("%s runs live, and stage never verified it", rec.commit)
			}
		}
	})
}
