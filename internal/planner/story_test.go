package planner

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/hubship/hubship/internal/image"
	"github.com/hubship/hubship/internal/plan"
	"github.com/hubship/hubship/internal/release/helm"
	"github.com/hubship/hubship/internal/repo"
	"github.com/hubship/hubship/internal/secrets"
)

// checks lists the checks of a plan's problems with their severities.
func checks(p plan.Plan) string {
	var out []string
	for _, problem := range p.Problems {
		out = append(out, string(problem.Severity)+" "+problem.Check)
	}
	slices.Sort(out)
	return strings.Join(slices.Compact(out), ", ")
}

// TestMerge plans what a pull request makes, not what its branch holds: the
// base has moved on.
func TestMerge(t *testing.T) {
	f := newFleet(t, "art", "math")
	root := f.head
	if err := f.git.SetBranch(t.Context(), "topic", root, ""); err != nil {
		t.Fatal(err)
	}
	topic, err := f.git.CommitFiles(t.Context(), "topic", root, map[string][]byte{"deployments/art/config/prod.yaml": []byte("storage: 30Gi\n")}, nil, "more", testAuthor)
	if err != nil {
		t.Fatal(err)
	}
	base := f.commit("meanwhile", map[string]string{"deployments/math/config/prod.yaml": "storage: 40Gi\n"})
	p := f.plan(Request{Base: base, Head: topic, Merge: true, Render: true})
	if releasesOfPlan(p) != "art@prod" || p.Merged == "" || p.Head != topic || p.Base != base {
		t.Errorf("as a pull request: %s, merged %q", releasesOfPlan(p), p.Merged)
	}
	if p := f.plan(Request{Base: base, Head: topic}); releasesOfPlan(p) != "art@prod math@prod" || p.Merged != "" {
		t.Errorf("as they are: %s", releasesOfPlan(p))
	}
	conflicting := f.commit("the same line", map[string]string{"deployments/art/config/prod.yaml": "storage: 50Gi\n"})
	p = f.plan(Request{Base: conflicting, Head: topic, Merge: true})
	if checks(p) != "error merge" || p.Problems[0].File != "deployments/art/config/prod.yaml" || releasesOfPlan(p) != "art@prod" {
		t.Errorf("a conflict: %s, %+v", releasesOfPlan(p), p.Problems)
	}
}

