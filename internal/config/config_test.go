package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/starter"
)

// minimal is the least that a deployment repository says.
const minimal = `version: 1
hubs:
  path: deployments/*
  chart: hub
  values: [config/common.yaml, "config/{env}.yaml"]
  secrets: ["secrets/{env}.yaml"]
environments:
  staging: {cluster: local}
  prod: {cluster: local, after: staging}
`

// tree is a repository with two hubs and the given hubship.yaml.
func tree(text string) fstest.MapFS {
	files := fstest.MapFS{
		FileName:         {Data: []byte(text)},
		"hub/Chart.yaml": {Data: []byte("name: hub\n")},
		"deployments/{{cookiecutter.hub}}/config/common.yaml": {},
		"deployments/README.md":                               {},
		"deployments/.hidden/x":                               {},
		"deployments/data8/secrets/prod.yaml":                 {},
		"images/base/Dockerfile":                              {},
		"images/base/other/Build.file":                        {},
	}
	for _, hub := range []string{"datahub", "data8"} {
		for _, name := range []string{"config/common.yaml", "config/staging.yaml", "config/prod.yaml", "image/Dockerfile"} {
			files["deployments/"+hub+"/"+name] = &fstest.MapFile{}
		}
	}
	return files
}

func load(t *testing.T, text string) (*Config, error) {
	t.Helper()
	return ReadProposal(tree(text), "0123456789abcdef0123456789abcdef01234567")
}

func TestMinimal(t *testing.T) {
	c, err := load(t, minimal)
	if err != nil {
		t.Fatal(err)
	}
	want := &model.Fleet{
		Commit: "0123456789abcdef0123456789abcdef01234567",
		Layout: model.LayoutHubship,
		Hubs:   []model.Hub{{Name: "data8", Path: "deployments/data8"}, {Name: "datahub", Path: "deployments/datahub"}},
		Environments: []model.Environment{
			{Name: "staging", Branch: "staging", Cluster: "local", Namespace: "{hub}-{env}", Release: "{hub}-{env}", Host: "{hub}-{env}.localhost"},
			{Name: "prod", Branch: "prod", Cluster: "local", Namespace: "{hub}-{env}", Release: "{hub}-{env}", Host: "{hub}.localhost", After: "staging"},
		},
		Chart:  "hub",
		Verify: model.VerifySettings{Service: "hubship", User: "hubship-verify"},
		Review: model.ReviewSettings{Approvals: 1},
		Revert: model.RevertPropose,
	}
	if got, want := asJSON(t, c.Fleet), asJSON(t, want); got != want {
		t.Errorf("fleet\n%s\nwant\n%s", got, want)
	}
	for _, tc := range []struct {
		hub, env string
		want     Release
	}{
		{"data8", "prod", Release{
			Chart:   "hub",
			Values:  []string{"deployments/data8/config/common.yaml", "deployments/data8/config/prod.yaml"},
			Shared:  []string{"deployments/data8/config/common.yaml"},
			Own:     []string{"deployments/data8/config/prod.yaml"},
			Secrets: []string{"deployments/data8/secrets/prod.yaml"},
		}},
		{"datahub", "staging", Release{
			Chart:  "hub",
			Values: []string{"deployments/datahub/config/common.yaml", "deployments/datahub/config/staging.yaml"},
			Shared: []string{"deployments/datahub/config/common.yaml"},
			Own:    []string{"deployments/datahub/config/staging.yaml"},
		}},
	} {
		got, err := c.Release(tc.hub, tc.env)
		if err != nil || asJSON(t, got) != asJSON(t, tc.want) {
			t.Errorf("%s in %s: %+v, %v", tc.hub, tc.env, got, err)
		}
	}
	if _, err := c.Release("nothing", "prod"); err == nil {
		t.Error("an unknown hub has a release")
	}
	if _, err := c.Release("data8", "qa"); err == nil {
		t.Error("an unknown environment has a release")
	}
}

