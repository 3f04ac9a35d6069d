package config

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/hubship/hubship/internal/model"
)

// TestPlaces holds back hubs whose names lead somewhere that is not theirs, and
// no others; what the commit says of the process has no say.
func TestPlaces(t *testing.T) {
	p := model.Process{Commit: "p", Environments: []model.Environment{
		{Name: "staging", Branch: "staging", Cluster: "k", Namespace: "{hub}", Release: "{hub}", Host: "{hub}-s"},
		{Name: "prod", Branch: "prod", Cluster: "k", Namespace: "{hub}-prod", Release: "{hub}", Host: "{hub}-p"},
	}}
	files := tree(minimal + "clusters: {k: {embedded: true}}\n")
	for _, hub := range []string{"kube-system", "default", "hubship-forge", "datahub-prod"} {
		for _, name := range []string{"config/common.yaml", "config/staging.yaml", "config/prod.yaml"} {
			files["deployments/"+hub+"/"+name] = &fstest.MapFile{}
		}
	}
	c, err := Read(files, "c", p)
	if err != nil {
		t.Fatal(err)
	}
	for hub, want := range map[string]string{
		"data8": "", "kube-system": "not allowed for hubs", "default": "not allowed for hubs", "hubship-forge": "not allowed for hubs",
		"datahub": "would share the namespace datahub-prod", "datahub-prod": "would share the namespace datahub-prod",
	} {
		h, ok := c.Fleet.Hub(hub)
		if !ok || (want == "") != (h.Invalid == "") || !strings.Contains(h.Invalid, want) {
			t.Errorf("%s: %q", hub, h.Invalid)
		}
	}
	if c.Fleet.Process != "p" || c.Fleet.Environments[1].After != "" {
		t.Errorf("fleet %+v", c.Fleet)
	}
}

// TestReadProcess reads the process whatever the content is like.
func TestReadProcess(t *testing.T) {
	files := tree(strings.Replace(minimal, "chart: hub", "chart: missing", 1))
	p, err := ReadProcess(files, "c")
	if err != nil || len(p.Environments) != 2 || p.Environments[1].After != "staging" || strings.Join(p.Clusters, " ") != "local" {
		t.Errorf("%+v, %v", p, err)
	}
	for name, edit := range map[string]string{
		"an unknown key":  "reveiw: {approvals: 2}\n",
		"clusters":        "clusters: {local: {embedded: true}}\n",
		"no such revert":  "revert: never\n",
		"not a version":   "version: 2\n",
		"nothing is YAML": "environments: [\n",
	} {
		if p, err := ReadProcess(tree(minimal+edit), "c"); err == nil {
			t.Errorf("%s: %+v", name, p)
		}
	}
	if p, err := ReadProcess(tree(strings.Replace(minimal, "prod: {", "prod: {namespace: '{hub}-staging', ", 1)), "c"); err == nil {
		t.Errorf("two environments in one namespace: %+v", p)
	}
}

// TestHubployClusters takes each hub's cluster from the process alone.
func TestHubployClusters(t *testing.T) {
	p, err := ReadProcess(hubployTree(nil), "p")
	if err != nil || p.Places["math"] != "fall" || strings.Join(p.Clusters, " ") != "fall" || len(p.Environments) != 2 {
		t.Fatalf("%+v, %v", p, err)
	}
	moved := hubployTree(map[string]string{"deployments/math/hubploy.yaml": "cluster: {provider: gcloud, gcloud: {cluster: evil}}\n"})
	c, err := Read(moved, "c", p)
	if err != nil {
		t.Fatal(err)
	}
	if target, err := c.Fleet.Target("math", "prod"); err != nil || target.Cluster != "fall" {
		t.Errorf("%+v, %v", target, err)
	}
}
