package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// TestOtherLayout has one folder for many hubs, a chart of one of them, files
// that all share, and files that may be absent.
func TestOtherLayout(t *testing.T) {
	files := fstest.MapFS{FileName: {Data: []byte(`version: 1
hubs:
  path: config/*
  exclude: [templates, config/o*d/]
  chart: charts/base
  charts: {lab: charts/dask, math: charts/base, none: charts/none}
  values: ["/shared.yaml", common.values.yaml, "{env}.values.yaml", "/per/{hub}-{env}.yaml"]
  secrets: ["enc-{env}.yaml", "/secrets/{env}.yaml"]
  optional: true
environments:
  staging: {cluster: "{hub}", namespace: "{env}", release: "{env}"}
  prod: {cluster: "{hub}", namespace: "{env}", release: "{env}", after: staging}
`)}}
	for _, name := range []string{
		"shared.yaml", "secrets/prod.yaml", "charts/base/Chart.yaml", "charts/dask/Chart.yaml",
		"config/math/common.values.yaml", "config/math/staging.values.yaml", "config/math/prod.values.yaml",
		"config/lab/enc-prod.yaml", "per/art-staging.yaml", "config/art/README.md", "config/empty/common.values.yaml",
		"config/none/prod.values.yaml", "config/Bad_Name/x", "config/templates/x", "config/o l d/x",
	} {
		files[name] = &fstest.MapFile{}
	}
	if _, err := ReadProposal(files, ""); err == nil || !strings.Contains(err.Error(), "Bad_Name cannot be a hub") || !strings.Contains(err.Error(), "or add it to hubs.exclude") {
		t.Errorf("error %v", err)
	}
	delete(files, "config/Bad_Name/x")
	c, err := ReadProposal(files, "")
	if err != nil {
		t.Fatal(err)
	}
	var hubs []string
	for _, h := range c.Fleet.Hubs {
		hubs = append(hubs, fmt.Sprintf("%s:%s:%s", h.Name, c.Fleet.ChartOf(h), strings.Join(h.Environments, "+")))
		for _, e := range c.Fleet.Environments {
			if target, err := c.Fleet.Target(h.Name, e.Name); err != nil || target.Cluster != h.Name {
				t.Errorf("%s: %v", target, err)
			}
		}
	}
	if got, want := strings.Join(hubs, " "), "art:charts/base:staging empty:charts/base: lab:charts/dask:prod math:charts/base:staging+prod none:charts/none:prod"; got != want {
		t.Errorf("hubs %s, want %s", got, want)
	}
	if got := c.Fleet.Charts(); !slices.Equal(got, []string{"charts/base", "charts/dask", "charts/none"}) {
		t.Errorf("charts %v", got)
	}
	for hub, want := range map[string]string{
		"math": "", "lab": "", "art": "", "empty": "",
		"none": "hubs.charts.none: there is no file charts/none/Chart.yaml",
	} {
		if h, _ := c.Fleet.Hub(hub); !strings.Contains(h.Invalid, want) || (want == "") != (h.Invalid == "") {
			t.Errorf("%s: %q, want %q", hub, h.Invalid, want)
		}
	}
	for key, want := range map[string]string{
		"math prod":   "[shared.yaml config/math/common.values.yaml config/math/prod.values.yaml] [shared.yaml config/math/common.values.yaml] [config/math/prod.values.yaml] [secrets/prod.yaml]",
		"lab prod":    "[shared.yaml] [shared.yaml] [] [config/lab/enc-prod.yaml secrets/prod.yaml]",
		"art staging": "[shared.yaml per/art-staging.yaml] [shared.yaml] [per/art-staging.yaml] []",
	} {
		hub, env, _ := strings.Cut(key, " ")
		r, err := c.Release(hub, env)
		if got := fmt.Sprint(r.Values, r.Shared, r.Own, r.Secrets); err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", key, got, err, want)
		}
	}
}

// TestSharedByAll has an environment's only file at the root: every hub is in
// every environment, and a file that is absent is left out.
func TestSharedByAll(t *testing.T) {
	files := tree(strings.NewReplacer(`[config/common.yaml, "config/{env}.yaml"]`, `["/config/{env}.yaml"]`, `  secrets: ["secrets/{env}.yaml"]`, "  optional: true").Replace(minimal))
	files["config/staging.yaml"] = &fstest.MapFile{}
	c, err := ReadProposal(files, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range c.Fleet.Hubs {
		if h.Environments != nil {
			t.Errorf("%+v", h)
		}
	}
	if r, err := c.Release("data8", "prod"); err != nil || len(r.Values) != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	delete(files, "config/staging.yaml")
	files[FileName].Data = []byte(strings.Replace(string(files[FileName].Data), "  optional: true", "", 1))
	var e *Error
	if _, err := ReadProposal(files, ""); !errors.As(err, &e) || len(e.Problems) != 2 {
		t.Errorf("a file that all hubs lack is told once an environment: %v", err)
	}
}

// TestHubAlone has hubs that lack what the others have: each holds back itself.
func TestHubAlone(t *testing.T) {
	files := tree(minimal + "images:\n  user: {context: '{hub}/image', values: a}\n")
	delete(files, "deployments/data8/config/prod.yaml")
	files["deployments/new/config/common.yaml"] = &fstest.MapFile{}
	c, err := ReadProposal(files, "")
	if err != nil {
		t.Fatal(err)
	}
	for hub, want := range map[string]string{
		"datahub": "",
		"data8":   "hubship.yaml:5:32: hubs.values[1]: data8@prod has no file deployments/data8/config/prod.yaml (commit the file, even if it is empty, or remove it from the list)",
		"new":     "images.user.context: there is no folder deployments/new/image",
	} {
		h, ok := c.Fleet.Hub(hub)
		if got := h.Problem("prod"); !ok || !strings.Contains(got, want) || (want == "") != (got == "") {
			t.Errorf("%s: %q, want %q", hub, got, want)
		}
	}
	if h, _ := c.Fleet.Hub("data8"); h.Problem("staging") != "" {
		t.Errorf("what prod lacks holds back staging: %q", h.Problem("staging"))
	}
	if n := len(c.HubProblems["new"]); n != 3 {
		t.Errorf("%d problems of the new hub: %v", n, c.HubProblems["new"])
	}
	if got := c.Fleet.ImagesOf("new"); len(got) != 0 {
		t.Errorf("an image without a folder: %+v", got)
	}
}