func TestEverything(t *testing.T) {
	c, err := load(t, `version: 1
hubs: {path: deployments/*/, chart: ./hub, values: [config/common.yaml]}
images:
  user: {context: "{hub}/image", values: jupyterhub.singleuser.image}
  named: {context: "deployments/{hub}/image", values: a.b, repository: "x/{hub}-y"}
  base: {context: images/base, dockerfile: images/base/other/Build.file, values: c}
environments:
  prod: {branch: main, cluster: cloud, namespace: "{hub}", release: "{hub}", host: "{hub}.example.org", after: canary}
  canary: {cluster: campus, after: test}
  test: {branch: team/test, cluster: campus}
verify: {service: checker, user: check.er@example.org}
`)
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, e := range c.Fleet.Environments {
		order = append(order, e.Name+" on "+e.Branch+" at "+e.Host)
	}
	if want := "test on team/test at {hub}-{env}.localhost, canary on canary at {hub}-{env}.localhost, prod on main at {hub}.example.org"; strings.Join(order, ", ") != want {
		t.Errorf("environments %q", order)
	}
	var images []string
	for _, i := range c.Fleet.Images {
		images = append(images, strings.Join([]string{i.ID, i.Hub, i.Repository, i.Context, i.Dockerfile, i.Values}, " "))
	}
	want := []string{
		"base  base images/base images/base/other/Build.file c",
		"data8/named data8 x/data8-y deployments/data8/image deployments/data8/image/Dockerfile a.b",
		"data8/user data8 data8/user deployments/data8/image deployments/data8/image/Dockerfile jupyterhub.singleuser.image",
		"datahub/named datahub x/datahub-y deployments/datahub/image deployments/datahub/image/Dockerfile a.b",
		"datahub/user datahub datahub/user deployments/datahub/image deployments/datahub/image/Dockerfile jupyterhub.singleuser.image",
	}
	if !slices.Equal(images, want) {
		t.Errorf("images\n%s\nwant\n%s", strings.Join(images, "\n"), strings.Join(want, "\n"))
	}
	if c.Fleet.Verify != (model.VerifySettings{Service: "checker", User: "check.er@example.org"}) {
		t.Errorf("fleet %+v", c.Fleet)
	}
}

