package helm

import (
	"encoding/base64"
	"path"
	"strings"

	"github.com/gobwas/glob"
)

// chartFiles are the files of a chart that its templates may read, by their
// names in the chart. There is nothing else that they can read.
type chartFiles map[string][]byte

// GetBytes returns a file; nothing when there is none.
func (f chartFiles) GetBytes(name string) []byte {
	if data, ok := f[name]; ok {
		return data
	}
	return []byte{}
}

// Get returns a file as text; "" when there is none.
func (f chartFiles) Get(name string) string { return string(f[name]) }

// Glob returns the files whose names match a pattern. A pattern that is none
// matches all.
func (f chartFiles) Glob(pattern string) chartFiles {
	match, err := glob.Compile(pattern, '/')
	if err != nil {
		match = glob.MustCompile("**")
	}
	out := chartFiles{}
	for name, data := range f {
		if match.Match(name) {
			out[name] = data
		}
	}
	return out
}

// AsConfig returns the files as the data of a ConfigMap, by their names
// without folders.
func (f chartFiles) AsConfig() string {
	return f.flat(func(data []byte) string { return string(data) })
}

// AsSecrets returns the files as the data of a Secret.
func (f chartFiles) AsSecrets() string { return f.flat(base64.StdEncoding.EncodeToString) }

func (f chartFiles) flat(text func([]byte) string) string {
	if f == nil {
		return ""
	}
	out := make(map[string]any, len(f))
	for name, data := range f {
		out[path.Base(name)] = text(data)
	}
	return toYAML(out)
}

// Lines returns the lines of a file.
func (f chartFiles) Lines(name string) []string {
	text := strings.TrimSuffix(f.Get(name), "\n")
	if len(f[name]) == 0 {
		return []string{}
	}
	return strings.Split(text, "\n")
}
