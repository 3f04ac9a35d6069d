package policy

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"

	"github.com/hubship/hubship/node/internal/policy/attach"
)

// Sandbox is a pod's network as the container runtime makes it.
type Sandbox = attach.Sandbox

// Handler answers the plugin.
func (c *Controller) Handler(log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /sandboxes/{id}", func(w http.ResponseWriter, r *http.Request) {
		var s Sandbox
		err := json.NewDecoder(io.LimitReader(r.Body, 1<<16)).Decode(&s)
		if err == nil && (s.ID == "" || s.ID != r.PathValue("id")) {
			err = ErrMissing
		}
		if err == nil {
			ctx, cancel := context.WithTimeout(r.Context(), attach.Timeout)
			defer cancel()
			err = c.Attach(ctx, s)
		}
		if err != nil {
			log.Warn("a pod gets no network", "namespace", s.Namespace, "pod", s.Name, "error", err)
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("DELETE /sandboxes/{id}", func(w http.ResponseWriter, r *http.Request) {
		if err := c.Detach(r.PathValue("id")); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	})
	return mux
}