// TestProblems has one mistake in each case, and where and how it is told.
func TestProblems(t *testing.T) {
	for name, tc := range map[string]struct {
		old, new string // edit of minimal
		want     string // part of the only problem
	}{
		"unknown key":             {"  chart: hub\n", "  chart: hub\n  vlaues: []\n", `hubship.yaml:5:3: hubs.vlaues: unknown key, expected chart, charts, exclude, optional, path, secrets or values (did you mean "values"?)`},
		"unknown key far off":     {"version: 1\n", "version: 1\nzzz: 1\n", "hubship.yaml:2:1: zzz: unknown key, expected checks, environments, hubs, images, revert, review, verify or version"},
		"wrong type number":       {"chart: hub", "chart: 12", "hubship.yaml:4:10: hubs.chart: expected a string, found 12 (put quotes around it)"},
		"wrong type text":         {"version: 1", "version: one", `hubship.yaml:1:10: version: expected a whole number, found the string "one"`},
		"list for text":           {"path: deployments/*", "path: [deployments/*]", "hubship.yaml:3:9: hubs.path: expected a string, found a list"},
		"text for list":           {"secrets: [\"secrets/{env}.yaml\"]", "secrets: secrets/x.yaml", "hubship.yaml:6:12: hubs.secrets: expected a list, found the string"},
		"brace without quotes":    {"\"secrets/{env}.yaml\"", "{env}", "hubship.yaml:6:13: hubs.secrets[0]: expected a string, found a mapping (put quotes around a value that starts with a brace)"},
		"nothing":                 {"chart: hub", "chart:", "hubship.yaml:4:9: hubs.chart: expected a string, found nothing"},
		"duplicate key":           {"  chart: hub\n", "  chart: hub\n  chart: hub\n", "hubship.yaml:5:3: hubs.chart: duplicate key, first in line 4 (remove one of them)"},
		"duplicate environment":   {"  prod: {", "  staging: {cluster: local}\n  prod: {", "hubship.yaml:9:3: environments.staging: duplicate key, first in line 8"},
		"key is a number":         {"  prod: {", "  7: {cluster: local}\n  prod: {", "hubship.yaml:9:3: environments: expected a name in front of the colon, found 7"},
		"merge key":               {"staging: {", "staging: {<<: {}, ", "hubship.yaml:8:13: environments.staging: expected a name in front of the colon, found <<"},
		"required":                {"  chart: hub\n", "", "hubship.yaml:3:3: hubs.chart: missing, but required"},
		"required in environment": {"staging: {cluster: local}", "staging: {}", "hubship.yaml:8:12: environments.staging.cluster: missing, but required"},
		"version":                 {"version: 1", "version: 2", "hubship.yaml:1:10: version: expected 1, found 2"},
		"no version":              {"version: 1\n", "", "hubship.yaml:1:1: version: missing, but required"},
		"missing chart":           {"chart: hub", "chart: hubb", "hubship.yaml:4:10: hubs.chart: there is no file hubb/Chart.yaml (name the folder of a Helm chart)"},
		"path goes up":            {"chart: hub", "chart: ../hub", `hubship.yaml:4:10: hubs.chart: "../hub" contains '..'`},
		"absolute path":           {"chart: hub", "chart: /hub", `hubship.yaml:4:10: hubs.chart: "/hub" is absolute`},
		"values file missing":     {"config/common.yaml", "config/comon.yaml", "hubship.yaml:5:12: hubs.values[0]: hub data8 has no file deployments/data8/config/comon.yaml"},
		"values of env missing":   {"config/{env}.yaml", "config/{env}.yml", "data8@staging has no file deployments/data8/config/staging.yml"},
		"values from above":       {"config/common.yaml", "/../common.yaml", `hubship.yaml:5:12: hubs.values[0]: "/../common.yaml" contains '..'`},
		"values of two slashes":   {"config/common.yaml", "//etc/passwd", `hubs.values[0]: "//etc/passwd" is absolute`},
		"shared values missing":   {"config/common.yaml", "/config/common.yaml", "hubship.yaml:5:12: hubs.values[0]: hub data8 has no file config/common.yaml (commit the file"},
		"bad exclude":             {"  chart: hub\n", "  chart: hub\n  exclude: ['[']\n", `hubship.yaml:5:13: hubs.exclude[0]: "[" is not a pattern of folders (for example templates)`},
		"all excluded":            {"  chart: hub\n", "  chart: hub\n  exclude: ['data*']\n", `hubs.path: no folder matches "deployments/*"`},
		"chart of no hub":         {"  chart: hub\n", "  chart: hub\n  charts: {data9: hub}\n", `hubship.yaml:5:12: hubs.charts.data9: there is no hub "data9" (did you mean "data8"?)`},
		"chart above":             {"  chart: hub\n", "  chart: hub\n  charts: {data8: ../x}\n", `hubs.charts.data8: "../x" contains '..'`},
		"cluster of environment":  {"prod: {cluster: local", "prod: {cluster: '{env}'", `environments.prod.cluster: unknown placeholder {env}, expected {hub}`},
		"values twice":            {"config/common.yaml,", "config/common.yaml, config/common.yaml,", `hubship.yaml:5:32: hubs.values[1]: "config/common.yaml" is listed twice`},
		"unknown placeholder":     {"secrets/{env}.yaml", "secrets/{environment}.yaml", "hubship.yaml:6:13: hubs.secrets[0]: unknown placeholder {environment}, expected {env} or {hub}"},
		"no hub":                  {"path: deployments/*", "path: deploy/*", `hubship.yaml:3:9: hubs.path: no folder matches "deploy/*"`},
		"bad pattern":             {"path: deployments/*", "path: deployments/[", "is not a pattern of folders"},
		"no name of a cluster":    {"prod: {cluster: local", "prod: {cluster: 'a b'", `hubship.yaml:9:19: environments.prod.cluster: the name "a b" is not the name of a cluster`},
		"bool":                    {"  chart: hub\n", "  chart: hub\n  optional: yes please\n", `hubship.yaml:5:13: hubs.optional: expected true or false, found the string "yes please"`},
		"text for mapping":        {"staging: {cluster: local}", "staging: local", `hubship.yaml:8:12: environments.staging: expected a mapping, found the string "local"`},
		"namespace of Kubernetes": {"staging: {cluster: local}", "staging: {cluster: local, namespace: 'kube-{hub}'}", `hubship.yaml:8:40: environments.staging.namespace: the namespace "kube-{hub}" is not allowed for hubs`},
		"namespace of everybody":  {"staging: {cluster: local}", "staging: {cluster: local, namespace: default}", `environments.staging.namespace: the namespace "default" is not allowed for hubs`},
		"clusters":                {"version: 1", "version: 1\nclusters: {campus: {kubeconfig: /etc/campus, context: c1}, local: {embedded: true}, odd: {kubeconfig: '; rm', context: -x}}", "hubship.yaml:2:1: clusters: the installation, not the repository, says how clusters are reached (remove the section, and run on the server: `hubship cluster add campus --kubeconfig /etc/campus --context c1`, `hubship cluster add odd --kubeconfig FILE --context CONTEXT`)"},
		"registry":                {"version: 1", "version: 1\nregistry: r.example.org", "hubship.yaml:2:1: registry: the installation, not the repository, says where images are pushed"},
		"unknown after":           {"after: staging", "after: stagin", `hubship.yaml:9:33: environments.prod.after: "stagin" is not another environment, expected staging (did you mean "staging"?)`},
		"after itself":            {"after: staging", "after: prod", `environments.prod.after: "prod" is not another environment`},
		"same branch":             {"after: staging", "branch: staging", `hubship.yaml:9:34: environments.prod.branch: branch "staging" already drives staging`},
		"bad branch":              {"after: staging", "branch: --all", `"--all" is not a branch name`},
		"bad environment name":    {"  staging: {cluster: local}", "  Staging_: {cluster: local}\n  staging: {cluster: local}", "hubship.yaml:8:3: environments.Staging_: the name is not a DNS label"},
		"shared namespace":        {"prod: {", "prod: {namespace: '{hub}-staging', ", "hubship.yaml:9:21: environments.prod.namespace: data8@staging and data8@prod would share the namespace data8-staging"},
		"shared host":             {"prod: {", "prod: {host: '{hub}-staging.localhost', ", "data8@staging and data8@prod would share the host data8-staging.localhost"},
		"bad namespace":           {"prod: {", "prod: {namespace: '{hub}_{env}', ", `the namespace "data8_prod" of data8@prod is not a DNS label`},
		"release too long":        {"prod: {", "prod: {release: '{hub}-a23456789-b23456789-c23456789-d23456789-e23456789', ", "is longer than 53 characters"},
		"bad host":                {"prod: {", "prod: {host: 'http://{hub}', ", `the host "http://data8" of data8@prod is not a DNS name`},
		"bad user":                {"version: 1", "version: 1\nverify: {user: 'A b'}", `verify.user: "A b" is not a user name`},
		"image without folder":    {"version: 1", "version: 1\nimages: {user: {context: '{hub}/imag', values: a}}", "hubship.yaml:2:26: images.user.context: there is no folder deployments/data8/imag"},
		"image without file":      {"version: 1", "version: 1\nimages: {user: {context: images/base, dockerfile: images/base/x, values: a}}", "images.user.dockerfile: there is no file images/base/x"},
		"image for environment":   {"version: 1", "version: 1\nimages: {user: {context: 'images/{env}', values: a}}", "images.user.context: unknown placeholder {env}, expected {hub} (every environment runs the same image)"},
		"hub in shared image":     {"version: 1", "version: 1\nimages: {user: {context: images/base, values: a, repository: '{hub}/x'}}", "images.user.repository: unknown placeholder {hub}, expected none, because the context has no {hub}"},
		"bad values path":         {"version: 1", "version: 1\nimages: {user: {context: images/base, values: 'a..b'}}", `images.user.values: "a..b" is not a dotted path in the values`},
		"bad repository":          {"version: 1", "version: 1\nimages: {user: {context: images/base, values: a, repository: Big}}", `images.user.repository: "Big" is not a repository name`},
		"two images, one value":   {"version: 1", "version: 1\nimages: {a: {context: images/base, values: x}, b: {context: images/base, values: x}}", "hubship.yaml:2:82: images.b.values: image a already sets x"},
		"star without quotes":     {"path: deployments/*", "path: */*", "did not find expected alphabetic or numeric character (put quotes around a value that starts with '*' or '&')"},
		"two documents":           {"version: 1\n", "version: 1\n---\nversion: 1\n", "hubship.yaml:"},
		"empty":                   {minimal, "# nothing\n", "hubship.yaml: the file is empty"},
		"not YAML":                {"  chart: hub\n", "  chart: hub\n bad: [\n", "not valid YAML: did not find expected key"},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(minimal, tc.old, tc.new, 1)
			if text == minimal {
				t.Fatal("the case edits nothing")
			}
			_, err := load(t, text)
			var e *Error
			if !errors.As(err, &e) || model.HintOf(err) == "" {
				t.Fatalf("error %v with hint %q", err, model.HintOf(err))
			}
			if !strings.Contains(e.Problems[0].String(), tc.want) && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error\n%v\nwant\n%s", err, tc.want)
			}
		})
	}
}

