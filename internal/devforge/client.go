package devforge

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// health is what the program says of itself.
type health struct {
	Version  string `json:"version"`
	Settings string `json:"settings"` // digest of what it was told
	PID      int    `json:"pid"`
}

// dialLimit bounds how long the program may take to accept a connection.
const dialLimit = 10 * time.Second

// Transport reaches a socket of the forge, whatever host a request names.
func Transport(socket string) http.RoundTripper { return transport(socket) }

// transport connects anew for each request: a connection that waits would break
// the next request after the program was started again, and to connect to a
// socket costs next to nothing. It does not say that it will close a connection,
// though: a server that knows this reads no more once it has answered, and what
// is still being sent then breaks before the answer is read.
func transport(socket string) *http.Transport {
	dialer := &net.Dialer{Timeout: dialLimit}
	return &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", socket)
		},
		MaxIdleConnsPerHost:   -1,
		ExpectContinueTimeout: dialLimit,
		DisableCompression:    true, // what is sent passes as it is
		ReadBufferSize:        32 << 10,
		WriteBufferSize:       32 << 10,
	}
}

// asking sends a push when the forge begins to read it. One that the forge refuses
// at once is heard that way: nothing is being sent that would break. Other
// requests are sent as they are: they are small, and git http-backend begins to
// answer a fetch before it reads what is asked.
type asking struct{ *http.Transport }

// RoundTrip implements http.RoundTripper.
func (a asking) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil && r.Body != http.NoBody && strings.HasSuffix(r.URL.Path, "/git-receive-pack") {
		r = r.Clone(untraced{r.Context()})
		r.Header.Set("Expect", "100-continue")
	}
	return a.Transport.RoundTrip(r)
}

// untraced keeps the proxy from passing on that the forge reads: the client has
// not asked.
type untraced struct{ context.Context }

// Value implements context.Context.
func (untraced) Value(any) any { return nil }

// ask asks the program at an admin socket how it is.
func ask(ctx context.Context, socket string) (health, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	var h health
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://forge/-/health", nil)
	if err != nil {
		return h, fmt.Errorf("ask the forge: %w", err)
	}
	resp, err := (&http.Client{Transport: transport(socket)}).Do(req)
	if err != nil {
		return h, fmt.Errorf("ask the forge: %w", err)
	}
	defer func() { _ = resp.Body.Close() }() // it was read
	if resp.StatusCode != http.StatusOK {
		return h, fmt.Errorf("ask the forge: %s", resp.Status)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<16)).Decode(&h); err != nil {
		return h, fmt.Errorf("ask the forge: %w", err)
	}
	return h, nil
}
