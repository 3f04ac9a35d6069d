package cli

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/term"
)

// TestPlanBadInput makes one hostile or broken change at a time. Each has to
// end in a plan that names what is wrong, quickly, and without what is outside
// of the repository.
func TestPlanBadInput(t *testing.T) {
	const both = "art@staging art@prod math@staging math@prod"
	const bothNot = "art@staging! art@prod! math@staging! math@prod!"
	large := strings.Repeat("title: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n", 100<<20/64)
	loop := func(body string) func(*deployment) {
		return func(d *deployment) {
			d.write("hub/templates/loop.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: loop\ndata:\n  x: |\n    "+body+"\n")
		}
	}
	for name, tc := range map[string]struct {
		hubploy  bool
		change   func(d *deployment)
		releases string // those of the plan; ! marks one that is not rendered
		want     string // part of the problems
	}{
		"values that lead out":         {false, func(d *deployment) { d.link("deployments/art/config/prod.yaml", "../../../../outside.yaml") }, "art@prod!", "deployments/art/config/prod.yaml"},
		"values that lead to the root": {false, func(d *deployment) { d.link("deployments/art/config/prod.yaml", "/etc/passwd") }, "art@prod!", "symbolic link leads out of the tree"},
		"values that lead to git":      {false, func(d *deployment) { d.link("deployments/art/config/prod.yaml", "../../../.git/config") }, "art@prod!", "art@prod has no file deployments/art/config/prod.yaml"},
		"values that lead to nothing":  {false, func(d *deployment) { d.link("deployments/art/config/prod.yaml", "prod.yaml") }, "art@prod!", "too many symbolic links"},
		"values of hubploy, out":       {true, func(d *deployment) { d.link("deployments/art/config/common.yaml", "../../../../outside.yaml") }, "art@staging! art@prod!", "deployments/art/config/common.yaml"},
		"secrets that lead out": {false, func(d *deployment) {
			d.mkdir("deployments/art/secrets")
			d.link("deployments/art/secrets/prod.yaml", "../../../../outside.yaml")
		}, "art@prod!", "symbolic link leads out of the tree"},
		"a chart file that leads out":  {false, func(d *deployment) { d.link("hub/templates/config.yaml", "../../../outside.yaml") }, "", "hub/templates/config.yaml: symbolic link leads out of the tree"},
		"Chart.yaml that leads out":    {false, func(d *deployment) { d.link("hub/Chart.yaml", "../../outside.yaml") }, "", "hubs.chart: cannot be read: stat hub/Chart.yaml: symbolic link leads out of the tree"},
		"an image that leads out":      {false, func(d *deployment) { d.link("deployments/art/image", "../../..") }, "art@staging! art@prod!", "images.user.context: cannot be read"},
		"an image file that leads out": {false, func(d *deployment) { d.link("deployments/art/image/environment.yml", "../../../../outside.yaml") }, "art@staging art@prod", "is not in the image's folder"},
		"a description that leads out": {false, func(d *deployment) { d.link("hubship.yaml", "../outside.yaml") }, "", "symbolic link leads out of the tree"},
		"hubploy.yaml that leads out":  {true, func(d *deployment) { d.link("deployments/art/hubploy.yaml", "../../../outside.yaml") }, "art@staging! art@prod!", "symbolic link leads out of the tree"},
		"large values":                 {false, func(d *deployment) { d.write("deployments/art/config/prod.yaml", large) }, "art@prod!", "the limit is 10485760"},
		"a large description":          {false, func(d *deployment) { d.write("hubship.yaml", large) }, "", "hubship.yaml:0 cannot be read: the file is larger than 1024 KiB"},
		"a large hubploy.yaml":         {true, func(d *deployment) { d.write("deployments/art/hubploy.yaml", large) }, "art@staging! art@prod!", "the file is larger than 1024 KiB"},
		"a large Chart.yaml":           {false, func(d *deployment) { d.write("hub/Chart.yaml", large) }, "", "chart hub: read hub/Chart.yaml: it has"},
		"a large template":             {false, func(d *deployment) { d.write("hub/templates/config.yaml", large) }, bothNot, "the limit for a file in a chart is 10485760"},
		"a large file of an image":     {false, func(d *deployment) { d.write("deployments/art/image/environment.yml", large) }, "art@staging art@prod", "environment.yml"},
		"a bomb in values":             {false, func(d *deployment) { d.write("deployments/art/config/prod.yaml", bomb) }, "art@prod!", "with its aliases expanded, the file has more than 1000000 values"},
		"a bomb in a description":      {false, func(d *deployment) { d.write("hubship.yaml", bomb+describedBy) }, "", "hubship.yaml:1 a0: unknown key"},
		"a bomb in hubploy.yaml":       {true, func(d *deployment) { d.write("deployments/art/hubploy.yaml", bomb+"cluster: {x: *a9}\n") }, "art@staging! art@prod!", "document contains excessive aliasing"},
		"a bomb in Chart.yaml": {false, func(d *deployment) {
			d.write("hub/Chart.yaml", bomb+"name: hub\nversion: 1.0.0\napiVersion: v2\ndependencies: *a9\n")
		}, "", "chart hub: read hub/Chart.yaml"},
		"a bomb in environment.yml":     {false, func(d *deployment) { d.write("deployments/art/image/environment.yml", bomb+"dependencies: *a9\n") }, "art@staging art@prod", "environment.yml"},
		"a bomb of an image of hubploy": {true, func(d *deployment) { d.write("deployments/art/image/environment.yml", bomb+"dependencies: *a9\n") }, "art@staging art@prod", "environment.yml"},
		"recursion": {false, func(d *deployment) {
			d.write("hub/templates/x.tpl", `{{ define "x" }}{{ include "x" . }}{{ end }}`)
			loop(`{{ include "x" . }}`)(d)
		}, bothNot, "hub/templates/"},
		"recursion of two": {false, func(d *deployment) {
			d.write("hub/templates/x.tpl", `{{ define "x" }}{{ include "y" . }}{{ end }}{{ define "y" }}{{ template "x" . }}{{ end }}`)
			loop(`{{ include "x" . }}`)(d)
		}, bothNot, "hub/templates/"},
		"recursion by tpl":      {false, loop(`{{ $_ := set .Values "me" "{{ tpl .Values.me . }}" }}{{ tpl .Values.me . }}`), bothNot, "hub/templates/"},
		"until":                 {false, loop(`{{ until 2000000000 }}`), bothNot, "a template creates a list of more than 200000 items"},
		"repeat":                {false, loop(`{{ repeat 2000000000 "x" }}`), bothNot, "a template builds a text of more than 32 MiB"},
		"range of ranges":       {false, loop(`{{ range until 100000 }}{{ range until 100000 }}{{ range until 100000 }}x{{ end }}{{ end }}{{ end }}`), bothNot, "it took longer than 20s; does a template loop?"},
		"text that doubles":     {false, loop(`{{ $x := "xxxxxxxx" }}{{ range until 60 }}{{ $x = print $x $x }}{{ end }}{{ $x }}`), bothNot, "a template builds a text of more than 32 MiB"},
		"reads files":           {false, loop(`{{ .Files.Get "../../../../../../../../../../etc/passwd" }}{{ .Files.Get "/etc/passwd" }}{{ .Files.Get "../../outside.yaml" }}{{ range $n, $_ := .Files.Glob "/etc/*" }}{{ $n }}{{ end }}`), both, ""},
		"reads the environment": {false, loop(`{{ env "HOME" }}`), bothNot, `function "env" not defined`},
		"dots in a description": {false, func(d *deployment) {
			d.write("hubship.yaml", strings.Replace(describedBy, "config/common.yaml", "../../outside.yaml", 1))
		}, "", "contains '..'"},
		"dots of an image": {false, func(d *deployment) {
			d.write("hubship.yaml", strings.Replace(describedBy, "{hub}/image", "{hub}/../../..", 1))
		}, "", "contains '..'"},
		"dots at the root": {false, func(d *deployment) {
			d.write("hubship.yaml", strings.Replace(describedBy, "config/common.yaml", "/../outside.yaml", 1))
		}, "", "contains '..'"},
		"dots in hubploy.yaml": {true, func(d *deployment) {
			d.write("deployments/art/hubploy.yaml", "images: {images: [{name: x/art, path: ../../../..}]}\n")
		}, "art@staging art@prod", "x/art has a moving tag"},
		"dots of a dependency": {false, func(d *deployment) {
			d.write("hub/Chart.yaml", "apiVersion: v2\nname: hub\nversion: 1.0.0\ndependencies: [{name: x, version: 1.0.0, repository: 'file://../../..'}]\n")
		}, "", "is outside the repository"},
		"a submodule for the chart": {false, func(d *deployment) { d.submodule("hub") }, "", "hubs.chart: there is no file hub/Chart.yaml: the folder is a submodule"},
		"a submodule for a hub":     {false, func(d *deployment) { d.submodule("deployments/art") }, "art@staging! art@prod!", "art@prod has no file deployments/art/config/prod.yaml"},
		"git-crypt":                 {false, func(d *deployment) { d.write("deployments/art/secrets/prod.yaml", "\x00GITCRYPT\x00abc") }, "art@prod!", "encrypted with git-crypt"},
	} {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && name == "range of ranges" {
				t.Skip("it takes as long as a render may")
			}
			d := newDeployment(t)
			if tc.hubploy {
				d = newHubploy(t)
			}
			outside := filepath.Join(filepath.Dir(d.dir), "outside.yaml")
			if err := os.WriteFile(outside, []byte("title: "+secretOutside+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.Remove(outside) })
			base := d.git("rev-parse", "HEAD")
			tc.change(d)
			span := base + ".." + d.commit("a change")
			o := d.run(t.Context(), "plan", span)
			if o.code != model.ExitDone {
				t.Fatalf("exit code %d: %s", o.code, o.errs)
			}
			if got := o.releases(); got != tc.releases {
				t.Errorf("releases %q, want %q", got, tc.releases)
			}
			if !strings.Contains(o.problems(), tc.want) || tc.want == "" && o.problems() != "" {
				t.Errorf("problems %q, want %q", o.problems(), tc.want)
			}
			if text := o.out + o.errs; strings.Contains(text, secretOutside) || strings.Contains(text, "root:") {
				t.Error("something outside of the repository was read")
			}
			// A render may take 20 seconds; those of one chart end together.
			if o.took > time.Minute || o.heap > 1<<30 {
				t.Errorf("it took %s and %d MiB", o.took, o.heap>>20)
			}
			t.Logf("%s, %d MiB", o.took.Round(time.Millisecond), o.heap>>20)
			if o.took > 15*time.Second {
				return
			}
			refused := d.run(t.Context(), "plan", "--fail-on", "error", span).code == model.ExitRefused
			if refused != strings.Contains(o.problems(), "error ") {
				t.Errorf("--fail-on error refuses: %v", refused)
			}
		})
	}
}

