// Package attach is what the CNI plugin of the network policies and the node's
// supervisor say to each other: HTTP over a socket that root alone opens, PUT
// /sandboxes/ID with a Sandbox once it has an address, DELETE when it is taken
// down. It is apart so that the plugin, which runs for every pod, stays small.
package attach

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// Timeout bounds one attachment; the container runtime asks again later.
const Timeout = 30 * time.Second

// Sandbox is a pod's network as the container runtime makes it.
type Sandbox struct {
	// ID is the runtime's own; a pod that is restarted gets another.
	ID        string `json:"id"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// UID is the pod's, so that an older pod of the name is not taken for it.
	UID string `json:"uid"`
	IP  string `json:"ip"`
}

// Client is the plugin's side.
type Client struct{ http *http.Client }

// NewClient returns a client for the socket at path.
func NewClient(path string) *Client {
	return &Client{http: &http.Client{Timeout: Timeout + 5*time.Second, Transport: &http.Transport{
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
	req, err := http.NewRequest(method, "http://node/sandboxes/"+url.PathEscape(id), bytes.NewReader(body))
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