func TestCircle(t *testing.T) {
	_, err := load(t, strings.Replace(minimal, "staging: {cluster: local}", "staging: {cluster: local, after: prod}", 1))
	var e *Error
	if !errors.As(err, &e) || len(e.Problems) != 2 || !strings.Contains(e.Problems[0].Message, "cycle") {
		t.Errorf("error %v", err)
	}
}

// TestAllAtOnce has many mistakes, told in the order of the file.
func TestAllAtOnce(t *testing.T) {
	_, err := load(t, `version: 3
hubs: {path: deployments/*, chart: chart, values: [config/x.yaml], other: 1}
environments:
  staging: {cluster: -lokal, branch: 5}
`)
	want := `hubship.yaml:1:10: version: expected 1, found 3 (a newer hubship may know it)
hubship.yaml:2:36: hubs.chart: there is no file chart/Chart.yaml (name the folder of a Helm chart)
hubship.yaml:2:52: hubs.values[0]: hub data8 has no file deployments/data8/config/x.yaml (commit the file, even if it is empty, or remove it from the list)
hubship.yaml:2:52: hubs.values[0]: hub datahub has no file deployments/datahub/config/x.yaml (commit the file, even if it is empty, or remove it from the list)
hubship.yaml:2:68: hubs.other: unknown key, expected chart, charts, exclude, optional, path, secrets or values
hubship.yaml:4:22: environments.staging.cluster: the name "-lokal" is not the name of a cluster: expected letters, digits, '-', '_' and '.', with a letter or digit at both ends (` + "`hubship cluster list`" + ` shows the clusters of the installation)
hubship.yaml:4:38: environments.staging.branch: expected a string, found 5 (put quotes around it)`
	if err == nil || err.Error() != want {
		t.Errorf("error\n%v\nwant\n%s", err, want)
	}
}