// TestPlanRevisions gives revisions and folders that are none.
func TestPlanRevisions(t *testing.T) {
	d := newDeployment(t)
	first := d.git("rev-parse", "HEAD")
	d.write("deployments/art/config/prod.yaml", "title: other\n")
	d.commit("the second")
	d.git("tag", "-a", "-m", "a tag", "v1")
	short := d.ambiguous()
	for name, tc := range map[string]struct {
		args []string
		code int
		want []string // parts of standard error
	}{
		"a branch":              {[]string{"plan", "staging~1..staging"}, 0, nil},
		"a tag":                 {[]string{"plan", "v1"}, 0, nil},
		"a short id":            {[]string{"plan", first[:12] + "..HEAD"}, 0, nil},
		"the first commit":      {[]string{"plan", first}, 0, nil},
		"no such commit":        {[]string{"plan", strings.Repeat("ab", 20)}, 1, []string{"not found in the repository", "a branch, tag or commit"}},
		"no such base":          {[]string{"plan", strings.Repeat("ab", 20) + "..HEAD"}, 1, []string{"not found in the repository"}},
		"no such branch":        {[]string{"plan", "stagin..HEAD"}, 1, []string{`"stagin"`, "not found"}},
		"no such parent":        {[]string{"plan", "HEAD~99"}, 1, []string{`"HEAD~99"`}},
		"an ambiguous id":       {[]string{"plan", short}, 1, []string{"is ambiguous", "it may be " + short, "use more digits of the commit id"}},
		"an option":             {[]string{"plan", "--upload-pack=x"}, 2, []string{"unknown flag"}},
		"an option as revision": {[]string{"plan", "--", "--upload-pack=x"}, 2, []string{`"--upload-pack=x" is not a revision`}},
		"an option as base":     {[]string{"plan", "--", "--output=/tmp/x..HEAD"}, 2, []string{"is not a revision"}},
		"an option as head":     {[]string{"plan", "--", "HEAD...--exec=x"}, 2, []string{"is not a revision"}},
		"a path":                {[]string{"plan", "HEAD:hubship.yaml"}, 2, []string{"is not a revision"}},
		"a search":              {[]string{"plan", ":/second"}, 2, []string{"is not a revision"}},
		"a blob":                {[]string{"plan", d.git("rev-parse", "HEAD:hubship.yaml")}, 1, []string{"not"}},
		"two":                   {[]string{"plan", "HEAD", "HEAD~1"}, 2, []string{"accepts at most 1 arg"}},
		"fail on what":          {[]string{"plan", "--fail-on", "everything"}, 2, []string{"neither error nor warning"}},
		"a folder of charts":    {[]string{"plan", "--charts", filepath.Join(d.dir, "none")}, 1, []string{"no such folder"}},
		"render":                {[]string{"render", "--hub", "art", "--env", "prod", "HEAD"}, 0, nil},
		"render an option":      {[]string{"render", "--hub", "art", "--env", "prod", "--", "--upload-pack=x"}, 2, []string{"is not a revision"}},
		"render no such hub":    {[]string{"render", "--hub", "../../etc", "--env", "prod"}, 2, []string{`hub "../../etc" is not in`}},
		"render no such env":    {[]string{"render", "--hub", "art", "--env", "qa"}, 2, []string{`environment "qa" is not in`}},
		"render without hub":    {[]string{"render", "--env", "prod"}, 2, []string{"--hub"}},
		"render no such commit": {[]string{"render", "--hub", "art", "--env", "prod", "nowhere"}, 1, []string{"not found"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := d.run(t.Context(), tc.args...)
			if o.code != tc.code {
				t.Errorf("exit code %d, want %d: %s", o.code, tc.code, o.errs)
			}
			for _, want := range tc.want {
				if !strings.Contains(o.errs, want) {
					t.Errorf("%q is not in %q", want, o.errs)
				}
			}
			if tc.code != 0 && (o.out != "" || strings.Count(o.errs, "\n") > 6) {
				t.Errorf("output %q, errors %q", o.out, o.errs)
			}
		})
	}
}

