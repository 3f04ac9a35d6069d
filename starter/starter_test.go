package starter_test

import (
	"encoding/base64"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bmatcuk/doublestar/v4"
	"go.yaml.in/yaml/v3"
	"helm.sh/helm/v4/pkg/chart/common"
	commonutil "helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/loader/archive"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"
	"helm.sh/helm/v4/pkg/engine"

	hubconfig "github.com/hubship/hubship/internal/config"
	"github.com/hubship/hubship/starter"
)

// config is the part of hubship.yaml that these tests follow.
type config struct {
	Version int `yaml:"version"`
	Hubs    struct {
		Path    string   `yaml:"path"`
		Chart   string   `yaml:"chart"`
		Values  []string `yaml:"values"`
		Secrets []string `yaml:"secrets"`
	} `yaml:"hubs"`
	Images map[string]struct {
		Context string `yaml:"context"`
		Values  string `yaml:"values"`
	} `yaml:"images"`
	Environments map[string]struct {
		Branch string `yaml:"branch"`
		After  string `yaml:"after"`
	} `yaml:"environments"`
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := fs.ReadFile(starter.Files(), name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func readConfig(t *testing.T) config {
	t.Helper()
	var c config
	if err := yaml.Unmarshal(read(t, "hubship.yaml"), &c); err != nil {
		t.Fatalf("hubship.yaml: %v", err)
	}
	return c
}

func TestFilesAreWhole(t *testing.T) {
	var names []string
	err := fs.WalkDir(starter.Files(), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		".gitignore",
		"CONTRIBUTING.md",
		"README.md",
		"charts/jupyterhub/.helmignore",
		"charts/jupyterhub/templates/_names.tpl",
		"charts/jupyterhub/values.schema.json",
		"checks/packages.sh",
		"hub/Chart.yaml",
		"images/proxy/package-lock.json",
	} {
		if !slices.Contains(names, want) {
			t.Errorf("%s is not embedded", want)
		}
	}
	for _, name := range names {
		if strings.Contains(name, "/secrets/") {
			t.Errorf("%s: secrets are generated, never embedded", name)
		}
		if strings.Contains(string(read(t, name)), "\r") {
			t.Errorf("%s has carriage returns", name)
		}
	}
}

func TestConfigNamesWhatExists(t *testing.T) {
	c := readConfig(t)
	if c.Version != 1 {
		t.Errorf("version is %d, want 1", c.Version)
	}
	if c.Environments["prod"].After != "staging" {
		t.Errorf("prod is after %q, want staging", c.Environments["prod"].After)
	}
	hub := path.Join(path.Dir(c.Hubs.Path), starter.Hub)
	for name, image := range c.Images {
		dir := strings.ReplaceAll(image.Context, "{hub}", hub)
		if !strings.Contains(string(read(t, dir+"/Dockerfile")), "\nFROM debian:bookworm-slim") {
			t.Errorf("image %s: %s/Dockerfile is not built on debian:bookworm-slim", name, dir)
		}
	}
	read(t, c.Hubs.Chart+"/Chart.yaml")
}

func TestConfigIsUnderstood(t *testing.T) {
	fleet, err := hubconfig.Load(starter.Files(), "0123456789abcdef0123456789abcdef01234567")
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := fleet.Hub(starter.Hub); !ok {
		t.Errorf("there is no hub %s", starter.Hub)
	}
	if len(fleet.ImagesOf(starter.Hub)) != 3 {
		t.Errorf("%s has images %v, want hub, proxy and user", starter.Hub, fleet.ImagesOf(starter.Hub))
	}
}

// What pull requests run has to be there without any registry: on the image
// that the embedded node makes itself. It sees the files that it reads, and
// these pass.
func TestChecks(t *testing.T) {
	fleet, err := hubconfig.Load(starter.Files(), "0123456789abcdef0123456789abcdef01234567")
	if err != nil {
		t.Fatal(err)
	}
	if fleet.Review.Approvals != 1 || len(fleet.Tests) == 0 {
		t.Fatalf("review %+v, tests %+v", fleet.Review, fleet.Tests)
	}
	for _, test := range fleet.Tests {
		if test.Image != "debian:bookworm-slim" {
			t.Errorf("%s runs in %s", test.Name, test.Image)
		}
		for list, want := range map[string]string{
			"":                       "",
			"seaborn\n":              "seaborn: write one version",
			"seaborn>=0.13\n":        "seaborn>=0.13: write one version",
			"Num_Py==1\nnum-py==2\n": "num-py is already in line 1",
			"# why\n-r more.txt\n./packages/mine\n--find-links ./packages\nnumpy[all]==2.4.6 # yes\nx==1; sys_platform == \"linux\"\n": "",
		} {
			dir := t.TempDir()
			err := fs.WalkDir(starter.Files(), ".", func(name string, d fs.DirEntry, err error) error {
				if err != nil || d.IsDir() || !slices.ContainsFunc(test.Paths, func(pattern string) bool {
					ok, err := doublestar.Match(pattern, name)
					return ok && err == nil
				}) {
					return err
				}
				if err := os.MkdirAll(filepath.Join(dir, path.Dir(name)), 0o755); err != nil {
					return err
				}
				data := read(t, name)
				if list != "" && path.Base(name) == "requirements.txt" {
					data = []byte(list)
				}
				return os.WriteFile(filepath.Join(dir, name), data, 0o644)
			})
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), test.Command[0], test.Command[1:]...)
			cmd.Dir = dir
			out, err := cmd.CombinedOutput()
			if (err == nil) != (want == "") || !strings.Contains(string(out), want) {
				t.Errorf("%s with %q: %v, want %q\n%s", test.Name, list, err, want, out)
			}
		}
	}
}

