package jupyter

import (
	"context"
	"net/http"
	"net/url"
)

// Identity is whom a token belongs to and what it may do.
type Identity struct {
	Kind   string   `json:"kind"` // "service" or "user"
	Name   string   `json:"name"`
	Scopes []string `json:"scopes"` // expanded: "servers!user=x" stands beside "admin:servers!user=x"
}

// User is a user as the hub knows it.
type User struct {
	Name    string            `json:"name"`
	Admin   bool              `json:"admin"`
	Server  string            `json:"server"`  // path of the default server; empty when it is not ready
	Pending string            `json:"pending"` // "spawn", "stop" or empty
	Servers map[string]Server `json:"servers"`
}

// Server is a server of a user as the hub knows it.
type Server struct {
	Name    string `json:"name"` // empty for the default server
	Ready   bool   `json:"ready"`
	Pending string `json:"pending"`
	Stopped bool   `json:"stopped"`
	URL     string `json:"url"`
}

// Idle says that the user has no default server, nor one that starts or
// stops.
func (u User) Idle() bool {
	if u.Server != "" || u.Pending != "" {
		return false
	}
	s, ok := u.Servers[""]
	return !ok || s.Stopped || (!s.Ready && s.Pending == "")
}

// Version returns the version of JupyterHub. It needs no token.
func (c *Client) Version(ctx context.Context) (string, error) {
	var out struct {
		Version string `json:"version"`
	}
	_, err := c.call(ctx, "ask the hub for its version", http.MethodGet, c.endpoint("hub", "api", ""), nil, &out, http.StatusOK)
	return out.Version, err
}

// Health asks the hub whether it works. It needs no token.
func (c *Client) Health(ctx context.Context) error {
	_, err := c.call(ctx, "ask the hub for its health", http.MethodGet, c.endpoint("hub", "health"), nil, nil, http.StatusOK)
	return err
}

// Identity returns the owner of the client's token.
func (c *Client) Identity(ctx context.Context) (Identity, error) {
	var out Identity
	_, err := c.call(ctx, "ask the hub whom this token belongs to", http.MethodGet, c.endpoint("hub", "api", "user"), nil, &out, http.StatusOK)
	return out, err
}

func (c *Client) user(name string, rest ...string) *url.URL {
	return c.endpoint(append([]string{"hub", "api", "users", url.PathEscape(name)}, rest...)...)
}

// User returns a user; an APIError of status 404 when there is none.
func (c *Client) User(ctx context.Context, name string) (User, error) {
	var out User
	_, err := c.call(ctx, "look up user "+name, http.MethodGet, c.user(name), nil, &out, http.StatusOK)
	return out, err
}

// CreateUser creates a user without privileges; an APIError of status 409
// when it exists.
func (c *Client) CreateUser(ctx context.Context, name string) error {
	_, err := c.call(ctx, "create user "+name, http.MethodPost, c.user(name), nil, nil, http.StatusCreated)
	return err
}

// DeleteUser removes a user with everything the hub keeps of it; a user that
// is gone already is no error. The user's server must be stopped.
func (c *Client) DeleteUser(ctx context.Context, name string) error {
	_, err := c.call(ctx, "remove user "+name, http.MethodDelete, c.user(name), nil, nil, http.StatusNoContent, http.StatusNotFound)
	return err
}

// StartServer asks for the user's default server. ready is false when the
// hub answered before the server was: Progress tells the rest. The call may
// take as long as the hub's slow_spawn_timeout.
func (c *Client) StartServer(ctx context.Context, name string) (ready bool, err error) {
	status, err := c.call(ctx, "start the server of "+name, http.MethodPost, c.user(name, "server"), struct{}{}, nil,
		http.StatusCreated, http.StatusAccepted)
	return status == http.StatusCreated, err
}

// StopServer asks for the user's default server to stop; one that is not
// there is no error. stopped is false when the hub still works on it.
func (c *Client) StopServer(ctx context.Context, name string) (stopped bool, err error) {
	status, err := c.call(ctx, "stop the server of "+name, http.MethodDelete, c.user(name, "server"), nil, nil,
		http.StatusNoContent, http.StatusAccepted, http.StatusNotFound)
	return status != http.StatusAccepted, err
}
