package release

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/hubship/hubship/internal/plan"
)

// told renders changes one field a line, for comparing.
func told(changes []plan.Change) string {
	var b strings.Builder
	for _, c := range changes {
		fmt.Fprintf(&b, "%s %s\n", c.Change, c.Object())
		for _, f := range c.Fields {
			fmt.Fprintf(&b, "  %s", f.Path)
			switch {
			case f.Masked:
				b.WriteString(" masked")
			case f.Digest:
				b.WriteString(" digest")
			case f.Lines != nil:
				fmt.Fprintf(&b, " %q", f.Lines)
			default:
				before, _ := json.Marshal(f.Before)
				after, _ := json.Marshal(f.After)
				fmt.Fprintf(&b, " %s -> %s", before, after)
			}
			b.WriteString("\n")
		}
	}
	return b.String()
}

func encoded(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

const deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: hub, labels: {component: hub}}\n"

func TestCompare(t *testing.T) {
	for name, tt := range map[string]struct{ before, after, want string }{
		"numbers are compared by what they mean": {
			deployment + "spec: {replicas: 1, ratio: 1.0, n: 1e3}",
			deployment + "spec: {replicas: 1.0, ratio: 1, n: 1000}",
			"",
		},
		"a container that comes leaves the others alone": {
			deployment + `spec: {template: {spec: {containers: [{name: a, image: "a:1"}, {name: b, image: "b:1"}]}}}`,
			deployment + `spec: {template: {spec: {containers: [{name: new, image: "n:1"}, {name: a, image: "a:1"}, {name: b, image: "b:2"}]}}}`,
			"changed Deployment hub\n" +
				"  spec.template.spec.containers[new] null -> {\"image\":\"n:1\",\"name\":\"new\"}\n" +
				"  spec.template.spec.containers[b].image \"b:1\" -> \"b:2\"\n",
		},
		"containers in another order": {
			deployment + `spec: {containers: [{name: a}, {name: b}]}`,
			deployment + `spec: {containers: [{name: b}, {name: a}]}`,
			"changed Deployment hub\n  spec.containers \"a, b\" -> \"b, a\"\n",
		},
		"ports by number, mounts by path": {
			deployment + `spec: {ports: [{containerPort: 80}, {containerPort: 81}], volumeMounts: [{name: v, mountPath: /a}, {name: v, mountPath: /b}]}`,
			deployment + `spec: {ports: [{containerPort: 79}, {containerPort: 80}, {containerPort: 81, protocol: UDP}], volumeMounts: [{name: v, mountPath: /b, readOnly: true}]}`,
			"changed Deployment hub\n" +
				"  spec.ports[79] null -> {\"containerPort\":79}\n" +
				"  spec.ports[81].protocol null -> \"UDP\"\n" +
				"  spec.volumeMounts[/b].readOnly null -> true\n" +
				"  spec.volumeMounts[/a] {\"mountPath\":\"/a\",\"name\":\"v\"} -> null\n",
		},
		"an argument that comes leaves the others alone": {
			deployment + `spec: {args: [--a, --b=1, --c]}`,
			deployment + `spec: {args: [--new, --a, --b=2, --c]}`,
			"changed Deployment hub\n  spec.args[0] null -> \"--new\"\n  spec.args[2] \"--b=1\" -> \"--b=2\"\n",
		},
		"a rule without a name that comes leaves the others alone": {
			deployment + `spec: {egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8}}]}, {to: [{ipBlock: {cidr: 11.0.0.0/8}}]}]}`,
			deployment + `spec: {egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8}}]}, {to: [{ipBlock: {cidr: 12.0.0.0/8}}]}, {to: [{ipBlock: {cidr: 11.0.0.0/8}}]}]}`,
			"changed Deployment hub\n  spec.egress[1] null -> {\"to\":[{\"ipBlock\":{\"cidr\":\"12.0.0.0/8\"}}]}\n",
		},
		"the order of verbs is nothing": {
			"apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: r}\nrules: [{verbs: [get, list]}]",
			"apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: r}\nrules: [{verbs: [list, get]}]",
			"",
		},
		"a moved API version is a change, not a removal": {
			"apiVersion: policy/v1beta1\nkind: PodDisruptionBudget\nmetadata: {name: hub}",
			"apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: hub}",
			"changed PodDisruptionBudget hub\n  apiVersion \"policy/v1beta1\" -> \"policy/v1\"\n",
		},
		"checksums tell nothing": {
			deployment + "spec: {template: {metadata: {annotations: {checksum/secret: " + strings.Repeat("a", 64) + ", version: 0123456789abcdef0123456789abcdef}}}}",
			deployment + "spec: {template: {metadata: {annotations: {checksum/secret: " + strings.Repeat("b", 64) + ", version: fedcba9876543210fedcba9876543210}}}}",
			"changed Deployment hub\n  spec.template.metadata.annotations.checksum/secret digest\n  spec.template.metadata.annotations.version digest\n",
		},
		"an environment's secret": {
			deployment + `spec: {containers: [{name: hub, env: [{name: API_TOKEN, value: hidden-one}, {name: LOG, value: a}]}]}`,
			deployment + `spec: {containers: [{name: hub, env: [{name: API_TOKEN, value: hidden-two}, {name: LOG, value: b}, {name: DB_PASSWORD, value: hidden-three}, {name: X_TOKEN, valueFrom: {secretKeyRef: {name: hub, key: token}}}]}]}`,
			"changed Deployment hub\n" +
				"  spec.containers[hub].env[API_TOKEN].value masked\n" +
				"  spec.containers[hub].env[LOG].value \"a\" -> \"b\"\n" +
				"  spec.containers[hub].env[DB_PASSWORD] null -> {\"name\":\"DB_PASSWORD\",\"value\":\"••••••\"}\n" +
				"  spec.containers[hub].env[X_TOKEN] null -> {\"name\":\"X_TOKEN\",\"valueFrom\":{\"secretKeyRef\":{\"key\":\"token\",\"name\":\"hub\"}}}\n",
		},
		"a Secret's document is entered, and tells no value": {
			"apiVersion: v1\nkind: Secret\nmetadata: {name: hub}\ndata: {values.yaml: " + encoded("singleuser: {memory: {limit: 1G}}\nhub: {x: hidden}\n") + ", key: " + encoded("hidden") + "}\nstringData: {plain: hidden}",
			"apiVersion: v1\nkind: Secret\nmetadata: {name: hub}\ndata: {values.yaml: " + encoded("hub: {x: hidden}\nsingleuser: {memory: {limit: 2G}}\n") + ", key: " + encoded("hidden, other") + "}\nstringData: {plain: hidden2, more: hidden3}",
			"changed Secret hub\n  data.key masked\n  data[\"values.yaml\"].singleuser.memory.limit masked\n  stringData.more masked\n  stringData.plain masked\n",
		},
		"a ConfigMap's document is entered": {
			"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {v.yaml: \"a: 1\\nadmin_password: hidden-1\\nlist: [x]\\n\"}",
			"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {v.yaml: '{\"a\": 2, \"admin_password\": \"hidden-2\", \"list\": [\"x\", \"y\"]}', new.yaml: \"b: 1\\ntoken: hidden-3\\n\"}",
			"changed ConfigMap c\n" +
				"  data[\"new.yaml\"] null -> {\"b\":1,\"token\":\"••••••\"}\n" +
				"  data[\"v.yaml\"].a 1 -> 2\n" +
				"  data[\"v.yaml\"].admin_password masked\n" +
				"  data[\"v.yaml\"].list[1] null -> \"y\"\n",
		},
		"a text of many lines": {
			"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {config.py: \"a = 1\\nb = 2\\nc = 3\\nd = 4\\ne = 5\\nclient_secret = 'hidden-1'\\n\"}",
			"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {config.py: \"a = 1\\nb = 2\\nc = 3\\nd = 40\\ne = 5\\nclient_secret = 'hidden-2'\\n\"}",
			"changed ConfigMap c\n  data[\"config.py\"] [\" b = 2\" \" c = 3\" \"-d = 4\" \"+d = 40\" \" e = 5\" \" client_secret = ••••••\" \" … a secret in this text changes, too\"]\n",
		},
		"a text that differs in a secret alone": {
			"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {config.py: \"a = 1\\npassword = 'hidden-1'\\n\", url: \"db://u:hidden-1@host/\"}",
			"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {config.py: \"a = 1\\npassword = 'hidden-2'\\n\", url: \"db://u:hidden-2@host/\"}",
			"changed ConfigMap c\n  data[\"config.py\"] masked\n  data.url masked\n",
		},
		"what kubectl remembers": {
			deployment + "",
			"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: hub, labels: {component: hub}, annotations: {kubectl.kubernetes.io/last-applied-configuration: '{\"a\": \"hidden\"}'}}\n",
			"changed Deployment hub\n  metadata.annotations null -> {\"kubectl.kubernetes.io/last-applied-configuration\":\"••••••\"}\n",
		},
		"a removed object tells whether it is kept": {
			"apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: p, annotations: {helm.sh/resource-policy: keep}}",
			"",
			"removed PersistentVolumeClaim p\n  metadata.annotations[\"helm.sh/resource-policy\"] \"keep\" -> null\n",
		},
		"an object that becomes a hook leaves the release": {
			"apiVersion: batch/v1\nkind: Job\nmetadata: {name: j}",
			"apiVersion: batch/v1\nkind: Job\nmetadata: {name: j, annotations: {helm.sh/hook: pre-upgrade}}",
			"added Job j\nremoved Job j\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			changes, err := compareTexts(tt.before, tt.after)
			if err != nil {
				t.Fatal(err)
			}
			if got := told(changes); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
			raw, _ := json.Marshal(changes)
			if strings.Contains(string(raw), "hidden") || strings.Contains(string(raw), encoded("hidden")[:8]) {
				t.Errorf("a secret is told: %s", raw)
			}
		})
	}
}

