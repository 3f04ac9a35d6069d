// Package assets holds the files that hubship's pages and those of its forge
// share: style, script and icon. Each serves them below a path of its own.
package assets

import (
	"crypto/sha256"
	"embed"
	"fmt"
	"maps"
	"net/http"
	"path"
	"slices"
)

//go:embed files/style.css files/app.js files/icon.svg
var files embed.FS

// file is a file with the version that its address carries.
type file struct {
	data []byte
	kind string
	hash string
}

var all = read(map[string]string{
	"style.css": "text/css; charset=utf-8",
	"app.js":    "text/javascript; charset=utf-8",
	"icon.svg":  "image/svg+xml",
})

func read(kinds map[string]string) map[string]file {
	out := map[string]file{}
	for name, kind := range kinds {
		data, err := files.ReadFile(path.Join("files", name))
		if err != nil {
			panic(err) // it is part of the program
		}
		sum := sha256.Sum256(data)
		out[name] = file{data: data, kind: kind, hash: fmt.Sprintf("%x", sum[:6])}
	}
	return out
}

// Names are the names of all files.
func Names() []string { return slices.Sorted(maps.Keys(all)) }

// URL returns the address of a file. at is the path that Serve is mounted below.
// The address changes with the content.
func URL(at, name string) string { return at + "/" + name + "?v=" + all[name].hash }

// Serve answers with the file that the end of the request's path names.
func Serve(w http.ResponseWriter, r *http.Request) {
	f, ok := all[path.Base(r.URL.Path)]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", f.kind)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	// The address changes with the content.
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	_, _ = w.Write(f.data) // the browser may be gone
}