// The role of the service that verifies names the user that verification uses.
func TestScopesNameTheVerifyingUser(t *testing.T) {
	fleet, err := hubconfig.Load(starter.Files(), "0123456789abcdef0123456789abcdef01234567")
	if err != nil {
		t.Fatal(err)
	}
	common := string(read(t, "deployments/datahub/config/common.yaml"))
	for _, scope := range []string{"admin:users", "servers", "access:servers"} {
		if want := " " + scope + "!user=" + fleet.Verify.User + "\n"; !strings.Contains(common, want) {
			t.Errorf("common.yaml does not give the scope %s", want)
		}
	}
	if !strings.Contains(common, "\n      "+fleet.Verify.Service+": {}\n") {
		t.Errorf("common.yaml has no service %s", fleet.Verify.Service)
	}
}

// Everybody on the hub has its password. It must make nobody an administrator,
// who may open every server, nor the user of verification, who could put into
// its home what the image lacks: both would say what becomes evidence.
func TestThePasswordOpensNoOthersServer(t *testing.T) {
	fleet, err := hubconfig.Load(starter.Files(), "0123456789abcdef0123456789abcdef01234567")
	if err != nil {
		t.Fatal(err)
	}
	for _, env := range []string{"staging", "prod"} {
		var kept struct {
			Hub struct {
				Config struct {
					JupyterHub struct {
						Class string `yaml:"authenticator_class"`
					} `yaml:"JupyterHub"`
					Authenticator struct {
						Admins  []string `yaml:"admin_users"`
						Blocked []string `yaml:"blocked_users"`
					} `yaml:"Authenticator"`
				}
			}
		}
		raw, err := base64.StdEncoding.DecodeString(mustRender(t, env, withPassword(t, env))["Secret/hub"].Data["values.yaml"])
		if err == nil {
			err = yaml.Unmarshal(raw, &kept)
		}
		if err != nil {
			t.Fatal(err)
		}
		c := kept.Hub.Config
		if c.JupyterHub.Class != "dummy" || len(c.Authenticator.Admins) != 0 || !slices.Contains(c.Authenticator.Blocked, fleet.Verify.User) {
			t.Errorf("%s: %+v", env, c)
		}
	}
}

func TestRequirementsArePinned(t *testing.T) {
	for _, name := range []string{
		"deployments/datahub/image/base-requirements.txt",
		"deployments/datahub/image/requirements.txt",
		"images/hub/requirements.txt",
		"images/proxy/requirements.txt",
	} {
		packages := 0
		for line := range strings.Lines(string(read(t, name))) {
			line = strings.TrimSpace(line)
			if line == "" || strings.HasPrefix(line, "#") {
				continue
			}
			packages++
			if pkg, version, ok := strings.Cut(line, "=="); !ok || pkg == "" || version == "" {
				t.Errorf("%s: %q is not pinned", name, line)
			}
		}
		if packages == 0 {
			t.Errorf("%s names no package", name)
		}
	}
}

