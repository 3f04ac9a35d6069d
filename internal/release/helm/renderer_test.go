package helm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/storage"
	"helm.sh/helm/v4/pkg/storage/driver"
	"sigs.k8s.io/yaml"

	"github.com/hubship/hubship/internal/release"
)

// bySDK is what `helm template` prints, rendered by the SDK's own action from
// a chart that nothing else has touched.
func bySDK(t testing.TB, tree fs.FS, dir, name, namespace string, values map[string]any) (string, error) {
	t.Helper()
	l := newChartLoader(tree, nil)
	ch, err := l.load(dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	cfg := action.NewConfiguration(action.ConfigurationSetLogger(slog.DiscardHandler))
	cfg.Releases = storage.Init(driver.NewMemory())
	in := action.NewInstall(cfg)
	in.DryRunStrategy, in.Replace, in.ReleaseName, in.Namespace = action.DryRunClient, true, name, namespace
	out, err := in.RunWithContext(t.Context(), ch, copyMap(values))
	if err != nil {
		return "", err
	}
	rec, err := asRelease(out)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	fmt.Fprintln(&text, strings.TrimSpace(rec.Manifest))
	for _, h := range rec.Hooks {
		fmt.Fprintf(&text, "---\n# Source: %s\n%s\n", h.Path, h.Manifest)
	}
	return text.String(), nil
}

func chartOf(files map[string]string) fs.FS {
	tree := fstest.MapFS{}
	if _, ok := files["c/Chart.yaml"]; !ok {
		tree["c/Chart.yaml"] = &fstest.MapFile{Data: []byte("apiVersion: v2\nname: c\nversion: 1.0.0\n")}
	}
	for name, text := range files {
		tree[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return tree
}

func valuesOf(t testing.TB, text string) map[string]any {
	t.Helper()
	v, err := release.ParseValues([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

const subcharts = "apiVersion: v2\nname: c\nversion: 1.0.0\ndependencies:\n" +
	"- {name: s, version: 1.x, alias: one, condition: one.on, import-values: [{child: out, parent: got}]}\n" +
	"- {name: s, version: 1.x, alias: two, tags: [twos]}\n"

var likeSDK = map[string]struct {
	files  map[string]string
	values string
}{
	"values": {map[string]string{
		"c/values.yaml":         "a: 1\nbig: 1000000\nf: 0.5\nm: {x: 1, y: null}\nl: [1, 2]\ngone: {k: v}\n",
		"c/templates/a.yaml":    "a: {{ .Values.a }}\nbig: {{ .Values.big }} {{ .Values.f }}\nm:{{ toYaml .Values.m | nindent 2 }}\nmissing: {{ .Values.no }}.\nall: {{ toJson .Values }}\n",
		"c/templates/list.yaml": "kind: List\nitems:\n{{- range $i, $e := .Values.l }}\n- {i: {{ $i }}, e: {{ $e }}}\n{{- end }}\n",
	}, "m: {z: 3}\ngone: null\nl: [3]\nextra: {a: [b, {c: d}]}\n"},
	"subcharts": {map[string]string{
		"c/Chart.yaml": subcharts, "c/templates/t.yaml": "top: {{ toYaml .Values | nindent 2 }}\nsubs: {{ keys .Subcharts | sortAlpha }}\n",
		"c/charts/s/Chart.yaml": "apiVersion: v2\nname: s\nversion: 1.2.3\n", "c/charts/s/values.yaml": "v: 1\nout: {w: 2}\n",
		"c/charts/s/templates/s.yaml": "name: {{ .Chart.Name }}\nroot: {{ .Chart.IsRoot }}\nvalues:{{ toYaml .Values | nindent 2 }}\n{{ include \"x\" . }}\n", "c/charts/s/templates/_x.tpl": "{{ define \"x\" }}x: {{ .Template.Name }} {{ .Template.BasePath }}{{ end }}",
	}, "global: {g: 1}\ntags: {twos: false}\none: {on: true, v: 5}\n"},
	"all off": {map[string]string{
		"c/Chart.yaml": subcharts, "c/templates/t.yaml": "top: {{ keys .Subcharts }}\n",
		"c/charts/s/Chart.yaml": "apiVersion: v2\nname: s\nversion: 1.2.3\n", "c/charts/s/templates/s.yaml": "name: {{ .Chart.Name }}\n",
	}, "tags: {twos: false}\none: {on: false}\n"},
	"a library": {map[string]string{
		"c/charts/lib/Chart.yaml": "apiVersion: v2\nname: lib\nversion: 1.0.0\ntype: library\n", "c/charts/lib/templates/_l.tpl": "{{ define \"l\" }}l: {{ . }}{{ end }}", "c/charts/lib/templates/not.yaml": "no: t\n",
		"c/templates/t.yaml": "{{ include \"l\" 3 }}\n",
	}, ""},
	"overridden definitions": {map[string]string{
		"c/templates/_a.tpl": "{{ define \"x\" }}top{{ end }}{{ define \"e\" }}{{ end }}", "c/templates/t.yaml": "a: {{ include \"x\" . }}{{ template \"x\" . }} {{ include \"e\" . }}\n",
		"c/charts/s/Chart.yaml": "apiVersion: v2\nname: s\nversion: 1.0.0\n", "c/charts/s/templates/_a.tpl": "{{ define \"x\" }}sub{{ end }}{{ define \"e\" }}full{{ end }}", "c/charts/s/templates/t.yaml": "b: {{ include \"x\" . }}\n",
	}, ""},
	"tpl": {map[string]string{
		"c/templates/t.yaml":   "a: {{ tpl .Values.t . }}\nb: {{ tpl .Values.d . }}\nc: {{ tpl \"plain <no value>\" . }}{{ tpl \"\" . }}\nd: {{ tpl .Values.nn . }}\ne: {{ include \"i\" . }}\nf: {{ tpl \"{{ .Values.nope }}\" . }}\n",
		"c/templates/_i.tpl":   "{{ define \"i\" }}i {{ tpl \"{{ .Values.x }}\" . }}{{ end }}",
		"c/templates/own.yaml": "x: {{ tpl \"{{ define \\\"i\\\" }}mine{{ end }}{{ include \\\"i\\\" . }}{{ tpl \\\"{{ include \\\\\\\"i\\\\\\\" . }}\\\" . }}\" . }} {{ include \"i\" . }}\n",
	}, "x: 1\nt: \"{{ .Values.x }}{{ include \\\"i\\\" . }}\"\nd: \"{{ define \\\"z\\\" }}z{{ . }}{{ end }}{{ include \\\"z\\\" 3 }}\"\nnn: \"{{ tpl .Values.t . }}\"\n"},
	"documents": {map[string]string{
		"c/templates/a.yaml":    "---\n# comment\n---\n\n--- \nkind: Service\nmetadata: {name: s}\n---kind: Secret\nmetadata: {name: x}\n---   # c\nkind: Zebra\n---\nkind: Aardvark\n------\nkind: Namespace\n",
		"c/templates/b.yaml":    "kind: ConfigMap\ndata:\n  t: |\n    a\n    --- b\n",
		"c/templates/c.yaml":    "  \n\n",
		"c/templates/d.json":    "{\"kind\": \"Pod\", \"Metadata\": {\"name\": \"p\", \"annotations\": {\"helm.sh/hook\": \"test\"}}}",
		"c/templates/e.yaml":    "Kind: Service\nmetadata: {name: odd}\n",
		"c/templates/hook.yaml": "kind: Job\nmetadata: {name: j, annotations: {helm.sh/hook: ' Pre-Install , post-install'}}\n---\nkind: ConfigMap\nmetadata: {annotations: {helm.sh/hook: pre-install}}\n---\nkind: Job\nmetadata: {annotations: {helm.sh/hook: what}}\n", "c/templates/NOTES.txt": "notes", "c/templates/sub/NOTES.txt": "more", "c/crds/x.yaml": "kind: CustomResourceDefinition\n",
	}, ""},
	"nothing": {map[string]string{"c/templates/_x.tpl": "x"}, ""},
	"control": {map[string]string{
		"c/templates/t.yaml": "{{- $_ := 1 }}{{- $x := dict }}{{- range $i := until 5 }}{{ if eq $i 1 }}{{ continue }}{{ end }}{{ if eq $i 4 }}{{ break }}{{ end }}{{ $_ = add $_ $i }}{{ $_ := set $x (toString $i) $i }}{{ end }}\na: {{ $_ }}\nb: {{ toJson $x }}\nc: {{ range 3 }}{{ . }}{{ else }}none{{ end }}\nd: {{ range list }}{{ else }}none{{ end }}\ne: {{ with .Values.nn }}{{ range . }}{{ template \"w\" . }}{{ end }}{{ else with 3 }}{{ . }}{{ end }}\n{{ define \"w\" }}({{ . }}){{ end }}",
	}, "nn: [1, 2]\n"},
	"functions": {map[string]string{
		"c/templates/t.yaml": "a: |\n{{ toToml .Values | indent 2 }}\n", "c/templates/b.yaml": "b: |\n  {{ fromYaml \"a: 1\" | toJson }} {{ fromYamlArray \"[1]\" }} {{ fromJson \"{\\\"a\\\": 1}\" }} {{ fromJsonArray \"[1]\" }} {{ (fromYaml \"a: b: c\").Error | quote }} {{ (fromToml \"a = 1\").a }} {{ toYamlPretty .Values | quote }} {{ mustToJson .Values }} {{ mustToYaml .Values | quote }}\n",
		"c/templates/d.yaml":  "d: |\n  {{ durationSeconds \"2m3s\" }} {{ durationMinutes 90 }} {{ durationHours \"90m\" }} {{ durationDays \"36h\" }} {{ durationWeeks \"84h\" }} {{ durationMilliseconds \"1.5\" }} {{ durationNanoseconds 1.5 }} {{ durationRoundTo \"2h13m\" \"1h\" }} {{ durationTruncateTo \"2h53m\" 3600 }} {{ mustToDuration \"1h\" }} {{ durationSeconds \"x\" }}\n",
		"c/templates/e.yaml":  "e: |\n  {{ repeat 3 \"ab\" }} {{ indent 2 \"a\\nb\" | quote }} {{ join \",\" (list 1 2) }} {{ cat \"a\" 1 nil }} {{ seq 3 }} {{ seq 5 -2 1 }} {{ seq 0 }} {{ until 3 }} {{ until -2 }} {{ untilStep 1 9 3 }} {{ untilStep 9 1 3 }} {{ quote 1 \"x\" nil }} {{ squote 2 }} {{ replace \"a\" \"bb\" \"aXa\" }} {{ concat (list 1) (list 2) }} {{ append (list 1) 2 }} {{ prepend (list 1) 0 }} {{ uniq (list 1 1 2) }} {{ regexReplaceAll \"a(.)\" \"abac\" \"${1}x\" }} {{ wrapWith 3 \"-\" \"abcdefg\" }} {{ printf \"%05d|%v\" 7 (list 1) }} {{ print 1 2 \"x\" }} {{ getHostByName \"localhost\" }}. {{ splitList \",\" \"a,b\" }} {{ lookup \"v1\" \"Pod\" \"\" \"\" }} {{ toString .Values.v }}\n",
		"c/templates/f.yaml":  "f: |\n  {{ .Files.Get \"f/a.txt\" | quote }} {{ .Files.Get \"../x\" }} {{ .Files.Lines \"f/a.txt\" }} {{ range $p, $_ := .Files.Glob \"f/*\" }}{{ $p }} {{ end }} {{ (.Files.Glob \"f/*.txt\").AsSecrets | quote }} {{ .Files.GetBytes \"f/a.txt\" | toString | quote }} {{ (.Files.Glob \"[\").AsConfig | quote }}\n",
		"c/f/a.txt":           "one\ntwo\n",
		"c/templates/cc.yaml": "g: |\n  {{ .Capabilities.APIVersions.Has \"apps/v1\" }} {{ .Capabilities.KubeVersion }} {{ .Capabilities.HelmVersion.Version }} {{ .Release.Revision }} {{ .Release.IsInstall }} {{ .Chart.APIVersion }} {{ .Template.Name }} {{ typeOf .Values }} {{ required \"x\" 3 }} {{ html \"<\" }} {{ and 1 0 }} {{ len (list 1) }}\n",
	}, "v: {k: [1, true, null, \"x\"]}\n"},
	"requirements of Helm 2": {map[string]string{
		"c/Chart.yaml": "apiVersion: v1\nname: c\nversion: 1.0.0\n", "c/requirements.yaml": "dependencies:\n- {name: s, version: ~1.2, repository: 'file://../s', condition: s.enabled}\n", "c/requirements.lock": "dependencies:\n- {name: s, version: 1.2.9, repository: 'file://../s'}\n",
		"s/Chart.yaml": "apiVersion: v1\nname: s\nversion: 1.2.9\n", "s/templates/x.yaml": "s: {{ .Values.x }}\n", "c/templates/t.yaml": "c: {{ .Files.Get \"requirements.yaml\" | quote }}\n",
	}, "s: {x: 1}\n"},
}

func TestRendersAsTheSDK(t *testing.T) {
	for name, tt := range likeSDK {
		t.Run(name, func(t *testing.T) {
			tree, values := chartOf(tt.files), valuesOf(t, tt.values)
			want, err := bySDK(t, tree, "c", "rel", "ns", values)
			if err != nil {
				t.Fatal(err)
			}
			r := NewRenderer(RendererOptions{})
			for range 2 { // the second time from what is shared
				got, err := r.Render(t.Context(), RenderRequest{Tree: tree, Chart: "c", Key: "k", Release: "rel", Namespace: "ns", Values: values})
				if err != nil {
					t.Fatal(err)
				}
				if string(got.Manifest) != want {
					t.Fatalf("got:\n%s\nwant:\n%s", got.Manifest, want)
				}
			}
		})
	}
}

func TestFailsWhereTheSDKFails(t *testing.T) {
	for name, tt := range map[string]struct{ template, want string }{
		"parse":       {"a: 1\nb: {{ if }}", "c/templates/t.yaml:2: missing value for if"},
		"function":    {"{{ nosuch 1 }}", `function "nosuch" not defined`},
		"environment": {"{{ env \"HOME\" }}", `function "env" not defined`},
		"fail":        {"a: 1\n\nb: {{ fail \"say why\" }}", "c/templates/t.yaml:3: say why"},
		"required":    {"{{ required \"give x\" .Values.x }}", "c/templates/t.yaml:1: give x"},
		"nil":         {"{{ .Values.a.b.c }}", "nil pointer evaluating interface {}.b"},
		"included":    {"{{ define \"x\" }}\n{{ fail \"inside\" }}{{ end }}a:\n  {{ include \"x\" . }}", "c/templates/t.yaml:2: inside"},
		"no template": {"{{ include \"nope\" . }}", `no template "nope"`},
		"tpl":         {"{{ tpl \"{{ .a.b\" . }}", "cannot parse the template that is given to tpl"},
		"panic":       {"{{ mustToDuration \"x\" }}", "could not parse duration"},
		"yaml":        {"a: [1", "invalid YAML"},
		"recursion":   {"{{ define \"r\" }}{{ include \"r\" . }}{{ end }}{{ include \"r\" . }}", "nested reference name: r"},
	} {
		t.Run(name, func(t *testing.T) {
			tree := chartOf(map[string]string{"c/templates/t.yaml": tt.template})
			if out, err := bySDK(t, tree, "c", "rel", "ns", nil); err == nil {
				t.Errorf("the SDK renders it:\n%s", out)
			}
			_, err := NewRenderer(RendererOptions{}).Render(t.Context(), RenderRequest{Tree: tree, Chart: "c", Release: "rel", Namespace: "ns"})
			var failed *TemplateError
			if !errors.As(err, &failed) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

// Nothing of a chart that nobody has reviewed may take the process down.
func TestHostileCharts(t *testing.T) {
	for name, tt := range map[string]struct{ template, want string }{
		"a loop":              {"{{ range 1000000000000 }}{{ end }}", "does a template loop?"},
		"loops in loops":      {"{{ $x := until 100000 }}{{ range $x }}{{ range $x }}{{ end }}{{ end }}", "does a template loop?"},
		"output":              {"{{ $x := repeat 1000000 \"x\" }}{{ range 1000 }}{{ $x }}{{ end }}", "writes more than"},
		"until":               {"{{ until 1000000000 }}", "list of more than"},
		"untilStep":           {"{{ untilStep -1000000000 1000000000 1 }}", "list of more than"},
		"seq":                 {"{{ seq 1 1000000000 }}", "list of more than"},
		"repeat":              {"{{ repeat 1000000000 \"x\" }}", "text of more than"},
		"repeat overflows":    {"{{ repeat 4611686018427387905 \"xxxx\" }}", "text of more than"},
		"doubling":            {"{{ $s := \"x\" }}{{ range until 64 }}{{ $s = printf \"%s%s\" $s $s }}{{ end }}", "text of more than"},
		"growing list":        {"{{ $l := list 1 }}{{ range until 64 }}{{ $l = concat $l $l }}{{ end }}", "list of more than"},
		"many texts":          {"{{ $l := list }}{{ range $i, $_ := until 1000 }}{{ $l = append $l (repeat 30000000 (toString $i)) }}{{ end }}", "of more than"},
		"indent":              {"{{ indent 100000000 \"x\" }}", "text of more than"},
		"replace":             {"{{ replace \"x\" (repeat 30000 \"y\") (repeat 30000 \"x\") }}", "text of more than"},
		"random":              {"{{ randAlphaNum 1000000000 }}", "text of more than"},
		"template recursion":  {"{{ define \"r\" }}{{ template \"r\" . }}{{ end }}{{ template \"r\" . }}", "more than 5000 levels deep"},
		"mutual recursion":    {"{{ define \"a\" }}{{ include \"b\" . }}{{ end }}{{ define \"b\" }}{{ include \"a\" . }}{{ end }}{{ include \"a\" . }}", "nested reference name"},
		"branching recursion": {"{{ define \"r\" }}{{ if lt . 60 }}{{ template \"r\" (add . 1) }}{{ template \"r\" (add . 1) }}{{ end }}{{ end }}{{ template \"r\" 0 }}", "does a template loop?"},
		"tpl of itself":       {"{{ tpl .Values.t . }}", "more than 5000 levels deep"},
	} {
		t.Run(name, func(t *testing.T) {
			tree := chartOf(map[string]string{"c/templates/t.yaml": tt.template, "c/values.yaml": "t: '{{ tpl .Values.t . }}'\n"})
			began := time.Now()
			_, err := NewRenderer(RendererOptions{Timeout: time.Second}).Render(t.Context(), RenderRequest{Tree: tree, Chart: "c", Release: "rel", Namespace: "ns"})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
			if took := time.Since(began); took > time.Minute {
				t.Errorf("it took %s", took)
			}
		})
	}
}

func TestRenderEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	tree := chartOf(map[string]string{"c/templates/t.yaml": "{{ range 1000000000000 }}{{ end }}"})
	if _, err := NewRenderer(RendererOptions{}).Render(ctx, RenderRequest{Tree: tree, Chart: "c", Release: "rel"}); err == nil {
		t.Error("it was rendered")
	}
}

// fleet is the chart of a hub, in testdata, with values as hubs have them.
func fleet(t testing.TB, hubs int) (fs.FS, []RenderRequest) {
	t.Helper()
	tree := os.DirFS("testdata/fleet")
	var out []RenderRequest
	for i := range hubs {
		for _, env := range []string{"staging", "prod"} {
			var code strings.Builder
			for n := range 20 + i%7 {
				fmt.Fprintf(&code, "        c.Spawner.option_%d = %d  # of hub %d\n", n, n*i, i)
			}
			text := fmt.Sprintf(`
notices: {replicas: %d, text: "Hello from {{ .Release.Name }}", resources: {limits: {memory: %dMi}}}
mounts: [{name: home-%d, size: 10Gi}, {name: shared}]
notebooks:
  nameOverride: hub-%d
  hub:
    cookieSecret: "%064x"
    config: {Authenticator: {admin_users: [ada, grace], allow_all: %t}, JupyterHub: {concurrent_spawn_limit: %d}}
    nodeSelector: {pool: "core-%d"}
    resources: {requests: {cpu: 0.5, memory: 1Gi}}
    extraConfig:
      spawner: |
        from os import environ
%s
  proxy: {https: {enabled: %t, hosts: [hub%d.example.org]}}
  singleuser:
    image: {name: registry.example.org/user-%d, tag: "%07x"}
    memory: {limit: %dG}
    extraFiles: {/etc/a.conf: "key = value\nother = 'x: y'\n", /etc/b.json: "{\"a\": [1, 2]}"}
    profileList:
    - {display_name: "Small, for most", default: true, kubespawner_override: {mem_limit: 1G}}
    - display_name: Large
      description: A long description that goes on beyond the width of a line, as people write them for their users to read
      kubespawner_override: {mem_limit: 16G, node_selector: {pool: large}}
`, i%3, 100+i, i, i, i+1, i%2 == 0, i+10, i, code.String(), env == "prod", i, i, i*7919, i%8+1)
			name := fmt.Sprintf("hub%d-%s", i, env)
			out = append(out, RenderRequest{Tree: tree, Chart: "hub", Key: "fleet", Release: name, Namespace: name, Values: valuesOf(t, text)})
		}
	}
	return tree, out
}

func TestFleetRendersAsTheSDK(t *testing.T) {
	tree, requests := fleet(t, 3)
	r := NewRenderer(RendererOptions{})
	for _, q := range requests {
		before := fmt.Sprint(q.Values)
		want, err := bySDK(t, tree, q.Chart, q.Release, q.Namespace, q.Values)
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.Render(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if string(got.Manifest) != want {
			t.Errorf("%s: got:\n%s\nwant:\n%s", q.Release, got.Manifest, want)
		}
		if fmt.Sprint(q.Values) != before {
			t.Errorf("%s: the values were changed", q.Release)
		}
		docs := splitDocuments(string(got.Manifest))
		if len(docs) != len(got.Objects)+1 { // one holds a comment only
			t.Fatalf("%d objects of %d documents", len(got.Objects), len(docs))
		}
		docs = slices.DeleteFunc(docs, func(d string) bool { return strings.Contains(d, "# nothing but a comment") })
		for i, o := range got.Objects {
			var content map[string]any
			if err := yaml.Unmarshal([]byte(docs[i]), &content); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(o.Content, content) || !strings.HasPrefix(docs[i], "# Source: "+o.Template+"\n") || o.Hook != strings.Contains(docs[i], "helm.sh/hook") {
				t.Errorf("object %d is %#v, want\n%s", i, o, docs[i])
			}
		}
	}
}

// No state of one release shows in another, and nothing that they share is
// written to: the race detector watches.
func TestReleasesDoNotSeeEachOther(t *testing.T) {
	tree := repository(t, map[string]string{
		"hub/templates/secret.yaml": "-", // draws at random
		"sub/templates/x.yaml":      "kind: ConfigMap\napiVersion: v1\nmetadata: {name: x-{{ .Release.Name }}}\ndata: {{ toYaml .Values | nindent 2 }}\n{{ $_ := set .Values \"seen\" .Release.Name }}{{ $_ := set .Chart \"Name\" .Release.Name }}",
		"hub/templates/_d.tpl":      "{{ define \"who\" }}{{ .Release.Name }}{{ end }}",
		"hub/templates/set.yaml":    "kind: ConfigMap\napiVersion: v1\nmetadata: {name: set}\ndata: {a: {{ tpl \"{{ include \\\"who\\\" . }}{{ define \\\"own\\\" }}{{ .Release.Name }}{{ end }}{{ include \\\"own\\\" . }}\" . }}, b: {{ .Values.greeting }}, seen: {{ .Values.seen | default \"none\" }}{{ $_ := set .Values \"seen\" .Release.Name }}}\n",
	})
	on, off := valuesOf(t, "greeting: on\ntoken: a\n"), valuesOf(t, "greeting: off\ntoken: b\nsub: {enabled: false}\n")
	want := map[string]string{}
	request := func(i int) RenderRequest {
		q := RenderRequest{Tree: tree, Chart: "hub", Key: "k", Release: fmt.Sprint("a", i%3), Namespace: "ns", Values: on}
		if i%2 == 1 {
			q.Release, q.Values = fmt.Sprint("b", i%3), off
		}
		return q
	}
	for i := range 6 {
		q := request(i)
		out, err := bySDK(t, tree, "hub", q.Release, q.Namespace, q.Values)
		if err != nil {
			t.Fatal(err)
		}
		want[q.Release] = out
	}
	r := NewRenderer(RendererOptions{Workers: 8})
	var wg sync.WaitGroup
	for i := range 60 {
		wg.Go(func() {
			q := request(i)
			out, err := r.Render(context.Background(), q)
			if err != nil {
				t.Error(err)
			} else if string(out.Manifest) != want[q.Release] {
				t.Errorf("%s: got:\n%s\nwant:\n%s", q.Release, out.Manifest, want[q.Release])
			}
		})
	}
	wg.Wait()
}

func TestSteadyRendersAreEqual(t *testing.T) {
	var all strings.Builder
	for i, call := range []string{
		"randAlphaNum 12", "randAlpha 40", "randAscii 9", "randNumeric 33", "randBytes 16", "randInt 3 9", "shuffle \"abc\"", "uuidv4", "now | date \"2006\"", "ago now",
		"bcrypt \"p\"", "htpasswd \"u\" \"p\"", "encryptAES \"k\" \"t\"", "genPrivateKey \"rsa\"", "(genCA \"a\" 3).Cert", "(genSelfSignedCert \"a\" nil nil 3).Key",
		"(genSignedCert \"a\" nil nil 3 (genCA \"b\" 3)).Cert", "keys (dict \"a\" 1 \"b\" 2 \"c\" 3 \"d\" 4)", "values (dict \"a\" 1 \"b\" 2 \"c\" 3 \"d\" 4)",
	} {
		fmt.Fprintf(&all, "k%d: {{ %s | toString | quote }}\n", i, call)
	}
	tree := chartOf(map[string]string{"c/templates/t.yaml": all.String()})
	var outs [2][]byte
	for i := range outs {
		out, err := NewRenderer(RendererOptions{}).Render(t.Context(), RenderRequest{Tree: tree, Chart: "c", Release: "rel", Deterministic: true})
		if err != nil {
			t.Fatal(err)
		}
		outs[i] = out.Manifest
	}
	if !bytes.Equal(outs[0], outs[1]) {
		t.Errorf("two renders differ:\n%s\n%s", outs[0], outs[1])
	}
}

func TestSchemaErrors(t *testing.T) {
	tree, _ := fleet(t, 0)
	_, err := NewRenderer(RendererOptions{}).Render(t.Context(), RenderRequest{Tree: tree, Chart: "hub", Release: "rel", Values: valuesOf(t,
		"notebooks: {hub: {cookieSecret: topsecret, db: {type: topsecret}, nope: 1}, singleuser: {image: {tag: 1234567}, profileList: [{x: 1}]}}")})
	var bad *SchemaError
	if !errors.As(err, &bad) {
		t.Fatalf("error %v", err)
	}
	for _, want := range []string{"notebooks: hub.nope: the schema does not know this key", "hub.cookieSecret: does not match the pattern", "hub.db.type: is none of the allowed values: sqlite, postgres",
		"singleuser.image.tag: is number, want string", "singleuser.profileList[0]: lacks display_name"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "topsecret") || strings.Contains(err.Error(), "1234567") {
		t.Errorf("the error quotes a value: %v", err)
	}
}

func TestSchemaReadsNothingElsewhere(t *testing.T) {
	for ref, wantErr := range map[string]bool{"file:///etc/hostname": true, "other.json": true, "http://127.0.0.1:1/x.json": false} {
		tree := chartOf(map[string]string{"c/values.schema.json": `{"$ref": "` + ref + `"}`, "c/templates/t.yaml": "a: 1\n"})
		_, err := NewRenderer(RendererOptions{}).Render(t.Context(), RenderRequest{Tree: tree, Chart: "c", Release: "rel"})
		if (err != nil) != wantErr {
			t.Errorf("%s: error %v", ref, err)
		}
	}
}

func TestSubchartValuesThatAreNoMap(t *testing.T) {
	tree, _ := fleet(t, 0)
	_, err := NewRenderer(RendererOptions{}).Render(t.Context(), RenderRequest{Tree: tree, Chart: "hub", Release: "rel", Values: map[string]any{"notebooks": "topsecret"}})
	if err == nil || !strings.Contains(err.Error(), "notebooks: the values of a subchart are not a map") || strings.Contains(err.Error(), "topsecret") {
		t.Errorf("error %v", err)
	}
}

func TestDefaults(t *testing.T) {
	tree, _ := fleet(t, 0)
	r := NewRenderer(RendererOptions{})
	for range 2 {
		v, err := r.Defaults(t.Context(), tree, "hub", "k")
		if err != nil || v["notices"].(map[string]any)["text"] != "Welcome" || len(v) != 3 {
			t.Fatalf("%v, %v", v, err)
		}
		v["notices"].(map[string]any)["text"] = "changed by the caller"
	}
}
