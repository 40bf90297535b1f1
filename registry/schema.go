package registry

import (
	_ "embed"
	"slices"
)

//go:embed schema.json
var schema []byte

// Schema returns the JSON Schema of one YAML document, for editors. It knows the shape of every kind; names that
// refer to other definitions are checked by Parse alone. The caller owns the slice.
func Schema() []byte { return slices.Clone(schema) }