// The same package in both files of the users' image must be the same version:
// otherwise the image holds it twice.
func TestBaseAgreesWithRequirements(t *testing.T) {
	base := string(read(t, "deployments/datahub/image/base-requirements.txt"))
	for line := range strings.Lines(string(read(t, "deployments/datahub/image/requirements.txt"))) {
		pkg, _, ok := strings.Cut(line, "==")
		if ok && strings.Contains(base, "\n"+pkg+"==") && !strings.Contains(base, "\n"+line) {
			t.Errorf("%q is another version in base-requirements.txt", strings.TrimSpace(line))
		}
	}
}

// loadChart loads a chart of the repository with its file:// dependencies.
func loadChart(t *testing.T, dir string) *chart.Chart {
	t.Helper()
	var buffered []*archive.BufferedFile
	err := fs.WalkDir(starter.Files(), dir, func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			buffered = append(buffered, &archive.BufferedFile{Name: strings.TrimPrefix(name, dir+"/"), Data: read(t, name)})
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	c, err := loader.LoadFiles(buffered)
	if err != nil {
		t.Fatalf("chart %s: %v", dir, err)
	}
	for _, d := range c.Metadata.Dependencies {
		c.AddDependency(loadChart(t, path.Join(dir, strings.TrimPrefix(d.Repository, "file://"))))
	}
	return c
}

// set puts a value at a dotted path.
func set(values map[string]any, dotted string, value any) {
	keys := strings.Split(dotted, ".")
	for _, key := range keys[:len(keys)-1] {
		next, ok := values[key].(map[string]any)
		if !ok {
			next = map[string]any{}
			values[key] = next
		}
		values = next
	}
	values[keys[len(keys)-1]] = value
}

// values are those of datahub in an environment, with images but no password.
func values(t *testing.T, env string) map[string]any {
	t.Helper()
	c := readConfig(t)
	merged := map[string]any{}
	for _, pattern := range c.Hubs.Values {
		name := path.Join("deployments", starter.Hub, strings.ReplaceAll(pattern, "{env}", env))
		next, err := loader.LoadValues(strings.NewReader(string(read(t, name))))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		merged = loader.MergeMaps(merged, next)
	}
	for name, image := range c.Images {
		set(merged, image.Values+".name", "registry.example/"+name)
		set(merged, image.Values+".tag", "h-0123")
	}
	return merged
}

type object struct {
	Kind     string `yaml:"kind"`
	Metadata struct {
		Name string `yaml:"name"`
	} `yaml:"metadata"`
	StringData map[string]string `yaml:"stringData"`
	Data       map[string]string `yaml:"data"`
	Spec       struct {
		Template struct {
			Metadata struct {
				Annotations map[string]string `yaml:"annotations"`
			} `yaml:"metadata"`
			Spec map[string]any `yaml:"spec"`
		} `yaml:"template"`
	} `yaml:"spec"`
}

// render returns the objects of a release by "Kind/name".
func render(t *testing.T, env string, v map[string]any) (map[string]object, error) {
	t.Helper()
	c := loadChart(t, readConfig(t).Hubs.Chart)
	if err := chartutil.ProcessDependencies(c, v); err != nil {
		t.Fatal(err)
	}
	release := common.ReleaseOptions{Name: "datahub-" + env, Namespace: "datahub-" + env, Revision: 1, IsInstall: true}
	full, err := commonutil.ToRenderValues(c, v, release, common.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	manifests, err := engine.Render(c, full)
	if err != nil {
		return nil, err
	}
	objects := map[string]object{}
	for name, manifest := range manifests {
		if !strings.HasSuffix(name, ".yaml") {
			continue
		}
		for doc := range strings.SplitSeq(manifest, "\n---\n") {
			var o object
			if err := yaml.Unmarshal([]byte(doc), &o); err != nil {
				t.Fatalf("%s: %v\n%s", name, err, doc)
			}
			if o.Kind != "" {
				objects[o.Kind+"/"+o.Metadata.Name] = o
			}
		}
	}
	return objects, nil
}

func mustRender(t *testing.T, env string, v map[string]any) map[string]object {
	t.Helper()
	objects, err := render(t, env, v)
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

func withPassword(t *testing.T, env string) map[string]any {
	t.Helper()
	v := values(t, env)
	set(v, starter.PasswordKey, "not-a-secret-1")
	return v
}

func TestChartRenders(t *testing.T) {
	for _, env := range []string{"staging", "prod"} {
		t.Run(env, func(t *testing.T) {
			objects := mustRender(t, env, withPassword(t, env))
			for _, want := range []string{
				"ConfigMap/hub", "Deployment/hub", "Deployment/proxy", "PersistentVolumeClaim/hub-db-dir",
				"Role/hub", "RoleBinding/hub", "Secret/hub", "Service/hub", "Service/proxy-api",
				"Service/proxy-public", "ServiceAccount/hub",
				"NetworkPolicy/hub", "NetworkPolicy/proxy", "NetworkPolicy/singleuser",
			} {
				if _, ok := objects[want]; !ok {
					t.Errorf("%s is missing", want)
				}
			}
			for _, key := range []string{
				"values.yaml", "hub.config.ConfigurableHTTPProxy.auth_token",
				"hub.config.JupyterHub.cookie_secret", "hub.config.CryptKeeper.keys",
				"hub.services.hubship.apiToken",
			} {
				if objects["Secret/hub"].Data[key] == "" {
					t.Errorf("Secret hub has no %s", key)
				}
			}
		})
	}
}

func TestChartRefuses(t *testing.T) {
	tests := []struct {
		name string
		set  map[string]any
		want string
	}{
		{"no password", map[string]any{starter.PasswordKey: nil}, "hub.config.DummyAuthenticator.password is not set"},
		{"empty password", map[string]any{starter.PasswordKey: ""}, "hub.config.DummyAuthenticator.password is not set"},
		{"no image", map[string]any{"jupyterhub.hub.image": map[string]any{}}, "hub.image.name and hub.image.tag are not set"},
		{"misspelt key", map[string]any{"jupyterhub.singleuser.memroy": "1G"}, "memroy"},
		{"unsupported feature", map[string]any{"jupyterhub.prePuller.hook.enabled": true}, "/prePuller/hook/enabled"},
		{"misplaced section", map[string]any{"jupyterhub.hub.config.loadRoles": map[string]any{}}, "loadRoles"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			v := withPassword(t, "staging")
			for key, value := range test.set {
				set(v, key, value)
			}
			_, err := render(t, "staging", v)
			if err == nil {
				t.Fatal("rendered")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("error does not say %q: %v", test.want, err)
			}
		})
	}
}

// What restarts hub and proxy: each restarts for what it reads, and for
// nothing else.
func TestRestarts(t *testing.T) {
	tests := []struct {
		name       string
		key        string
		value      any
		hub, proxy bool
	}{
		{"nothing", "jupyterhub.custom.unused", nil, false, false},
		{"user image", "jupyterhub.singleuser.image.tag", "h-4567", true, false},
		{"hub image", "jupyterhub.hub.image.tag", "h-4567", true, false},
		{"proxy image", "jupyterhub.proxy.chp.image.tag", "h-4567", false, true},
		{"proxy service", "jupyterhub.proxy.service.type", "NodePort", false, false},
		{"memory of a server", "jupyterhub.singleuser.memory.limit", "3G", true, false},
		{"password", starter.PasswordKey, "not-a-secret-2", true, false},
		{"token of the proxy", "jupyterhub.proxy.secretToken", strings.Repeat("0a", 32), true, true},
		{"continuous puller", "jupyterhub.prePuller.continuous.enabled", true, false, false},
	}
	pod := func(o object) string {
		data, err := yaml.Marshal(o.Spec.Template)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	before := mustRender(t, "prod", withPassword(t, "prod"))
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			v := withPassword(t, "prod")
			if test.value != nil {
				set(v, test.key, test.value)
			}
			after := mustRender(t, "prod", v)
			for name, want := range map[string]bool{"Deployment/hub": test.hub, "Deployment/proxy": test.proxy} {
				if got := pod(before[name]) != pod(after[name]); got != want {
					t.Errorf("%s restarts: %v, want %v", name, got, want)
				}
			}
		})
	}
}
