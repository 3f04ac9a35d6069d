package devforge

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"strings"

	"github.com/hubship/hubship/internal/clientaddr"
	"github.com/hubship/hubship/internal/loopback"
)

// What the door says of who is behind a request.
const (
	clientHeader = "X-Forwarded-For"   // one address
	protoHeader  = "X-Forwarded-Proto" // http or https
	peerHeader   = "X-Hubship-Peer"    // the user of this machine whose program it is
	byHeader     = "X-Hubship-By"      // at the admin socket: who asks, as the server says
)

// away is what people are told while the program does not answer.
const away = "the embedded forge does not answer; try again in a moment, or see `hubship status`"

// Door passes requests on to the forge's public socket, both ways as they come.
// Of who is behind a request it says what hubship knows itself, and nothing that
// the client says.
func Door(socket string, trusted []netip.Prefix, log *slog.Logger) http.Handler {
	proxy := &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL.Scheme, p.Out.URL.Host = "http", "forge"
			p.Out.URL.RawQuery = p.In.URL.RawQuery // as it came, also where it is malformed
			p.Out.Host = p.In.Host
			introduce(p, trusted)
		},
		Transport:     asking{transport(socket)},
		FlushInterval: -1,
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if r.Context().Err() != nil {
				return // nobody waits any more
			}
			log.Warn("the embedded forge did not answer a request", "method", r.Method, "path", r.URL.Path, "error", err)
			refuse(w, r)
		},
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The forge may answer before the last of a request has passed: without this
		// the server takes what is left of it away from the proxy, which then breaks
		// off the answer.
		_ = http.NewResponseController(w).EnableFullDuplex() // not every writer can; those of tests cannot
		proxy.ServeHTTP(w, r)
	})
}

// introduce says who is behind a request, in place of what the client says.
func introduce(p *httputil.ProxyRequest, trusted []netip.Prefix) {
	for name := range p.Out.Header {
		if name == "Forwarded" || name == "X-Real-Ip" || strings.HasPrefix(name, "X-Forwarded-") || strings.HasPrefix(name, "X-Hubship-") {
			delete(p.Out.Header, name)
		}
	}
	if addr := clientaddr.Of(p.In, trusted); addr.IsValid() {
		p.Out.Header.Set(clientHeader, addr.String())
	}
	// Only sessions of pages are bound to a user, and to ask the kernel takes several
	// times as long as all else here.
	if path := p.In.URL.Path; !strings.HasPrefix(path, "/api/v3/") && !strings.HasPrefix(path, "/git/") {
		if whose := loopback.Whose(p.In.Context()); whose != "" {
			p.Out.Header.Set(peerHeader, whose)
		}
	}
	proto := "http"
	if p.In.TLS != nil {
		proto = "https"
	}
	if said := p.In.Header.Get(protoHeader); clientaddr.Trusted(p.In, trusted) && (said == "http" || said == "https") {
		proto = said
	}
	p.Out.Header.Set(protoHeader, proto)
}

// refuse answers in place of the program, in the form that the client reads.
func refuse(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Retry-After", "5")
	switch {
	case strings.HasPrefix(r.URL.Path, "/forge/"):
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		w.WriteHeader(http.StatusBadGateway)
		_, _ = io.WriteString(w, awayPage)
	case strings.HasPrefix(r.URL.Path, "/api/v3/"):
		h.Set("Content-Type", "application/json; charset=utf-8")
		w.WriteHeader(http.StatusBadGateway)
		_ = json.NewEncoder(w).Encode(map[string]string{"message": away})
	default:
		h.Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(http.StatusBadGateway)
		_, _ = io.WriteString(w, "hubship: "+away+"\n")
	}
}

const awayPage = `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>The forge does not answer</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:40em;margin:4em auto;padding:0 1em}</style>
<h1>The forge does not answer</h1>
<p>Try again in a moment. If it stays away, <code>hubship status</code> on hubship's machine says why.</p>
</html>
`

// Accounts passes requests about accounts on to the forge's admin socket. Who is
// behind one is for the server to say.
func Accounts(socket string, log *slog.Logger) http.Handler {
	return &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL.Scheme, p.Out.URL.Host = "http", "forge"
			p.Out.Header.Set(byHeader, p.In.Header.Get(byHeader)) // whatever Connection names
		},
		Transport: transport(socket),
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			log.Warn("the embedded forge did not answer a request", "method", r.Method, "path", r.URL.Path, "error", err)
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadGateway)
			_ = json.NewEncoder(w).Encode(map[string]any{"error": fmt.Errorf("the embedded forge does not answer: %w", cause(err)).Error(), "hint": "`hubship status` says what is wrong; `hubship up` restarts it", "code": 1})
		},
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// cause is what is left of an error without the layers of HTTP.
func cause(err error) error {
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}
	return err
}
