package policy

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// The CNI plugin speaks HTTP to the controller, over a socket that root alone
// opens: PUT /sandboxes/ID with a Sandbox once it has an address, DELETE when it
// is taken down.

// attachTimeout bounds one attachment; the container runtime asks again later.
const attachTimeout = 30 * time.Second

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
			ctx, cancel := context.WithTimeout(r.Context(), attachTimeout)
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

// Client is the plugin's side.
type Client struct{ http *http.Client }

// NewClient returns a client for the socket at path.
func NewClient(path string) *Client {
	return &Client{http: &http.Client{Timeout: attachTimeout + 5*time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		},
		DisableKeepAlives: true,
	}}}
}

// Attach returns once the rules of the sandbox are in force.
func (c *Client) Attach(s Sandbox) error {
	body, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return c.call(http.MethodPut, s.ID, body)
}

// Detach forgets the sandbox.
func (c *Client) Detach(id string) error { return c.call(http.MethodDelete, id, nil) }

func (c *Client) call(method, id string, body []byte) error {
	req, err := http.NewRequest(method, "http://node/sandboxes/"+id, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("reach the node's supervisor: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	if err != nil {
		return fmt.Errorf("reach the node's supervisor: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the node's supervisor answers: %s", bytes.TrimSpace(answer))
	}
	return nil
}
