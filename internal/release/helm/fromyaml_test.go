package helm

import (
	"reflect"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

var yamlDocuments = []string{
	"a: 1\nb: two\nc:\n  d: true\n  e: null\n  f: ~\n  g:\nh: {}\ni: []\n",
	"list:\n- a\n- b: 1\n  c: 2\n-   d: 3\n    e:\n    - f\n- - g\n  - h\n-\n  i: j\n-\nafter: x\n",
	"list:\n  - a\n  - {}\nnext: y\n", "text: |\n  one\n    two\n\n  three\n\nnext: |-\n  a\n  b\nkept: |+\n  a\n\nend: x\n", "- a\n", "a\n", "# only\n", "\n",
	"q: \"a \\\"b\\\" \\n c\"\nr: 'it''s'\n\"s t\": 'x: y'\n't': \"#\"\nu: \"\\x41\"\n", "n: 0.5\nm: -1\no: 0x1f\np: 010\nq: 1e3\nr: .5\ns: 2001-01-01\nt: 1_000\nu: 12345678901234567890\nv: +1\nw: 1:30\n",
	"yes: a\nno: b\n", "y: Yes\nz: off\nx: NULL\n", "a: b # comment\nc: d#e\nf: # comment\n  g: h\n#x\n  i: j\n", "a: b: c\n", "a: b\n  c\n", "a:\n b: c\n  d: e\n", "a: *x\nb: &y z\nc: !t u\n",
	"a: [1, 2]\nb: {c: d}\n", "a: [1, \"b, c\", 'd', -e, f.g/h,i ] # x\nj: {} # k\nl: \"m\" # n\no: p # q\n", "a: [b,]\n", "a: [,]\n", "a: [b c]\n", "a: [b: c]\n", "a: [[b]]\n", "a: [b]c\n", "a: ['b'c]\n", "a: [yes, 010, ~]\n", "a: [-]\n", "a: 'b # c'\n", "a: \"b # 'c\"\n", "a: 'b' 'c # d'\n", "a: [\"b # c\"]\n", "a: [ ]\nb: [c]  \n", "a: {} #\n", "#\u20280\n", "a: >\n  folded\n", "a: |2\n    x\n", "a:\n\tb: c\n", "a: b\na: c\n", "? a\n: b\n", "a: - b\n", "a: -\n", "a: --- b\n", "a: ---\n", "a: 'b\n  c'\n", "a: \"b\n  c\"\n", "a:b\n", "a: b:\n", "a: @b\n", "a: `b`\n", "a: %b\n",
	"a: ä\nb: \"中文\"\nc: \u0085\nd: \u2028\n", "a: |\n  ä\n\u2028  b\n", "a: |\n\n  b\n", "a: |\n", "a: |\nb: c\n", "a: |\n  x\n y: z\n", "a: <<\n<<: b\n", "\"<<\": {}\n", "a: b\n...\n", "a: b\n---\nc: d\n", "kind: 1\n", "a:  b  \n", "a: \"b\"  # c\n", "a: 'b' c\n", "- a: b\n  c: d\n- e\n", "a:\n- b\n c: d\n", "a:\n  - b\n  c: d\n", "a: ''\nb: \"\"\nc: ''''\n", "a.b/c-d: e\n1: f\n-a: g\n", "a: =\nb: <x>\n", "a: b\\c\n",
	"a: b\n c: d\n", "a:\n - - b\n   - c\n - d: e\n   f: g\n", "a: # x\n- b\n", "-a: b\n", "a: ,b\n", "a: ]\n", "a: ?b\nc: :d\n", "a: ? b\n", "a:\n  # x\n  b: |\n    y\n  # z\n  c: d\n", "a: |\n  x\n# y\nb: c\n", "a: |\n  x\n # y\nb: c\n",
}

func checkRead(t *testing.T, s string) bool {
	t.Helper()
	got, ok := readYAML(s)
	if !ok {
		return false
	}
	var want map[string]any
	if err := yaml.Unmarshal([]byte(s), &want); err != nil {
		t.Errorf("%q was read, and is no YAML map: %v", s, err)
	} else if !reflect.DeepEqual(got, want) {
		t.Errorf("%q:\ngot  %#v\nwant %#v", s, got, want)
	}
	return true
}

func TestReadYAMLIsTheLibrarys(t *testing.T) {
	read := 0
	for _, s := range yamlDocuments {
		if checkRead(t, s) {
			read++
		}
	}
	if read < 15 {
		t.Errorf("only %d documents were read without the library", read)
	}
}

func FuzzReadYAML(f *testing.F) {
	for _, s := range yamlDocuments {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) < 4096 {
			checkRead(t, s)
			checkRead(t, strings.TrimRight(s, "\n")+"\n")
		}
	})
}
