package config

import (
	"fmt"
	"slices"
	"testing"
	"testing/fstest"

	"pgregory.net/rapid"

	"github.com/hubship/hubship/internal/model"
)

// TestHeldReleases takes files away at random, under a process with environments
// that the commit may know nothing of. A release is held back when a file of its
// own or one that its hub shares is missing, and for nothing else: no hub holds
// back another one, and no environment another one.
func TestHeldReleases(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		hubs := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"art", "bio", "law", "math"}), 1, 4, rapid.ID).Draw(t, "hubs")
		envs := []string{"staging", "prod", "campus"}
		files := fstest.MapFS{FileName: {Data: []byte(minimal)}, "hub/Chart.yaml": {Data: []byte("name: hub\n")}}
		missing := map[string]bool{}
		lackCommon := 0
		for _, h := range hubs {
			files["deployments/"+h+"/README.md"] = &fstest.MapFile{} // the folder is there in any case
			for _, name := range append([]string{"common"}, envs...) {
				if missing[h+"/"+name] = rapid.Bool().Draw(t, h+" lacks "+name); !missing[h+"/"+name] {
					files["deployments/"+h+"/config/"+name+".yaml"] = &fstest.MapFile{}
				} else if name == "common" {
					lackCommon++
				}
			}
		}
		process := model.Process{Branch: "staging", Commit: fmt.Sprintf("%040d", 1)}
		for i, e := range envs {
			env := model.Environment{Name: e, Branch: e, Cluster: "local", Namespace: "{hub}-{env}", Release: "{hub}-{env}", Host: "{hub}-{env}.localhost"}
			if i > 0 {
				env.After = envs[i-1]
			}
			process.Environments = append(process.Environments, env)
		}
		c, err := Read(files, fmt.Sprintf("%040d", 2), process)
		if lackCommon == len(hubs) {
			// What no hub has, the description asks for by mistake.
			if err == nil {
				t.Fatal("no hub has a file that the description names, and nothing is wrong")
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(c.Fleet.Hubs) != len(hubs) {
			t.Fatalf("%d hubs, want %d", len(c.Fleet.Hubs), len(hubs))
		}
		for _, h := range c.Fleet.Hubs {
			if !slices.Contains(hubs, h.Name) {
				t.Fatalf("a hub %s", h.Name)
			}
			for _, e := range envs {
				if want, got := missing[h.Name+"/common"] || missing[h.Name+"/"+e], h.Problem(e); (got != "") != want {
					t.Fatalf("%s in %s: %q, want it held back: %v", h.Name, e, got, want)
				}
			}
		}
	})
}