// TestSecrets changes an encrypted value while its key lies in every place that
// SOPS looks into. A plan does not open the file: it says that the value
// changes, by its path. Only whoever passes an Opener sees it.
func TestSecrets(t *testing.T) {
	f := newFleet(t, "math")
	key := filepath.Join(t.TempDir(), "key")
	recipient, err := secrets.NewKey(key)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("SOPS_AGE_KEY_FILE", key)
	const old, fresh = "xk7qwz-pj2vbn-8tzr", "wv9ydz-hq4mcg-5xkf"
	encrypted := func(value string) string {
		t.Helper()
		out, err := secrets.Encrypt([]byte("token: "+value+"\n"), []string{recipient})
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	const spell = `{{ printf "%x" .Values.token }} {{ .Values.token | b64enc }} {{ .Values.token | splitList "" | reverse | join "" }} {{ .Values.token }}`
	base := f.commit("a secret", map[string]string{"deployments/math/secrets/prod.yaml": encrypted(old)})
	f.commit("another", map[string]string{
		"deployments/math/secrets/prod.yaml": encrypted(fresh),
		"hub/templates/spelt.yaml":           "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: spelt}\ndata: {it: '" + spell + "'}\n",
	})
	p := f.planner()
	made, err := p.Plan(t.Context(), Request{Base: base, Head: f.head, Render: true, Environments: []string{"prod"}})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(made)
	if err != nil {
		t.Fatal(err)
	}
	// A Redactor would also find what only looks like a part of a secret, in the
	// checksums and random values of the text.
	tells := func(text string) bool {
		for _, secret := range []string{old, fresh} {
			letters := strings.Split(secret, "")
			slices.Reverse(letters)
			for _, spelt := range []string{secret, strings.Join(letters, ""), fmt.Sprintf("%x", secret), base64.StdEncoding.EncodeToString([]byte(secret))} {
				if strings.Contains(text, spelt) {
					return true
				}
			}
		}
		return false
	}
	if tells(string(raw)) {
		t.Errorf("the plan holds a secret: %s", raw)
	}
	if len(made.Releases) != 1 || len(made.Problems) > 0 || strings.Join(made.Releases[0].Placeholders, " ") != "deployments/math/secrets/prod.yaml" {
		t.Fatalf("%s", raw)
	}
	var masked, sealed []string
	for _, c := range made.Releases[0].Changes {
		for _, field := range c.Fields {
			if field.Masked {
				masked = append(masked, field.Path)
			}
		}
	}
	for _, field := range made.Releases[0].Values {
		if field.Sealed {
			sealed = append(sealed, field.Path)
		}
	}
	if strings.Join(masked, " ") != "data.token" || strings.Join(sealed, " ") != "token" {
		t.Errorf("masked %v, encrypted values that change %v", masked, sealed)
	}
	for _, q := range []RenderRequest{{}, {Values: true}} {
		q.Hub, q.Environment, q.Rev = "math", "prod", f.head
		m, err := p.Render(t.Context(), q)
		if err != nil || tells(m.Text) || len(m.Placeholders) != 1 {
			t.Errorf("rendered: %+v, %v", m, err)
		}
		q.Open = func(name string, data []byte) (map[string]any, error) {
			return secrets.Decrypt(name, data, secrets.Keys{AgeFiles: []string{key}})
		}
		if m, err = p.Render(t.Context(), q); err != nil || len(m.Placeholders) != 0 || !strings.Contains(m.Text, fresh) {
			t.Errorf("rendered with the key: %+v, %v", m, err)
		}
	}
}

// TestSecretsInTheClear holds a file that somebody forgot to encrypt: its
// values are not shown either.
func TestSecretsInTheClear(t *testing.T) {
	f := newFleet(t, "math")
	base := f.head
	f.commit("a secret", map[string]string{"deployments/math/secrets/prod.yaml": "token: first-hidden-value\nport: 471147\n"})
	made := f.plan(Request{Base: base, Render: true})
	raw, err := json.Marshal(made)
	if err != nil || strings.Contains(string(raw), "hidden-value") || strings.Contains(string(raw), "471147") {
		t.Errorf("%s, %v", raw, err)
	}
	if !strings.Contains(checks(made), "encryption") {
		t.Errorf("checks %s", checks(made))
	}
}

// TestAllowDestroy lets a commit's message name what goes.
func TestAllowDestroy(t *testing.T) {
	for message, want := range map[string]string{
		"Take the claim away": "error destroy",
		"Take it away\n\nAllow-Destroy: PersistentVolumeClaim/other":                  "error destroy",
		"Take it away\n\nAllow-Destroy: PersistentVolumeClaim/hub-db\nReviewed-by: A": "warning destroy",
	} {
		f := newFleet(t, "math")
		base := f.head
		f.commit(message, map[string]string{"deployments/math/config/prod.yaml": "storage: null\n"})
		p := f.plan(Request{Base: base, Render: true})
		if got := checks(p); got != want {
			t.Errorf("%q: %s, want %s", message, got, want)
		}
		effects := p.Releases[0].Impact.Effects
		if p.Releases[0].Impact.Level != plan.Destructive || len(effects) == 0 || effects[0].Allowed != strings.HasPrefix(want, "warning") {
			t.Errorf("%q: impact %+v", message, p.Releases[0].Impact)
		}
	}
}

// TestProblems has one thing wrong at a time.
func TestProblems(t *testing.T) {
	token := "ghp_" + strings.Repeat("a1B2c3D4e", 4)
	for name, tc := range map[string]struct {
		change map[string]string
		want   string
		file   string
		line   int
	}{
		"a credential":      {map[string]string{"scripts/x.py": "import x\nTOKEN = '" + token + "'\n"}, "error credential", "scripts/x.py", 2},
		"a secret in clear": {map[string]string{"deployments/math/secrets/prod.yaml": "token: abcdefgh\n"}, "error encryption", "deployments/math/secrets/prod.yaml", 0},
		"a key twice":       {map[string]string{"deployments/math/config/prod.yaml": "storage: 20Gi\nhub:\n  a: 1\nhub:\n  b: 2\n"}, "error yaml", "deployments/math/config/prod.yaml", 4},
		// Where it stands, though another file has the same object.
		"a key unknown": {map[string]string{
			"deployments/math/config/common.yaml": "singleuser:\n  memory:\n    limit: 2G\n    limits: 3G\n",
			"deployments/math/config/prod.yaml":   "storage: 20Gi\nsingleuser:\n  memory:\n    guarantee: 1G\n"}, "error schema", "deployments/math/config/common.yaml", 4},
		"the chart goes back": {map[string]string{"hub/Chart.yaml": "apiVersion: v2\nname: hub\nversion: 1.1.0\n"}, "warning chart", "hub/Chart.yaml", 3},
		"a field of no kind":  {map[string]string{"hub/templates/pvc.yaml": strings.Replace(chart["hub/templates/pvc.yaml"], "accessModes:", "accesModes:", 1)}, "error manifest", "hub/templates/pvc.yaml", 0},
		"no staging":          {map[string]string{"deployments/new/hubploy.yaml": "images: {}\n", "deployments/new/config/prod.yaml": "storage: 1Gi\n"}, "warning staging", "deployments/new", 0},
		"not pinned": {map[string]string{
			"deployments/new/hubploy.yaml": "images: {image_name: registry.example.org/new}\n", "deployments/new/image/requirements.txt": "numpy\nscipy==1.14.1\n",
			"deployments/new/config/prod.yaml": "storage: 1Gi\n", "deployments/new/config/staging.yaml": "storage: 1Gi\n"}, "notice packages", "deployments/new/image/requirements.txt", 1},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t, "art", "math")
			base := f.head
			f.commit(name, tc.change)
			p := f.plan(Request{Base: base, Render: true})
			i := slices.IndexFunc(p.Problems, func(p plan.Problem) bool { return string(p.Severity)+" "+p.Check == tc.want })
			if i < 0 {
				t.Fatalf("problems %+v, want %s", p.Problems, tc.want)
			}
			if got := p.Problems[i]; got.File != tc.file || got.Line != tc.line || got.Preexisting || strings.Contains(got.Message, token) {
				t.Errorf("problem %+v, want %s:%d", got, tc.file, tc.line)
			}
			// The next change finds it there.
			base = f.head
			f.commit("something else", map[string]string{"README.md": "more\n"})
			for _, p := range f.plan(Request{Base: base, Render: true}).Problems {
				if !p.Preexisting {
					t.Errorf("a problem of another change: %+v", p)
				}
			}
		})
	}
}

