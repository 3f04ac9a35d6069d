package helm

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"text/template"
	"time"
)

// Whatever walks a value that contains itself ends the process: the end of the
// stack cannot be recovered from.
func TestValuesThatHoldThemselves(t *testing.T) {
	const (
		circle = `{{ $d := dict "a" "b" }}{{ $_ := set $d "self" $d }}`
		deep   = `{{ $d := dict "a" "b" }}{{ range until 100000 }}{{ $d = dict "self" $d }}{{ end }}`
		wide   = `{{ $d := dict "a" "b" }}{{ range until 64 }}{{ $d = dict "self" $d "b" $d }}{{ end }}`
	)
	for _, use := range []string{
		`{{ $d }}`, `{{ $d | print }}`, `{{ print $d }}`, `{{ printf "%v" $d.self }}`, `{{ println $d }}`, `{{ html $d }}`, `{{ $d | js }}`, `{{ urlquery $d }}`,
		`{{ toString $d }}`, `{{ quote $d }}`, `{{ squote $d }}`, `{{ cat $d }}`, `{{ join "," (list $d) }}`, `{{ list $d }}`, `{{ toStrings (list $d) }}`, `{{ sortAlpha (list $d) }}`,
		`{{ toYaml $d }}`, `{{ mustToYaml $d }}`, `{{ toYamlPretty $d }}`, `{{ toJson $d }}`, `{{ toPrettyJson $d }}`, `{{ toRawJson $d }}`, `{{ toToml $d }}`, `{{ mustToToml $d }}`,
		`{{ deepCopy $d }}`, `{{ mustDeepCopy $d }}`, `{{ merge (dict) $d }}`, `{{ mergeOverwrite (dict) $d }}`, `{{ mustMerge (dict) $d }}`,
		`{{ deepEqual $d $d }}`, `{{ has $d (list $d) }}`, `{{ without (list $d) $d }}`, `{{ uniq (list $d $d) }}`, `{{ if eq $d $d }}{{ end }}`, `{{ if $d | ne 1 }}{{ end }}`,
		`{{ int $d }}`, `{{ add 1 $d }}`, `{{ date "2006" $d }}`, `{{ durationHours $d }}`,
		`{{ range $d }}{{ . }}{{ end }}`, `{{ with $d.self }}{{ . }}{{ end }}`, `{{ include "x" $d }}{{ define "x" }}{{ . }}{{ end }}`,
		`{{ template "x" $d }}{{ define "x" }}{{ toJson . }}{{ end }}`, `{{ tpl "{{ . }}" $d }}`,
		`{{ if set .Values "d" $d }}{{ .Values.YAML }}{{ end }}`, `{{ if set .Values "d" $d }}{{ with .Values }}{{ .YAML }}{{ end }}{{ end }}`,
		`{{ if set .Values "d" $d }}{{ $v := .Values }}{{ $v.YAML }}{{ end }}`, `{{ if set .Template "d" $d }}{{ (.Template).YAML }}{{ end }}`,
	} {
		for _, made := range []string{circle, deep, wide} {
			tree := chartOf(map[string]string{"c/templates/t.yaml": made + use})
			_, err := NewRenderer(RendererOptions{}).Render(t.Context(), RenderRequest{Tree: tree, Chart: "c", Release: "rel", Namespace: "ns"})
			var failed *TemplateError
			if !errors.As(err, &failed) || !failed.bound {
				t.Errorf("%s%s: %v", made, use, err)
			}
		}
	}
}

// A schema whose parts refer to each other twice doubles at each level.
func TestSchemaThatNeverEnds(t *testing.T) {
	t.Parallel()
	defs := map[string]any{"d60": map[string]any{"type": "object"}}
	for i := range 60 {
		next := map[string]any{"$ref": fmt.Sprintf("#/definitions/d%d", i+1)}
		defs[fmt.Sprintf("d%d", i)] = map[string]any{"allOf": []any{next, next}}
	}
	for _, draft := range []string{"http://json-schema.org/draft-04/schema#", "http://json-schema.org/draft-07/schema#", "https://json-schema.org/draft/2020-12/schema"} {
		t.Run(draft, func(t *testing.T) {
			t.Parallel()
			text, err := json.Marshal(map[string]any{"$schema": draft, "definitions": defs, "allOf": []any{map[string]any{"$ref": "#/definitions/d0"}}})
			if err != nil {
				t.Fatal(err)
			}
			tree := chartOf(map[string]string{"c/templates/t.yaml": "", "c/values.schema.json": string(text)})
			began := time.Now()
			_, err = NewRenderer(RendererOptions{}).Render(t.Context(), RenderRequest{Tree: tree, Chart: "c", Release: "rel", Namespace: "ns"})
			if err == nil || !strings.Contains(err.Error(), "takes longer than") {
				t.Errorf("error %v", err)
			}
			if took := time.Since(began); took > 6*maxSchemaTime {
				t.Errorf("it took %s", took)
			}
		})
	}
}

// Helm's own engine is given functions that make no circles.
func TestHelmsEngineMakesNoCircles(t *testing.T) {
	for _, text := range []string{
		`{{ $d := dict "a" "b" }}{{ $_ := set $d "self" $d }}{{ $d }}`,
		`{{ $d := dict "a" "b" }}{{ $e := dict "d" $d }}{{ $_ := set $d "self" (list $e) }}{{ $d }}`,
		`{{ $d := dict "a" "b" }}{{ $_ := merge $d (dict "self" $d) }}{{ $d }}`,
		`{{ $d := dict "a" "b" }}{{ $_ := mustMergeOverwrite $d (dict "self" $d) }}{{ $d }}`,
	} {
		set := template.Must(template.New("t").Funcs(sprigFuncs).Funcs(withoutCircles()).Parse(text))
		if err := set.Execute(io.Discard, nil); err == nil || !strings.Contains(err.Error(), "contains itself") {
			t.Errorf("%s: %v", text, err)
		}
	}
}