// TestHubNames refuses folders that cannot name a hub, and two of one name.
func TestHubNames(t *testing.T) {
	files := tree(strings.Replace(minimal, "deployments/*", "'*/*'", 1))
	for _, name := range []string{"other/datahub/x", "deployments/Data_100/x"} {
		files[name] = &fstest.MapFile{}
	}
	_, err := Load(files, "")
	for _, want := range []string{
		`hubship.yaml:3:9: hubs.path: the folders deployments/datahub and other/datahub are both hub "datahub" (rename one of them)`,
		"hubship.yaml:3:9: hubs.path: the folder deployments/Data_100 cannot be a hub: its name is not a DNS label",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error\n%v\nwant\n%s", err, want)
		}
	}
}

func TestNoFile(t *testing.T) {
	_, err := Load(fstest.MapFS{"README.md": {}}, "")
	if err == nil || !strings.Contains(err.Error(), FileName) || model.HintOf(err) == "" {
		t.Errorf("error %v", err)
	}
}

// TestStarter reads what a new installation begins with.
func TestStarter(t *testing.T) {
	fleet, err := Load(starter.Files(), "")
	if err != nil {
		t.Fatal(err)
	}
	if len(fleet.Hubs) == 0 || len(fleet.Images) == 0 || len(fleet.Next("staging")) != 1 {
		t.Errorf("fleet %+v", fleet)
	}
}

// TestManyProblems keeps the text of an error within bounds.
func TestManyProblems(t *testing.T) {
	files := tree(minimal)
	delete(files, "deployments/datahub/config/common.yaml")
	for _, hub := range []string{"data8", "datahub"} {
		for _, file := range []string{"common", "staging", "prod"} {
			delete(files, "deployments/"+hub+"/config/"+file+".yaml")
		}
	}
	for i := range 98 {
		files[fmt.Sprintf("deployments/hub-%d/x", i)] = &fstest.MapFile{}
	}
	_, err := Load(files, "")
	var e *Error
	if !errors.As(err, &e) || len(e.Problems) != 300 || strings.Count(err.Error(), "\n") != maxShown || !strings.HasSuffix(err.Error(), "and 270 more") {
		t.Errorf("%d problems:\n%v", len(e.Problems), err)
	}
}

