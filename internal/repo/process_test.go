package repo_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hubship/hubship/internal/git"
	"github.com/hubship/hubship/internal/process"
	"github.com/hubship/hubship/internal/repo"
)

const content = `version: 1
hubs:
  path: deployments/*
  chart: hub
  values: [config/common.yaml]
`

// lies are what commits say about the process.
var lies = []string{
	"environments:\n  live: {branch: x, cluster: k}\n",
	"environments:\n  stage: {branch: stage, cluster: evil}\n  live: {branch: live, cluster: evil, namespace: kube-system}\n",
	"environments:\n  live: {branch: live, cluster: k, push: true}\nreview: {approvals: 0}\nrevert: auto\n",
	"environments:\n  other: {cluster: k, after: nothing}\n",
	"environments: 7\nreview: [1]\nclusters: {k: {kubeconfig: /etc/passwd, context: x}}\nregistry: evil.example.org\n",
	"verify: {user: root, service: evil}\nenvironments:\n  stage: {branch: main, cluster: k}\n",
	"",
}

// TestNothingDecidesAboutItself makes random commits on random branches that say
// anything about the process: whatever commit is read, it is under the process
// of the process branch's tip.
func TestNothingDecidesAboutItself(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 9))
			g, err := git.Init(t.Context(), filepath.Join(t.TempDir(), "r.git"), git.InitOptions{Bare: true, DefaultBranch: "main"})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = g.Close() })
			owner := process.New(g, "")
			r := repo.New(g, repo.Options{Process: owner, Commits: 3})
			branches := []string{"main", "stage", "live", "x", "prod", "staging"}
			heads := map[string]string{}
			commit := func(branch, says string) {
				id, err := g.CommitFiles(t.Context(), branch, heads[branch], map[string][]byte{
					"hubship.yaml": []byte(says), "hub/Chart.yaml": []byte("name: hub\n"), "deployments/data/config/common.yaml": []byte(fmt.Sprintf("n: %d\n", random.Int())),
				}, nil, "A commit", git.Identity{Name: "Carl", Email: "carl@localhost"})
				if err != nil {
					t.Fatal(err)
				}
				heads[branch] = id
			}
			if _, err := r.Now(t.Context()); !errors.Is(err, process.ErrNone) {
				t.Fatalf("a process without a branch: %v", err)
			}
			approvals := 0
			for range 25 {
				branch := branches[random.IntN(len(branches))]
				switch {
				case branch == "main" && random.IntN(4) == 0:
					commit("main", "version: 1\nenvironments: {")
				case branch == "main":
					approvals = random.IntN(7)
					commit("main", content+fmt.Sprintf("environments:\n  stage: {branch: stage, cluster: k}\n  live: {branch: live, cluster: k, after: stage}\nreview: {approvals: %d}\n", approvals))
				default:
					commit(branch, content+lies[random.IntN(len(lies))])
				}
				now, err := r.Now(t.Context())
				broken := errors.Is(err, process.ErrNone)
				if err != nil && !broken {
					t.Fatal(err)
				}
				for branch, id := range heads {
					fleet, err := r.Fleet(t.Context(), id)
					if broken {
						if !errors.Is(err, process.ErrNone) {
							t.Fatalf("%s is read while no process holds: %v", branch, err)
						}
						continue
					}
					if err != nil {
						if branch == "main" && strings.Contains(err.Error(), "YAML") {
							continue
						}
						t.Fatalf("what %s says about the process spoils its content: %v", branch, err)
					}
					if fleet.Process != now.Commit || now.Commit != heads["main"] || fleet.Review.Approvals != approvals || fleet.Revert != "propose" ||
						fleet.Verify.User != "hubship-verify" || len(fleet.Environments) != 2 || fleet.Environments[1].After != "stage" || fleet.Environments[1].Push {
						t.Fatalf("%s is under a process of its own: %+v", branch, fleet)
					}
					target, err := fleet.Target("data", "live")
					if err != nil || target.Cluster != "k" || target.Namespace != "data-live" {
						t.Fatalf("%s goes to %v, %v", branch, target, err)
					}
				}
			}
		})
	}
}
