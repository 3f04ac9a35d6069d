package config

import (
	"encoding/json"
	"flag"
	"os"
	"testing"

	"github.com/invopop/jsonschema"
)

var update = flag.Bool("update", false, "write golden files anew")

// TestSchema generates the schema and compares it with the file that is built
// into the program.
func TestSchema(t *testing.T) {
	r := &jsonschema.Reflector{DoNotReference: true, Anonymous: true}
	s := r.Reflect(&file{})
	s.Title = FileName
	s.Description = "What a deployment repository of hubship says about itself."
	want, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	want = append(want, '\n')
	if *update {
		if err := os.WriteFile("schema.json", want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(want) != string(Schema()) {
		t.Error("schema.json differs from the types: run go test ./internal/config -run TestSchema -update")
	}
}

// JSONSchema describes a command to editors. It is needed here alone.
func (command) JSONSchema() *jsonschema.Schema {
	one := uint64(1)
	return &jsonschema.Schema{OneOf: []*jsonschema.Schema{
		{Type: "string", MinLength: &one},
		{Type: "array", Items: &jsonschema.Schema{Type: "string"}, MinItems: &one},
	}}
}