// FuzzLoad looks for input that ends the program or that is accepted with a
// fleet that makes no sense.
func FuzzLoad(f *testing.F) {
	f.Add([]byte(minimal))
	f.Add([]byte("version: 1\nhubs: &a {path: *a}\n"))
	f.Add([]byte("? [a]\n: b\n"))
	if data, err := fs.ReadFile(starter.Files(), FileName); err == nil {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		fleet, err := Load(tree(string(data)), "")
		if err != nil {
			if err.Error() == "" {
				t.Error("an error without words")
			}
			return
		}
		for _, h := range fleet.Hubs {
			for _, e := range fleet.Environments {
				target, err := fleet.Target(h.Name, e.Name)
				if err != nil || labelProblem(target.Namespace, maxLabel) != "" || labelProblem(target.Release, maxRelease) != "" {
					t.Errorf("target %+v, %v", target, err)
				}
				if ClusterNameProblem(target.Cluster) != "" && h.In(e.Name) {
					t.Errorf("%s has no cluster", target)
				}
			}
		}
		for _, i := range fleet.Images {
			if !fs.ValidPath(i.Context) || !fs.ValidPath(i.Dockerfile) {
				t.Errorf("image %+v", i)
			}
		}
	})
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	out, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// TestDocument holds the example of the documentation against the reader.
func TestDocument(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "..", "docs", "configuration.md"))
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(string(data), "```yaml\n")
	if len(parts) != 4 {
		t.Fatalf("the document has %d examples", len(parts)-1)
	}
	for i, more := range []string{
		"images/hub/Dockerfile images/proxy/Dockerfile",
		"helm-charts/basehub/Chart.yaml helm-charts/daskhub/Chart.yaml config/clusters/templates/x config/clusters/math/common.values.yaml " +
			"config/clusters/math/staging.values.yaml config/clusters/lab/prod.values.yaml",
		"binder/Chart.yaml config/common.yaml config/staging.yaml config/prod.yaml secrets/config/prod.yaml",
	} {
		example, _, closed := strings.Cut(parts[i+1], "```")
		if !closed {
			t.Fatal("an example has no end")
		}
		files := tree(example)
		for name := range strings.FieldsSeq(more) {
			files[name] = &fstest.MapFile{}
		}
		fleet, err := Load(files, "")
		if err != nil {
			t.Errorf("example %d: %v", i+1, err)
			continue
		}
		for _, h := range fleet.Hubs {
			if h.Invalid != "" {
				t.Errorf("example %d: %s: %s", i+1, h.Name, h.Invalid)
			}
		}
	}
}

// TestOlderThanAnEnvironment reads a commit under a process with an environment
// that the commit knows nothing of: its releases there wait, the others do not.
func TestOlderThanAnEnvironment(t *testing.T) {
	for name, edit := range map[string][2]string{
		"files of each hub":   {"", ""},
		"a file for all hubs": {`"config/{env}.yaml"`, `"/config/{env}.yaml"`},
		"a file named by hub": {`"config/{env}.yaml"`, `"/config/{hub}/{env}.yaml"`},
	} {
		t.Run(name, func(t *testing.T) {
			files := tree(strings.Replace(minimal, edit[0], edit[1], 1))
			for _, env := range []string{"staging", "prod"} {
				for _, f := range []string{"config/" + env, "config/data8/" + env, "config/datahub/" + env} {
					files[f+".yaml"] = &fstest.MapFile{}
				}
			}
			process, err := ReadProcess(files, "")
			if err != nil {
				t.Fatal(err)
			}
			process.Environments = append(process.Environments, model.Environment{
				Name: "campus", Branch: "campus", Cluster: "local", Namespace: "{hub}-campus", Release: "{hub}-campus", Host: "{hub}-campus.localhost", After: "prod"})
			c, err := Read(files, "", process)
			if err != nil {
				t.Fatal(err)
			}
			for _, h := range c.Fleet.Hubs {
				if h.Problem("staging") != "" || h.Problem("prod") != "" || !strings.Contains(h.Problem("campus"), h.Name+"@campus has no file") {
					t.Errorf("%+v", h)
				}
			}
		})
	}
}