// ambiguous makes commits until two of them begin alike, and returns how.
func (d *deployment) ambiguous() string {
	d.t.Helper()
	tree := d.git("rev-parse", "HEAD^{tree}")
	seen := map[string]bool{}
	for i := range 5000 {
		id := d.git("commit-tree", "-m", fmt.Sprint(i), tree)
		if seen[id[:4]] {
			return id[:4]
		}
		seen[id[:4]] = true
	}
	d.t.Fatal("no two commits begin alike")
	return ""
}

// TestPlanRepositories plans in what is no repository, or not all of one.
func TestPlanRepositories(t *testing.T) {
	full := newDeployment(t)
	for i := range 3 {
		full.write("deployments/art/config/prod.yaml", fmt.Sprintf("title: t%d\n", i))
		full.commit("more")
	}
	deep := full.git("rev-parse", "HEAD~2")
	clone := func(args ...string) func(*deployment) {
		return func(d *deployment) {
			d.git(append(append([]string{"clone", "--quiet"}, args...), "file://"+full.dir, ".")...)
		}
	}
	for name, tc := range map[string]struct {
		make func(*deployment)
		args []string
		code int
		want string
	}{
		"no repository":         {func(*deployment) {}, []string{"plan"}, 1, "is not in a Git repository"},
		"an unborn branch":      {func(d *deployment) { d.git("init", "--quiet") }, []string{"plan"}, 1, "the repository has no commits yet"},
		"another unborn branch": {func(d *deployment) { clone()(d); d.git("checkout", "--quiet", "--orphan", "new") }, []string{"plan"}, 1, `revision "HEAD"`},
		"a shallow base":        {clone("--depth", "1"), []string{"plan", deep + "..HEAD"}, 1, "git fetch --unshallow"},
		"a shallow parent":      {clone("--depth", "1"), []string{"plan", "HEAD"}, 1, "git fetch --unshallow"},
		"shallow, deep enough":  {clone("--depth", "2"), []string{"plan", "HEAD~1..HEAD"}, 0, ""},
		"a bare one":            {clone("--bare"), []string{"plan", "HEAD~1..HEAD"}, 0, ""},
		"nothing described":     {func(d *deployment) { d.git("init", "--quiet"); d.write("README.md", "x"); d.commit("x") }, []string{"plan", "HEAD"}, 0, ""},
		"a broken one":          {func(d *deployment) { clone()(d); d.write(".git/HEAD", "what?") }, []string{"plan", "HEAD"}, 1, "is not in a Git repository"},
		"no such folder":        {func(d *deployment) { d.dir = filepath.Join(d.dir, "none") }, []string{"plan"}, 1, "does not exist"},
	} {
		t.Run(name, func(t *testing.T) {
			d := &deployment{t: t, dir: t.TempDir()}
			tc.make(d)
			o := d.run(t.Context(), tc.args...)
			if o.code != tc.code || !strings.Contains(o.errs, tc.want) || o.took > 15*time.Second {
				t.Errorf("exit code %d after %s, want %d and %q: %s", o.code, o.took, tc.code, tc.want, o.errs)
			}
			if name == "nothing described" && !strings.Contains(o.problems(), "error configuration :0 the deployment repository describes no hubs") {
				t.Errorf("problems %s", o.problems())
			}
		})
	}
}

