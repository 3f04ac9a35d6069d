// Package jupyter speaks the protocols of a JupyterHub as one of its users:
// the hub's REST API, the event stream of a starting server, the server's own
// API and the messages of a kernel over a websocket.
//
// The token travels in the Authorization header only. It is never part of a
// URL, and is masked should a server send it back in an error.
package jupyter

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"
)

const (
	// maxBody bounds what is read of any response that is not an event
	// stream or a websocket, in bytes.
	maxBody = 4 << 20
	// maxMessage bounds the text of a server that ends up in an error.
	maxMessage = 2000
)

// Client is a connection to one hub. It is safe for concurrent use.
type Client struct {
	base  *url.URL
	http  *http.Client
	token string
}

// New returns a client of the hub below base, with requests carried by rt.
// base is the address that the hub's proxy serves, including the hub's base
// URL if it is not "/". An empty token sends no credentials. rt must support
// protocol upgrades, as http.Transport does, for kernels to be reached.
func New(base *url.URL, rt http.RoundTripper, token string) *Client {
	u := *base
	u.Path = strings.TrimSuffix(u.Path, "/")
	u.RawPath = strings.TrimSuffix(u.RawPath, "/")
	u.RawQuery, u.Fragment, u.User = "", "", nil
	return &Client{
		base:  &u,
		token: token,
		http: &http.Client{
			Transport: rt,
			// A redirect of an API is a login page or a wrong address; pages
			// are followed by hand, within the server.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// WithToken returns a client of the same hub that authenticates with the
// token.
func (c *Client) WithToken(token string) *Client {
	other := *c
	other.token = token
	return &other
}

// APIError is an answer other than the expected one.
type APIError struct {
	Op      string // "create user x"
	Status  int    // HTTP status
	Message string // what the server said, bounded; may be empty
}

func (e *APIError) Error() string {
	text := fmt.Sprintf("%s: %d %s", e.Op, e.Status, http.StatusText(e.Status))
	if e.Message != "" {
		text += ": " + e.Message
	}
	return text
}

// StatusOf returns the HTTP status of an APIError in the chain, or 0.
func StatusOf(err error) int {
	var e *APIError
	if errors.As(err, &e) {
		return e.Status
	}
	return 0
}

// endpoint joins escaped path segments to the hub's address.
func (c *Client) endpoint(segments ...string) *url.URL {
	u := *c.base
	raw := u.EscapedPath()
	for _, s := range segments {
		raw += "/" + s
	}
	// Segments are escaped by the callers, so the path always unescapes.
	u.Path, _ = url.PathUnescape(raw)
	u.RawPath = raw
	return &u
}

// request builds an authenticated request with an optional JSON body.
func (c *Client) request(ctx context.Context, method string, u *url.URL, body any) (*http.Request, error) {
	var payload io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("encode the request: %w", err)
		}
		payload = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), payload)
	if err != nil {
		return nil, err
	}
	c.authorize(req.Header)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

func (c *Client) authorize(h http.Header) {
	if c.token != "" {
		h.Set("Authorization", "token "+c.token)
	}
	h.Set("User-Agent", "hubship-verify")
}

// call sends a request, expects one of the statuses and decodes the body into
// out unless out is nil. It returns the status received.
func (c *Client) call(ctx context.Context, op, method string, u *url.URL, body, out any, want ...int) (int, error) {
	req, err := c.request(ctx, method, u, body)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", op, err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", op, transportError(err))
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err != nil {
		return resp.StatusCode, fmt.Errorf("%s: read the response: %w", op, err)
	}
	if len(data) > maxBody {
		return resp.StatusCode, fmt.Errorf("%s: the response is larger than %d MiB", op, maxBody>>20)
	}
	for _, w := range want {
		if resp.StatusCode != w {
			continue
		}
		if out == nil {
			return resp.StatusCode, nil
		}
		if err := json.Unmarshal(data, out); err != nil {
			return resp.StatusCode, fmt.Errorf("%s: the response is not the expected JSON: %w", op, err)
		}
		return resp.StatusCode, nil
	}
	return resp.StatusCode, c.apiError(op, resp, data)
}

// apiError turns an unexpected answer into an error.
func (c *Client) apiError(op string, resp *http.Response, data []byte) error {
	e := &APIError{Op: op, Status: resp.StatusCode}
	var body struct {
		Message string `json:"message"`
	}
	switch {
	case json.Unmarshal(data, &body) == nil:
		e.Message = body.Message
	case strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain"):
		e.Message = string(data)
	}
	if loc := resp.Header.Get("Location"); loc != "" && e.Message == "" {
		// Queries of login redirects carry state that is no one's business.
		loc, _, _ = strings.Cut(loc, "?")
		e.Message = "redirected to " + loc
	}
	e.Message = c.mask(Bounded(strings.TrimSpace(e.Message), maxMessage))
	return e
}

// mask hides the token in a text that came from a server.
func (c *Client) mask(text string) string {
	if c.token == "" {
		return text
	}
	return strings.ReplaceAll(text, c.token, "***")
}

// transportError drops the method and URL that net/http puts before the cause
// (the operation says it in words) and keeps the cause.
func transportError(err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		return ue.Err
	}
	return err
}

// Bounded shortens a text to at most n bytes at a rune boundary, and says so
// with an ellipsis.
func Bounded(text string, n int) string {
	if len(text) <= n {
		return text
	}
	cut := n
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}
