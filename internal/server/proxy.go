package server

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"
	"time"

	"github.com/hubship/hubship/internal/server/web"
)

// dialLimit bounds how long a hub may take to accept a connection.
const dialLimit = 10 * time.Second

type entryKey struct{}

// routeKey is the name that connections to a release are pooled under. A
// release that moved, to another cluster say, gets new connections.
func routeKey(r Route) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %q %q", r.Cluster.Name, r.Cluster.Kubeconfig, r.Cluster.Context, r.Target.Namespace, r.Target.Release))
	return fmt.Sprintf("%x.hub:80", sum[:12])
}

// newProxy passes requests on to hubs: whatever method, upgrade or length,
// and every byte as soon as it is there.
func (s *Server) newProxy() http.Handler {
	var entries sync.Map // key -> hostEntry, for dialling
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			e, ok := entries.Load(addr)
			if !ok {
				return nil, fmt.Errorf("no hub is known as %s", addr)
			}
			ctx, cancel := context.WithTimeout(ctx, dialLimit)
			defer cancel()
			entry := e.(hostEntry)
			return s.opts.Dial(ctx, entry.Cluster, entry.Target)
		},
		DisableCompression:  true, // what hubs send passes as it is
		MaxIdleConnsPerHost: 32,
		// A pod that was killed does not close its connections, and one that
		// leads nowhere is found out by waiting: keep none for long.
		IdleConnTimeout: 5 * time.Second,
		ReadBufferSize:  32 << 10,
		WriteBufferSize: 32 << 10,
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			entry := p.In.Context().Value(entryKey{}).(hostEntry)
			p.Out.URL.Scheme, p.Out.URL.Host = "http", entry.key
			p.Out.Host = p.In.Host // hubs compare it with the Origin of websockets
			s.forwarded(p)
			keepCookies(p.Out.Header)
		},
		ModifyResponse: func(r *http.Response) error {
			refuseCookies(r.Header)
			return nil
		},
		Transport:     transport,
		FlushInterval: -1,
		BufferPool:    &bufferPool{},
		ErrorHandler:  s.hubFails,
		ErrorLog:      slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		entry := r.Context().Value(entryKey{}).(hostEntry)
		entries.Store(entry.key, entry)
		// A hub may answer before the last of an upload has passed: without this the
		// server takes what is left of it away from the proxy, which then breaks off
		// the answer.
		_ = http.NewResponseController(w).EnableFullDuplex() // not every writer can; those of tests cannot
		proxy.ServeHTTP(w, r)
	})
}

// hubFails answers in place of a hub that does not.
func (s *Server) hubFails(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil || errors.Is(err, context.Canceled) {
		return // the client went away
	}
	entry := r.Context().Value(entryKey{}).(hostEntry)
	s.log.Debug("a hub does not answer", "hub", entry.Target.Hub, "environment", entry.Target.Environment, "error", err)
	w.Header().Set("Retry-After", "5")
	if !s.wantsPage(r) {
		writeJSON(w, http.StatusServiceUnavailable, map[string]string{"error": "this hub does not answer yet", "hint": "try again in a few seconds"})
		return
	}
	web.Waiting(w)
}

// wantsPage says whether a person looks at the answer.
func (s *Server) wantsPage(r *http.Request) bool {
	return r.Method == http.MethodGet && r.Header.Get("Upgrade") == "" && strings.Contains(r.Header.Get("Accept"), "text/html")
}

// bufferPool keeps copies from making garbage.
type bufferPool struct{ pool sync.Pool }

func (p *bufferPool) Get() []byte {
	if b, ok := p.pool.Get().(*[]byte); ok {
		return *b
	}
	return make([]byte, 32<<10)
}

func (p *bufferPool) Put(b []byte) { p.pool.Put(&b) }