// TestPlanNames has files with names that need quoting, and very many files.
func TestPlanNames(t *testing.T) {
	d := newDeployment(t)
	names := []string{"deployments/art/image/a\nb", "deployments/art/image/\"quoted\"", "deployments/art/image/'single' $(x)", "deployments/art/image/\xff\xfe", "hub/files/\x1b[31mred", "deployments/art/image/-rf", "docs/ä"}
	for _, name := range names {
		d.write(name, "x\n")
	}
	for i := range 10_000 {
		d.write(fmt.Sprintf("deployments/math/image/data/%03d/%05d", i%100, i), "x\n")
	}
	d.commit("many")
	o := d.run(t.Context(), "plan", "HEAD~1..HEAD")
	if o.code != 0 || o.releases() != "art@staging art@prod math@staging math@prod" || o.took > time.Minute {
		t.Errorf("exit code %d after %s, releases %s: %s", o.code, o.took, o.releases(), o.errs)
	}
	reasons := map[string]bool{}
	for _, img := range o.plan.Images {
		for _, r := range img.Reasons {
			reasons[r.Path] = true
		}
	}
	if !reasons[names[0]] || !reasons[names[1]] || !reasons["deployments/math/image/"] {
		t.Errorf("reasons %v", reasons)
	}
	for _, format := range []string{"text", "markdown", "html"} {
		var out, errs bytes.Buffer
		code := Run(t.Context(), term.Streams{In: strings.NewReader(""), Out: &out, Err: &errs}, []string{"--data", d.dir + "/none", "-o", format, "plan", "--repo", d.dir, "--offline", "HEAD~1..HEAD"})
		at := strings.Index(out.String(), "\x1b[31m")
		newline := format != "html" && strings.Contains(out.String(), "image/a\nb")
		if code != 0 || !utf8.Valid(out.Bytes()) || at >= 0 || newline {
			t.Errorf("%s: exit code %d, valid %v, escape at %d, newline %v", format, code, utf8.Valid(out.Bytes()), at, newline)
		}
	}
}

// TestPlanCancelled ends a plan while a template loops.
func TestPlanCancelled(t *testing.T) {
	d := newDeployment(t)
	d.write("hub/templates/loop.yaml", "{{ range until 100000 }}{{ range until 100000 }}{{ range until 100000 }}{{ end }}{{ end }}{{ end }}")
	d.commit("a loop")
	for _, args := range [][]string{{"plan", "HEAD~1..HEAD"}, {"render", "--hub", "art", "--env", "prod"}} {
		ctx, cancel := context.WithCancel(t.Context())
		timer := time.AfterFunc(time.Second, cancel)
		o := d.run(ctx, args...)
		timer.Stop()
		cancel()
		if o.code != model.ExitFailed || o.out != "" || o.took < 900*time.Millisecond || o.took > 15*time.Second {
			t.Errorf("%s: exit code %d after %s: %s", args[0], o.code, o.took, o.errs)
		}
	}
}
