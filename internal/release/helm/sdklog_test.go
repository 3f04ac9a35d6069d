package helm

import (
	"bytes"
	"log"
	"strings"
	"testing"
)

func TestLogHoldsNoValues(t *testing.T) {
	muteValues() // whatever else ran before
	before := log.Writer()
	t.Cleanup(func() { log.SetOutput(before) })
	var out bytes.Buffer
	log.SetOutput(&withoutValues{next: &out, said: map[string]bool{}})
	tree := chartOf(map[string]string{"c/values.yaml": "top: {table: {a: {b: 1}}, text: plain}\n", "c/templates/t.yaml": "a: 1\n"})
	for _, values := range []string{"top: {table: {a: topsecret}}", "top: {table: topsecret}", "top: {text: {token: topsecret}}", "top: topsecret"} {
		if _, err := NewRenderer(RendererOptions{}).Render(t.Context(), RenderRequest{Tree: tree, Chart: "c", Release: "rel", Values: valuesOf(t, values)}); err != nil {
			t.Fatal(err)
		}
	}
	tree = chartOf(map[string]string{"c/values.yaml": "top: {table: {a: {token: topsecret}}, text: topsecret}\n", "c/templates/t.yaml": "a: 1\n"})
	for _, values := range []string{"top: {table: {a: 1}}", "top: {text: {a: 1}}"} {
		if _, err := NewRenderer(RendererOptions{}).Render(t.Context(), RenderRequest{Tree: tree, Chart: "c", Release: "rel", Values: valuesOf(t, values)}); err != nil {
			t.Fatal(err)
		}
	}
	for line := range strings.Lines(out.String()) {
		if _, text, ok := strings.Cut(line, "warning:"); ok && strings.Count(out.String(), text) > 1 {
			t.Errorf("said twice: %s", line)
		}
	}
	if !strings.Contains(out.String(), "warning: ") || strings.Contains(out.String(), "topsecret") {
		t.Errorf("the log holds:\n%s", &out)
	}
}
