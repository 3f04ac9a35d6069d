package helm

import (
	"errors"
	"strings"
	"testing"
)

// A function that makes a text a little longer, again and again, or a list of
// every letter of a text, has the same bounds as one that makes it long at once.
func TestNothingGrowsUncounted(t *testing.T) {
	again := func(use string) string {
		return `{{ $x := "<\"\\&%'" }}{{ range until 400 }}{{ $x = ` + use + ` }}{{ end }}`
	}
	kept := func(use string) string {
		return `{{ $s := repeat 1000000 "[],\n" }}{{ $f := .Files }}{{ $all := list }}{{ range until 2000 }}{{ $all = append $all (` + use + `) }}{{ end }}`
	}
	for name, text := range map[string]string{
		"js": again(`js $x`), "html": again(`html $x $x`), "urlquery": again(`urlquery $x $x`), "b64enc": again(`b64enc $x`), "b32enc": again(`$x | b32enc`),
		"regexQuoteMeta": again(`regexQuoteMeta $x`), "toRawJson": again(`toRawJson $x`), "toPrettyJson": again(`toPrettyJson $x`), "mustToJson": again(`mustToJson $x`),
		"toYamlPretty": again(`toYamlPretty (list $x $x)`), "toToml": again(`toToml (dict "a" $x "b" $x)`), "encryptAES": again(`encryptAES "k" $x`),
		"urlJoin": again(`urlJoin (dict "host" $x "path" $x)`), "osBase": again(`printf "%s%s" $x $x | osClean`),
		"printf widths":   `{{ printf (repeat 3000 "%[1]1000000d") 1 }}`,
		"printf stars":    `{{ printf (repeat 3000 "%[1]*[1]d") 1000000 }}`,
		"printf repeated": `{{ $s := repeat 30000000 "x" }}{{ printf (repeat 1000000 "%[1]s") $s }}`,
		"split":           `{{ split "," (repeat 30000000 ",") }}`,
		"fromJsonArray":   kept(`fromJsonArray (printf "[%s0]" $s)`),
		"regexSplit":      kept(`regexSplit "," $s -1`),
		"Lines":           kept(`$f.Lines "files/lines"`), "Get": kept(`$f.Get "files/lines"`), "AsConfig": kept(`($f.Glob "files/*").AsConfig`),
		"a field's Get": `{{ $all := list }}{{ range until 2000 }}{{ $all = append $all ($.Files.Get "files/lines") }}{{ end }}`,
	} {
		tree := chartOf(map[string]string{"c/templates/t.yaml": text, "c/files/lines": strings.Repeat("x", 4<<20)})
		_, err := NewRenderer(RendererOptions{}).Render(t.Context(), RenderRequest{Tree: tree, Chart: "c", Release: "rel", Namespace: "ns"})
		var failed *TemplateError
		if !errors.As(err, &failed) || !failed.bound {
			t.Errorf("%s: %v", name, err)
		}
	}
}
