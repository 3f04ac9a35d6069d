package helm

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// sdkYAML is what the SDK's toYaml does.
func sdkYAML(v any) string {
	out, err := yaml.Marshal(v)
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(string(out), "\n")
}

var yamlTexts = []string{
	"", "a", "plain text", "true", "True", "yes", "y", "n", "on", "off", "null", "~", "nothing", "yesno", "123", "0123", "08", "1.5", "1.2.3", "1e5", "0x1f", "0o17", "0b1",
	"12_3", "1:30", "190:20:30", "2001-01-01", "2001-01-01T00:00:00Z", "10.0.0.0/8", "500m", "1Gi", "3.3.8-beta", ".5", ".inf", "-1", "+1", "- a", "-a", "--- a", "?a", "? a", ":a", ": a",
	"a:", "a: b", "a:b", "a #b", "a#b", "#a", "[a", "{a", "a]", "*a", "&a", "!a", "|a", ">a", "'a", "\"a\"", "%a", "@a", "`a", "a'b", "a\"b", "a\\b", " a", "a ", "a  b", "\ta", "a\tb", "<<", "=",
	"a\nb", "a\nb\n", "a\n\nb\n", "a\nb\n\n", "\na", "a \nb", "a\n b\n", " a\nb", "a\n", "\n", "a\tb\nc", "a\r\nb", "ä", "äß\nü", "😀", "a😀\nb", "\u0085a", "a\u2028b", "a\x00", "\x7f", "a\xffb", "\ufeffa", "a\u00a0b", "中文: x", "中文", "<a&b>", "a\u200bb",
	strings.Repeat("long text ", 30) + "end", strings.Repeat("x", 200), "a" + strings.Repeat("\nline of text", 50),
}

func TestToYAMLIsTheSDKs(t *testing.T) {
	for _, s := range yamlTexts {
		check(t, s)
		check(t, map[string]any{"k": s, "l": []any{s, s}, "m": map[string]any{"n": s}})
		check(t, []any{s, []any{s, []any{s}}, map[string]any{"a": s, "b": []any{map[string]any{"c": s}}}})
		check(t, map[string]any{s: "v", "x" + s: map[string]any{s: []any{1}}})
	}
	for _, f := range []float64{0, math.Copysign(0, -1), 1, -1, 1e6, 1e14, 1e15, 1e16, 1e20, 1e21, 1e22, 0.5, 1e-4, 1e-5, 1e-6, 1e-7, 1234567.5, 123456.5, 1.0 / 3, math.MaxFloat64, math.NaN(), math.Inf(1)} {
		check(t, f)
		check(t, map[string]any{"f": f})
	}
	for _, v := range []any{nil, true, 1, int64(1) << 62, uint64(1) << 63, json.Number("1.0"), []string{"a"}, map[string]string{"a": "1"}, []any(nil), map[string]any(nil), []any{}, map[string]any{}, struct{ A int }{1}} {
		check(t, v)
		check(t, map[string]any{"v": v, "w": []any{v}})
	}
	deep := any("bottom")
	for i := range 250 {
		if deep = map[string]any{"k": deep}; i%3 == 0 {
			deep = []any{deep}
		}
	}
	check(t, deep)
}

func TestToYAMLOrdersKeys(t *testing.T) {
	m, whole := map[string]any{}, map[string]any{}
	for _, k := range []string{"a", "b", "A", "a1", "a2", "a10", "a01", "a001", "a1b", "a-b", "a_b", "a.b", "0", "00", "10", "100", "1", "a0", "a00", "a10b", "a100", "-", "_", "a1-2", "a1-10", "99999999999999999999", "99999999999999999998", "z/9", "z/10"} {
		m[k] = k
		if !strings.Contains(k, "0") {
			whole[k] = k // with a10 < a1b < a2 < a10 the library's order is not certain
		}
	}
	check(t, whole)
	for a := range m {
		for b := range m {
			if a != b {
				check(t, map[string]any{a: 1, b: 2})
			}
		}
	}
}

func check(t *testing.T, v any) {
	t.Helper()
	if got, want := toYAML(v), sdkYAML(v); got != want {
		t.Errorf("%#v:\ngot  %q\nwant %q", v, got, want)
	}
}

func FuzzToYAML(f *testing.F) {
	for _, s := range yamlTexts {
		f.Add(s, s, 1.5, uint8(3))
	}
	f.Fuzz(func(t *testing.T, a, b string, n float64, shape uint8) {
		var v any
		switch shape % 6 {
		case 0:
			v = map[string]any{a: b, b: n}
		case 1:
			v = []any{a, map[string]any{b: a, "n": n}}
		case 2:
			v = map[string]any{"k": map[string]any{a: []any{b, n, []any{a}}}}
		case 3:
			v = a
		case 4:
			v = map[string]any{a: map[string]any{}, b: []any{}, a + b: nil}
		case 5:
			v = []any{[]any{[]any{a}, b}, map[string]any{a: map[string]any{b: a + "\n" + b}}}
		}
		check(t, v)
	})
}
