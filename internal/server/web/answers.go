package web

import (
	"bytes"
	"html/template"
	"net/http"
)

// These pages are answered under the names of hubs, where hubship has no
// address of its own: their style is within them.
var answers = template.Must(template.New("").ParseFS(templateFiles, "templates/answers.html"))

// Waiting answers for a hub that does not answer itself. Who asks is not known,
// so it does not say what the hub waits for: the dashboard does. The browser
// looks again by itself.
func Waiting(w http.ResponseWriter) {
	answerWith(w, http.StatusServiceUnavailable, "waiting", nil)
}

// Misdirected answers for a name that is not known here.
func Misdirected(w http.ResponseWriter, name string) {
	answerWith(w, http.StatusMisdirectedRequest, "misdirected", name)
}

func answerWith(w http.ResponseWriter, status int, name string, data any) {
	var body bytes.Buffer
	if err := answers.ExecuteTemplate(&body, name, data); err != nil {
		http.Error(w, "hubship: this page failed", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes()) // the browser may be gone
}
