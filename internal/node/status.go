// Package node starts and stops the embedded Kubernetes node, a program of
// its own beside hubship, and asks its supervisor how it is.
package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// Status is what the node's supervisor says about itself.
type Status struct {
	Name       string      `json:"name"`
	Ready      bool        `json:"ready"`
	Phase      string      `json:"phase"` // "starting", "running", Stopping or Failed
	Error      string      `json:"error,omitempty"`
	PID        int         `json:"pid"`
	Version    string      `json:"version"` // of Kubernetes
	StartedAt  time.Time   `json:"startedAt,omitzero"`
	Steps      []Step      `json:"steps"`
	Components []Component `json:"components"`

	Kubeconfig string `json:"kubeconfig"` // path of the administrator's kubeconfig
	Context    string `json:"context"`    // context within it
	Registry   string `json:"registry"`   // host:port
	// RegistryCredentials is the path of a docker configuration file with the
	// account that pushes there.
	RegistryCredentials string `json:"registryCredentials"`
	BuildKit            string `json:"buildkit"` // unix:///…
	NodeIP              string `json:"nodeIP"`
	PodCIDR             string `json:"podCIDR"`
	ServiceCIDR         string `json:"serviceCIDR"`
}

// Phases of a node that will not become ready any more.
const (
	Stopping = "stopping"
	Failed   = "failed"
)

// Step is one thing that the supervisor does on its way to a ready node.
type Step struct {
	Name       string    `json:"name"`
	State      string    `json:"state"` // running, done or failed
	Detail     string    `json:"detail,omitempty"`
	StartedAt  time.Time `json:"startedAt,omitzero"`
	DurationMs int64     `json:"durationMs,omitempty"`
}

// Component is one supervised process.
type Component struct {
	Name      string `json:"name"`
	PID       int    `json:"pid,omitempty"`
	State     string `json:"state"` // running, starting, backoff or stopped
	Restarts  int    `json:"restarts"`
	RSSBytes  int64  `json:"rssBytes"`
	Log       string `json:"log,omitempty"` // path of its log file
	LastError string `json:"lastError,omitempty"`
}

// ErrNotRunning is returned when no supervisor answers on the socket.
var ErrNotRunning = errors.New("the embedded node is not running")

// Client talks to the supervisor over its Unix socket.
type Client struct {
	http *http.Client
}

// NewClient returns a client for the socket. It connects with each request.
func NewClient(socket string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}
	return &Client{http: &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// Status asks how the node is. The error wraps ErrNotRunning when nobody
// answers.
func (c *Client) Status(ctx context.Context) (Status, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var s Status
	body, err := c.call(ctx, http.MethodGet, "/status")
	if err != nil {
		return Status{}, err
	}
	if err := json.Unmarshal(body, &s); err != nil {
		return Status{}, fmt.Errorf("read the node's status: %w", err)
	}
	return s, nil
}

// Stop asks for an orderly stop. The supervisor may end before it answers,
// which is no error.
func (c *Client) Stop(ctx context.Context) error {
	_, err := c.call(ctx, http.MethodPost, "/stop")
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, ErrNotRunning) {
		return nil
	}
	return err
}

func (c *Client) call(ctx context.Context, method, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://node"+path, nil)
	if err != nil {
		return nil, fmt.Errorf("ask the node: %w", err)
	}
	resp, err := c.http.Do(req)
	var dial *net.OpError
	if errors.As(err, &dial) && dial.Op == "dial" {
		return nil, fmt.Errorf("%w: %w", ErrNotRunning, err)
	}
	if err != nil {
		return nil, fmt.Errorf("ask the node for %s: %w", path, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	if err != nil {
		return nil, fmt.Errorf("ask the node for %s: %w", path, err)
	}
	if resp.StatusCode/100 != 2 {
		return nil, fmt.Errorf("ask the node for %s: %s: %.300s", path, resp.Status, body)
	}
	return body, nil
}
