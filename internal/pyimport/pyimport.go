// Package pyimport tells whether a distribution of Python can be imported where
// it is installed: in a kernel, or in an image.
package pyimport

import (
	_ "embed" // the code that runs in the interpreter
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
)

// probe is Python that defines hubship_import.
//
//go:embed probe.py
var probe string

// Variable is what Code leaves its result in. Its repr is a Report as JSON on
// one line.
const Variable = "hubship_report"

// Report is what came of importing a distribution.
type Report struct {
	Version string   `json:"version"` // as its metadata says
	Modules []string `json:"modules"` // imported, in order
	Note    string   `json:"note"`    // why nothing was imported, or what else is worth knowing
	Problem string   `json:"problem"` // why it fails although nothing was raised
}

// Code returns Python that imports the distribution under the names that it
// installs, and compares its version with the spec, as it stands in a list of
// requirements. A module that fails to import raises what it raised. Everything
// variable is data: JSON in base64, whose alphabet cannot end a literal.
func Code(name, spec string) (string, error) {
	args, err := json.Marshal(map[string]string{"name": name, "spec": spec})
	if err != nil {
		return "", fmt.Errorf("encode the name of package %q: %w", name, err)
	}
	return probe + "\n" + Variable + " = hubship_import(\"" + base64.StdEncoding.EncodeToString(args) + "\")\n", nil
}

// Summary says which version was imported, and under which names unless those
// are the distribution's own.
func (r Report) Summary(name string) string {
	out := r.Version
	if len(r.Modules) > 1 || len(r.Modules) == 1 && r.Modules[0] != name {
		out += " (" + strings.Join(r.Modules, ", ") + ")"
	}
	if r.Note != "" {
		out += "; " + r.Note
	}
	return strings.TrimPrefix(out, "; ")
}