// TestBrokenSides has configurations that cannot be read at all.
func TestBrokenSides(t *testing.T) {
	f := newFleet(t, "math")
	good := f.head
	broken := f.commit("break it", map[string]string{"hubship.yaml": "version: 1\nhubs: [\n"})
	p := f.plan(Request{Base: good, Head: broken, Render: true})
	if checks(p) != "error configuration" || p.Problems[0].File != "hubship.yaml" || len(p.Releases) > 0 {
		t.Errorf("the head is broken: %+v, %s", p.Problems, releasesOfPlan(p))
	}
	p = f.plan(Request{Base: broken, Head: good, Render: true})
	if checks(p) != "notice configuration" || releasesOfPlan(p) != "math@staging math@prod" {
		t.Errorf("the base is broken: %+v, %s", p.Problems, releasesOfPlan(p))
	}
	if p = f.plan(Request{Head: good, Render: true}); len(p.Releases) != 2 || p.Releases[0].Change != plan.Added || p.Base != "" {
		t.Errorf("everything is new: %+v", p)
	}
	for _, q := range []Request{{Base: good, Head: strings.Repeat("0", 40)}, {Base: "no-such-branch", Head: good}, {Head: "--upload-pack=x"}} {
		if _, err := f.planner().Plan(t.Context(), q); err == nil {
			t.Errorf("%+v: planned", q)
		}
	}
}

// TestRegistry asks a real registry about images.
func TestRegistry(t *testing.T) {
	srv := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer srv.Close()
	host := strings.TrimPrefix(srv.URL, "http://")
	first, err := random.Image(1000, 2)
	if err != nil {
		t.Fatal(err)
	}
	layer, err := random.Layer(5000, "application/vnd.docker.image.rootfs.diff.tar.gzip")
	if err != nil {
		t.Fatal(err)
	}
	second, err := mutate.AppendLayers(first, layer)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(host + "/user:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, first); err != nil {
		t.Fatal(err)
	}
	next, err := name.ParseReference(host + "/user:2")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(next, second); err != nil {
		t.Fatal(err)
	}
	size, err := layer.Size()
	if err != nil {
		t.Fatal(err)
	}
	f := newFleet(t, "math")
	set := func(tag string) map[string]string {
		return map[string]string{"deployments/math/hubploy.yaml": "images: {images: [{name: '" + host + "/user:" + tag + "', helm_substitution_path: singleuser.image}]}\n"}
	}
	p, err := New(Options{Repository: repo.New(f.git, repo.Options{}), Renderer: helm.NewRenderer(helm.RendererOptions{}), Registry: image.Remote{}, Layers: image.Remote{}})
	if err != nil {
		t.Fatal(err)
	}
	base := f.commit("one", set("1"))
	f.commit("two", set("2"))
	made, err := p.Plan(t.Context(), Request{Base: base, Head: f.head, Render: true})
	if err != nil || len(made.Images) != 1 || made.Images[0].Bytes != size || len(made.Problems) > 0 {
		t.Errorf("images %+v, problems %+v, %v", made.Images, made.Problems, err)
	}
	base = f.head
	f.commit("three", set("3"))
	made, err = p.Plan(t.Context(), Request{Base: base, Head: f.head, Render: true})
	if err != nil || checks(made) != "error image" {
		t.Errorf("an image that is not there: %+v, %v", made.Problems, err)
	}
}

// TestRestrict plans some releases only.
func TestRestrict(t *testing.T) {
	f := newFleet(t, "art", "math")
	base := f.head
	f.commit("all", map[string]string{"hub/values.yaml": strings.Replace(chart["hub/values.yaml"], `tag: "4"`, `tag: "5"`, 1)})
	if p := f.plan(Request{Base: base, Hubs: []string{"art"}, Environments: []string{"prod"}, Render: true}); releasesOfPlan(p) != "art@prod" {
		t.Errorf("releases %s", releasesOfPlan(p))
	}
}
