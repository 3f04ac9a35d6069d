package helm

import (
	"strings"

	"sigs.k8s.io/yaml"
)

func marshalYAML(v any) (string, error) {
	out, err := yaml.Marshal(v)
	if err != nil {
		return "", err
	}
	return strings.TrimSuffix(string(out), "\n"), nil
}
