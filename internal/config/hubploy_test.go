package config

import (
	"maps"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/hubship/hubship/internal/model"
)

// hubployTree is a repository laid out for hubploy.
func hubployTree(more map[string]string) fstest.MapFS {
	files := fstest.MapFS{}
	for name, text := range map[string]string{
		"hub/Chart.yaml":     "name: hub\n",
		"support/Chart.yaml": "name: support\n",
		"deployments/math/hubploy.yaml": `images:
  images:
    # built elsewhere
    - name: registry.example.org:5000/images/math:abc123
cluster:
  provider: gcloud
  gcloud: {project: p, service_key: key.json, cluster: fall, zone: z}
`,
		"deployments/math/config/common.yaml":                         "",
		"deployments/math/config/staging.yaml":                        "",
		"deployments/math/config/prod.yaml":                           "",
		"deployments/math/secrets/prod.yaml":                          "",
		"deployments/math/secrets/key.json":                           "",
		"deployments/template/cookiecutter.json":                      "",
		"deployments/template/{{cookiecutter.hub_name}}/hubploy.yaml": "",
		"deployments/{{cookiecutter.hub_name}}/hubploy.yaml":          "",
		"deployments/math/image/README.md":                            "",
	} {
		files[name] = &fstest.MapFile{Data: []byte(text)}
	}
	for name, text := range more {
		files[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return files
}

func TestHubploy(t *testing.T) {
	c, err := ReadProposal(hubployTree(map[string]string{
		// Images that are built: one of its own, one that two hubs share.
		"deployments/old/hubploy.yaml":                "images: {image_name: gcr.io/x/old-user}\n",
		"deployments/old/image/environment.yml":       "",
		"deployments/old/config/prod.yaml":            "",
		"deployments/share/hubploy.yaml":              "images: {images: [{name: gcr.io/x/old-user, path: ../old/image}]}\n",
		"deployments/share/config/common.yaml":        "",
		"secrets/deployments/share/secrets/prod.yaml": "",
		"chartpress.yaml":                             "charts: [{name: hub, imagePrefix: gcr.io/x/k8s-, images: {hub: {valuesPath: jupyterhub.hub.image}, gone: {}}}]\n",
		"images/hub/Dockerfile":                       "FROM scratch\n",
		"deployments/outside/hubploy.yaml":            "images: {images: [{name: gcr.io/x/out, path: ../../../etc}]}\n",
		"deployments/two/hubploy.yaml":                "images: {images: [{name: 'a/one:1'}, {name: 'a/two:0010', helm_substitution_path: jupyterhub.hub.image}]}\n",
	}), "c1")
	if err != nil {
		t.Fatal(err)
	}
	f := c.Fleet
	if f.Layout != model.LayoutHubploy || f.Chart != "hub" || len(f.Environments) != 2 || f.Environments[1].After != "staging" || len(c.HubProblems) != 0 {
		t.Errorf("fleet %+v, problems %v", f, c.HubProblems)
	}
	hubs := map[string]model.Hub{}
	var names []string
	for _, h := range f.Hubs {
		hubs[h.Name] = h
		names = append(names, h.Name)
	}
	if got := strings.Join(names, " "); got != "math old outside share two" {
		t.Fatalf("hubs %s", got)
	}
	want := model.Hub{
		Name: "math", Path: "deployments/math", Place: "gcloud p z fall", Environments: []string{"staging", "prod"},
		Pinned: []model.Pinned{{Name: "registry.example.org:5000/images/math", Tag: "abc123", Values: userImage}},
	}
	if got, want := asJSON(t, hubs["math"]), asJSON(t, want); got != want {
		t.Errorf("hub\n%s\nwant\n%s", got, want)
	}
	if h := hubs["old"]; h.In("staging") || !h.In("prod") || len(h.Pinned) != 0 {
		t.Errorf("hub %+v", h)
	}
	if h := hubs["share"]; !h.In("staging") {
		t.Errorf("hub %+v", h)
	}
	if h := hubs["outside"]; len(h.Pinned) != 1 || h.Pinned[0].Ref() != "gcr.io/x/out" {
		t.Errorf("hub %+v", h)
	}
	if h := hubs["two"]; len(h.Pinned) != 2 || h.Pinned[1] != (model.Pinned{Name: "a/two", Tag: "0010", Values: "jupyterhub.hub.image"}) {
		t.Errorf("hub %+v", h)
	}
	if got, want := asJSON(t, f.Images), asJSON(t, []model.Image{
		{ID: "chartpress/hub", Name: "hub", Repository: "gcr.io/x/k8s-hub", Manual: true, Context: "images/hub", Dockerfile: "images/hub/Dockerfile"},
		{ID: "old-user", Name: "old-user", Hubs: []string{"old", "share"}, Repository: "gcr.io/x/old-user", Context: "deployments/old/image", Values: userImage},
	}); got != want {
		t.Errorf("images\n%s\nwant\n%s", got, want)
	}
	if got := f.ImagesOf("math"); len(got) != 0 {
		t.Errorf("images of math: %+v", got)
	}
	for hub, want := range map[string]string{
		"math":  `["deployments/math/config/common.yaml","deployments/math/config/prod.yaml"] ["deployments/math/secrets/prod.yaml"]`,
		"old":   `["deployments/old/config/prod.yaml"] null`,
		"share": `["deployments/share/config/common.yaml"] ["secrets/deployments/share/secrets/prod.yaml"]`,
	} {
		r, err := c.Release(hub, "prod")
		got := strings.NewReplacer("\n", "", " ", "").Replace(asJSON(t, r.Values)) + " " + strings.NewReplacer("\n", "", " ", "").Replace(asJSON(t, r.Secrets))
		if err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", hub, got, err, want)
		}
	}
}

// TestHubployOverwritten has several images that go to one place: hubploy gives
// Helm all of them in the order of the file, so that the last one is run.
func TestHubployOverwritten(t *testing.T) {
	c, err := ReadProposal(hubployTree(map[string]string{
		"deployments/dev/hubploy.yaml": `images:
  images:
    - {name: gcr.io/x/zebra, path: images/default}
    - {name: gcr.io/x/hub, path: images/hub, helm_substitution_path: jupyterhub.hub.image}
    - {name: gcr.io/x/ape, path: images/second}
`,
		"deployments/dev/images/default/Dockerfile": "FROM scratch\n",
		"deployments/dev/images/hub/Dockerfile":     "FROM scratch\n",
		"deployments/dev/images/second/Dockerfile":  "FROM scratch\n",
	}), "c1")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, i := range c.Fleet.ImagesOf("dev") {
		got[i.ID] = i.Values
	}
	want := map[string]string{"zebra": "", "hub": "jupyterhub.hub.image", "ape": userImage}
	if !maps.Equal(got, want) {
		t.Errorf("images go to %v, want %v", got, want)
	}
}

// TestHubployProblems has hubploy.yaml files that are wrong: each holds back
// its own hub, by file and line.
func TestHubployProblems(t *testing.T) {
	for text, want := range map[string]string{
		"":                                      "the file is empty",
		"images: [":                             "deployments/bad/hubploy.yaml:1: not valid YAML",
		"images: 5\n":                           "deployments/bad/hubploy.yaml:1: ",
		"a: 1\nimages: {images: [{path: x}]}\n": "an image without a name",
		"images: {images: [{name: 'x:1', helm_substitution_path: 'a b'}]}\n": "not a dotted path",
		strings.Repeat("#", maxFile+1):                                       "larger than",
		"images:\n  images: &a [{name: 'x:1'}, *a]\n":                        "deployments/bad/hubploy.yaml",
	} {
		c, err := ReadProposal(hubployTree(map[string]string{"deployments/bad/hubploy.yaml": text}), "")
		if err != nil {
			t.Errorf("%.20q: %v", text, err)
			continue
		}
		bad, _ := c.Fleet.Hub("bad")
		good, _ := c.Fleet.Hub("math")
		if !strings.Contains(bad.Invalid, want) || good.Invalid != "" {
			t.Errorf("%.20q: %q, want %q; the other hub: %q", text, bad.Invalid, want, good.Invalid)
		}
	}
}

func TestHubployChart(t *testing.T) {
	for name, tc := range map[string]struct {
		files map[string]string
		chart string
	}{
		"by its dependency":    {map[string]string{"a/Chart.yaml": "name: a\n", "b/Chart.yaml": "name: b\ndependencies: [{name: jupyterhub}]\n"}, "b"},
		"by requirements.yaml": {map[string]string{"a/Chart.yaml": "name: a\n", "a/requirements.yaml": "dependencies: [{name: jupyterhub}]\n", "b/Chart.yaml": "name: b\n"}, "a"},
		"by daskhub":           {map[string]string{"a/Chart.yaml": "name: a\n", "b/Chart.yaml": "name: b\ndependencies: [{name: daskhub}]\n", "b/requirements.yaml": "dependencies: [{name: jupyterhub}]\n"}, "b"},
		"the only one":         {map[string]string{"x/Chart.yaml": "name: x\n"}, "x"},
		"none":                 {nil, ""},
		"two":                  {map[string]string{"a/Chart.yaml": "dependencies: [{name: jupyterhub}]\n", "b/Chart.yaml": "dependencies: [{name: jupyterhub}]\n"}, ""},
	} {
		files := hubployTree(tc.files)
		delete(files, "hub/Chart.yaml")
		delete(files, "support/Chart.yaml")
		c, err := ReadProposal(files, "")
		switch {
		case tc.chart == "" && (err == nil || model.HintOf(err) == ""):
			t.Errorf("%s: %v", name, err)
		case tc.chart != "" && (err != nil || c.Fleet.Chart != tc.chart):
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
}

// FuzzHubploy looks for a hubploy.yaml that ends the program or names something
// outside of the repository.
func FuzzHubploy(f *testing.F) {
	f.Add("images: {images: [{name: 'a/b:c', path: ../x}]}\ncluster: {provider: aws, aws: {account_id: 5}}\n")
	f.Add("images: {image_name: x}\n")
	f.Add("a: &a [*a]\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ReadProposal(hubployTree(map[string]string{"deployments/bad/hubploy.yaml": text}), "")
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range c.Fleet.Images {
			if pathProblem(i.Context) != "" {
				t.Errorf("context %q", i.Context)
			}
		}
	})
}