// compareTexts compares two manifests.
func compareTexts(before, after string) ([]plan.Change, error) {
	old, err := ParseManifest([]byte(before))
	if err != nil {
		return nil, err
	}
	now, err := ParseManifest([]byte(after))
	if err != nil {
		return nil, err
	}
	return Compare(old, now), nil
}

func TestCompareTellsTheTemplate(t *testing.T) {
	before := "---\n# Source: hub/templates/a.yaml\n" + deployment
	changes, err := compareTexts(before, before+"spec: {replicas: 2}\n")
	want := []plan.Change{{
		Change: plan.Changed, APIVersion: "apps/v1", Kind: "Deployment", Name: "hub", Component: "hub", Template: "hub/templates/a.yaml",
		Fields: []plan.Field{{Path: "spec", After: map[string]any{"replicas": 2.0}}},
	}}
	if err != nil || !reflect.DeepEqual(changes, want) {
		t.Errorf("got %+v, %v, want %+v", changes, err, want)
	}
}

func TestCompareValues(t *testing.T) {
	parse := func(s string) map[string]any {
		v, err := ParseValues([]byte(s))
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	got := CompareValues(
		parse("hub: {db: {password: hidden}, x: 1, gone: 1, nil: ~, secretName: a, cookie_max_age_days: 1}\nlist: [a, b]"),
		parse("hub: {db: {password: hidden2}, x: 1, over: null, nil: 1, secretName: b, cookie_max_age_days: 2}\nlist: [a, c, b]"),
	)
	want := []plan.Field{
		{Path: "hub.cookie_max_age_days", Before: 1.0, After: 2.0},
		{Path: "hub.db.password", Masked: true},
		{Path: "hub.gone", Before: 1.0},
		{Path: "hub.nil", Before: "null", After: 1.0},
		{Path: "hub.over", After: "null"},
		{Path: "hub.secretName", Before: "a", After: "b"},
		{Path: "list[1]", After: "c"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestCompareIsBounded(t *testing.T) {
	nest := func(n int, leaf string) map[string]any {
		var v any = leaf
		for range n {
			v = map[string]any{"k": []any{v}}
		}
		return map[string]any{"kind": "X", "metadata": map[string]any{"name": "x"}, "spec": v}
	}
	object := func(c map[string]any) []Object { return []Object{{Kind: "X", Name: "x", Content: c}} }
	deep := Compare(object(nest(5000, "a")), object(nest(5000, "b")))
	if len(deep) != 1 || len(deep[0].Fields) != 1 || len(deep[0].Fields[0].Path) > 1000 {
		t.Errorf("got %d changes", len(deep))
	}
	wide := map[string]any{}
	for i := range 5000 {
		wide[fmt.Sprint("k", i)] = i
	}
	many := Compare(object(map[string]any{}), object(wide))
	if n := len(many[0].Fields); n != maxFields+1 {
		t.Errorf("%d fields", n)
	}
	long := strings.Repeat("line\n", 3000)
	text := Compare(object(map[string]any{"t": long}), object(map[string]any{"t": strings.ReplaceAll(long, "line", "other")}))
	if n := len(text[0].Fields[0].Lines); n > maxLines+2 {
		t.Errorf("%d lines", n)
	}
}

// What is large costs no more than what is large has to.
func TestCompareIsFast(t *testing.T) {
	var named, plain, texts [2][]any
	var lines [2]strings.Builder
	for side := range 2 {
		for i := range 5000 {
			named[side] = append(named[side], map[string]any{"name": fmt.Sprint("n", i), "value": side})
			plain[side] = append(plain[side], fmt.Sprint(side, i))
			texts[side] = append(texts[side], map[string]any{"a": map[string]any{"b": i*2 + side}})
			fmt.Fprintf(&lines[side], "line %d of %d: token=%d\n", i, side, i)
		}
	}
	object := func(side int) []Object {
		return []Object{{Kind: "ConfigMap", Name: "x", Content: map[string]any{
			"a": named[side], "b": plain[side], "c": texts[side],
			"data": map[string]any{"text": lines[side].String(), "quoted": strings.Repeat("[", 5000) + fmt.Sprint(side) + ":"},
		}}}
	}
	start := time.Now()
	changes := Compare(object(0), object(1))
	if took := time.Since(start); took > time.Minute {
		t.Errorf("took %s", took)
	}
	if len(changes) != 1 || len(changes[0].Fields) != maxFields+1 {
		t.Errorf("%d fields", len(changes[0].Fields))
	}
}

func FuzzCompare(f *testing.F) {
	f.Add(deployment+"spec: {a: [1, {name: x}], b: 1.0}", deployment+"spec: {a: [{name: x}, 1], b: 1}")
	f.Add("kind: Secret\napiVersion: v1\nmetadata: {name: a}\ndata: {a: eDogMQ==}", "kind: Secret\napiVersion: v1\nmetadata: {name: a}\ndata: {a: eDogMg==}\nstringData: 3")
	f.Add("kind: ConfigMap\nmetadata: {name: a}\ndata: {a: \"x: 1\", b: \"p\\nq\"}", "---\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a: \"x: 2\", b: \"p\\nr\"}\n---\n")
	f.Fuzz(func(t *testing.T, a, b string) {
		there, err := compareTexts(a, b)
		if err != nil {
			return
		}
		back, err := compareTexts(b, a)
		if err != nil {
			t.Fatalf("the other way round: %v", err)
		}
		if again, _ := compareTexts(a, b); !reflect.DeepEqual(there, again) {
			t.Errorf("not the same twice: %v, %v", there, again)
		}
		if x, y := mirrored(there, false), mirrored(back, true); !slices.Equal(x, y) {
			t.Errorf("there %q, back %q", x, y)
		}
		objects, err := ParseManifest([]byte(a))
		if err != nil {
			return
		}
		if self := Compare(objects, objects); len(self) != 0 {
			t.Errorf("differs from itself: %v", self)
		}
		if _, err := json.Marshal(there); err != nil {
			t.Error(err)
		}
	})
}

// mirrored says which objects change how, seen from either side.
func mirrored(changes []plan.Change, back bool) []string {
	var out []string
	for _, c := range changes {
		kind := c.Change
		switch {
		case back && kind == plan.Added:
			kind = plan.Removed
		case back && kind == plan.Removed:
			kind = plan.Added
		}
		out = append(out, fmt.Sprintf("%s %q %v", kind, c.Object(), c.Hook))
	}
	slices.Sort(out)
	return out
}

// The fast way of reading YAML reads the same.
func FuzzParseMap(f *testing.F) {
	for _, s := range []string{"a: 1\nb: 1.5\nc: [x, ~, true, 1e3, 0x10, 0o7, 017]\nd: {1: a, true: b, ~: c}", "a: &x {b: 1}\nc: *x\n<<: *x", "a: 2001-01-01\nb: !!binary aGk=\nc: .inf\nd: 18446744073709551615", "a: yes\na: no", "{}", "", "[]", "1: 2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var want map[string]any
		err := yaml.Unmarshal([]byte(s), &want)
		got, gotErr := parseMap([]byte(s))
		if (err == nil) != (gotErr == nil) {
			t.Fatalf("%v, want %v", gotErr, err)
		}
		if len(want) > 0 && !reflect.DeepEqual(got, want) {
			t.Errorf("got %#v, want %#v", got, want)
		}
	})
}

// Leaving out what is the same on both sides leaves the same differences.
func FuzzUnequal(f *testing.F) {
	f.Add("a: 1\nb:\n  c: 2\n", "a: 1\nb:\n  c: 3\nd: |\n  x\n")
	f.Add("a: &x 1\nb: *x\n", "a: &x 2\nb: *x\n")
	f.Add("a: 1\nb: 2\n\n# c\n", "b: 2\na: 1")
	f.Fuzz(func(t *testing.T, a, b string) {
		am, err1 := parseMap([]byte(a))
		bm, err2 := parseMap([]byte(b))
		if err1 != nil || err2 != nil {
			return
		}
		x, y := unequal(a, b)
		xm, err1 := parseMap([]byte(x))
		ym, err2 := parseMap([]byte(y))
		if err1 != nil || err2 != nil {
			return // the whole documents are compared then
		}
		whole, part := comparison{}, comparison{}
		whole.maps(place{}, am, bm)
		part.maps(place{}, xm, ym)
		if len(part.fields) > 0 && !reflect.DeepEqual(whole.fields, part.fields) {
			t.Errorf("got %v, want %v", part.fields, whole.fields)
		}
	})
}

// chartBump makes two renders of which every object differs in a label, as a
// new chart version has it.
func chartBump() (before, after []byte) {
	one := func(version string) []byte {
		var b strings.Builder
		for i := range 40 {
			fmt.Fprintf(&b, "---\n# Source: hub/templates/o%d.yaml\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: o%d\n  labels:\n    chart: hub-%s\nspec:\n  template:\n    spec:\n      containers:\n", i, i, version)
			for c := range 2 {
				fmt.Fprintf(&b, "        - name: c%d\n          image: \"example.org/c%d:1\"\n          env:\n", c, c)
				for e := range 6 {
					fmt.Fprintf(&b, "            - name: VARIABLE_%d\n              value: \"some text %d\"\n", e, e)
				}
				b.WriteString("          resources:\n            requests:\n              cpu: 100m\n              memory: 1Gi\n          volumeMounts:\n            - name: a\n              mountPath: /a\n            - name: b\n              mountPath: /b\n")
			}
		}
		values := map[string]any{}
		for i := range 60 {
			values[fmt.Sprint("section", i)] = map[string]any{"enabled": true, "image": map[string]any{"name": "n", "tag": "1"}, "list": []string{"a", "b"}, "text": "some text of a setting"}
		}
		values["Chart"] = map[string]any{"Version": version}
		raw, _ := yaml.Marshal(values)
		fmt.Fprintf(&b, "---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: hub\ndata:\n  values.yaml: %s\n", encoded(string(raw)))
		return []byte(b.String())
	}
	return one("1"), one("2")
}

func BenchmarkCompare(b *testing.B) {
	before, after := chartBump()
	one := []byte(strings.Replace(string(before), "example.org/c1:1", "example.org/c1:2", 1))
	for name, other := range map[string][]byte{"every object": after, "one object": one, "nothing": before} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(before) + len(other)))
			for b.Loop() {
				if _, err := compareTexts(string(before), string(other)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
