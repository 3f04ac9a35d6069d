package config

import (
	"bytes"
	_ "embed" // the schema
)

//go:embed schema.json
var schema []byte

// Schema returns the JSON Schema of hubship.yaml, for editors. It is generated
// from the very types that the file is decoded into; a test holds the two
// together.
func Schema() []byte { return bytes.Clone(schema) }
