package assets

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestServe(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /here/", Serve)
	ask := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		return w
	}
	for name, kind := range map[string]string{"style.css": "text/css", "app.js": "text/javascript", "icon.svg": "image/svg+xml"} {
		at := URL("/here", name)
		if before, version, _ := strings.Cut(at, "?v="); before != "/here/"+name || len(version) != 12 {
			t.Errorf("%s is at %s", name, at)
		}
		w := ask(at)
		if w.Code != http.StatusOK || w.Body.Len() < 100 || !strings.HasPrefix(w.Header().Get("Content-Type"), kind) ||
			w.Header().Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %d, %d bytes, %v", at, w.Code, w.Body.Len(), w.Header())
		}
	}
	for _, path := range []string{"/here/nothing.js", "/here/..%2fassets.go", "/here/files", "/here/"} {
		if w := ask(path); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}
