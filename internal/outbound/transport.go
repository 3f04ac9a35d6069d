package outbound

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
)

// TransportOptions of a transport.
type TransportOptions struct {
	// MaxBody bounds an answer, in bytes as they are read; 0 means no bound.
	MaxBody int64
	// Blind takes any certificate.
	Blind bool
}

// Transport returns a transport of HTTP(S) that reaches what the guard lets be
// reached. Every request is decided by itself, so those that follow a redirect
// are, too: at most 5 in a row, and none from HTTPS to HTTP.
//
// A proxy of the environment is the operator's choice, and connects in place of
// this machine. It is reached wherever it is, and gets only names that the
// guard lets be reached after it has resolved them here: what cannot be
// resolved is not handed on, unless the operator allows the name. What the
// proxy then resolves the name to is the proxy's to guard.
func (g *Guard) Transport(o TransportOptions) http.RoundTripper {
	base := func() *http.Transport {
		return &http.Transport{
			TLSHandshakeTimeout: tlsTimeout, ResponseHeaderTimeout: headerTimeout, IdleConnTimeout: idleTimeout,
			MaxIdleConnsPerHost: 8, MaxIdleConns: 64, MaxResponseHeaderBytes: maxHeader, ForceAttemptHTTP2: true,
			TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: o.Blind}, //nolint:gosec // asked for
		}
	}
	t := &transport{guard: g, max: o.MaxBody, direct: base(), proxied: base()}
	t.direct.DialContext = g.DialContext
	// This one connects to the proxy and to nothing else.
	t.proxied.Proxy = g.o.Proxy
	t.proxied.DialContext = (&net.Dialer{Timeout: dialTimeout}).DialContext
	return t
}

type transport struct {
	guard           *Guard
	max             int64
	direct, proxied *http.Transport
}

// RoundTrip sends a request.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	via, err := t.way(r)
	if err != nil {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, err
	}
	resp, err := via.RoundTrip(r)
	if err == nil && t.max > 0 {
		resp.Body = &bounded{ReadCloser: resp.Body, left: t.max, max: t.max}
	}
	return resp, err
}

// CloseIdleConnections lets go of connections that are not in use.
func (t *transport) CloseIdleConnections() {
	t.direct.CloseIdleConnections()
	t.proxied.CloseIdleConnections()
}

// way decides by which way a request goes, if it does.
func (t *transport) way(r *http.Request) (*http.Transport, error) {
	port := map[string]string{"http": "80", "https": "443"}[r.URL.Scheme]
	if port == "" {
		return nil, &RefusedError{Host: r.URL.Redacted(), What: "not an address of HTTP or HTTPS"}
	}
	if err := followed(r); err != nil {
		return nil, err
	}
	proxy, err := t.guard.o.Proxy(r)
	if err != nil {
		return nil, fmt.Errorf("find the proxy for %s: %w", r.URL.Host, hideURL(err))
	}
	if proxy == nil {
		return t.direct, nil
	}
	if p := r.URL.Port(); p != "" {
		port = p
	}
	return t.proxied, t.guard.Check(r.Context(), net.JoinHostPort(r.URL.Hostname(), port))
}

// followed looks at the redirects that led to a request.
func followed(r *http.Request) error {
	for n := 0; r.Response != nil && r.Response.Request != nil; n++ {
		from := r.Response.Request
		if n >= maxRedirects {
			return fmt.Errorf("more than %d redirects", maxRedirects)
		}
		if from.URL.Scheme == "https" && r.URL.Scheme != "https" {
			return &RefusedError{Host: r.URL.Host, What: "not HTTPS, to which " + from.URL.Host + " redirects"}
		}
		r = from
	}
	return nil
}

// hideURL leaves an address out of an error: a proxy's may hold a password.
func hideURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

type bounded struct {
	io.ReadCloser
	left, max int64
}

// Read fails when there is more than there may be.
func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return n, fmt.Errorf("the answer is larger than %d bytes", b.max)
	}
	return n, err
}
