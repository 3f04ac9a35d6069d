package check

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
	sigsyaml "sigs.k8s.io/yaml"

	"github.com/hubship/hubship/internal/plan"
)

// tag warns of an image tag that is read as a number: 0.10 becomes 0.1, 1e5
// becomes 100000, and a commit of digits alone, or with one e among them,
// becomes something else altogether.
func (w *walker) tag(key, value *yaml.Node, at []string) {
	if key.Value != "tag" || value.Kind != yaml.ScalarNode || value.Style != 0 || value.Tag == "!!str" {
		return
	}
	read, text, ok := readScalar(value.Value)
	if !ok || text || read == value.Value || read == "null" {
		return
	}
	w.add(plan.Warning, value.Line, fmt.Sprintf("%s: %s is read as %s", dotted(at), value.Value, read), fmt.Sprintf("write it in quotes: %q", value.Value))
}

// readScalar returns what Helm makes of an unquoted scalar, as JSON; text says
// that it stays text.
func readScalar(written string) (read string, text, ok bool) {
	if len(written) > 256 || strings.ContainsAny(written, "\n#") {
		return "", false, false
	}
	raw, err := sigsyaml.YAMLToJSON([]byte("v: " + written + "\n"))
	if err != nil {
		return "", false, false
	}
	var got struct{ V json.RawMessage }
	if err := json.Unmarshal(raw, &got); err != nil {
		return "", false, false
	}
	return string(got.V), bytes.HasPrefix(got.V, []byte(`"`)), true
}

// readKey returns what Helm makes of an unquoted key, for keys that begin like
// something that is not text; ok is false for all others.
func readKey(key *yaml.Node) (string, bool) {
	if !mayBeOther(key.Value) {
		return "", false
	}
	raw, err := sigsyaml.YAMLToJSON([]byte(key.Value + ": 1\n"))
	if err != nil {
		return "", false
	}
	var got map[string]int
	if err := json.Unmarshal(raw, &got); err != nil || len(got) != 1 {
		return "", false
	}
	for k := range got {
		return k, true
	}
	return "", false
}

// mayBeOther says that a key may be read as a number, or as true, false or
// null.
func mayBeOther(key string) bool {
	if key == "" || len(key) > 64 || strings.ContainsAny(key, "\n#:") {
		return false
	}
	switch strings.ToLower(key) {
	case "y", "n", "yes", "no", "on", "off", "true", "false", "null", "~":
		return true
	}
	return strings.IndexByte("0123456789+-.", key[0]) >= 0
}
