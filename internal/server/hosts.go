package server

import (
	"context"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/server/web"
)

// How long what the service said is believed.
const (
	hostsTTL  = time.Second
	statusTTL = 2 * time.Second
	askLimit  = 20 * time.Second // for one answer of the service
)

// serveName answers by the name that a request is for. A name that is neither
// hubship's nor a hub's is refused: a page elsewhere whose name was made to
// point here (DNS rebinding) reads nothing.
func (s *Server) serveName(w http.ResponseWriter, r *http.Request) {
	name := hostName(r.Host)
	if s.isOwnName(name) {
		s.own.ServeHTTP(w, r)
		return
	}
	if entry, ok := s.hosts.find(r.Context(), name); ok && s.opts.Dial != nil {
		s.proxy.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), entryKey{}, entry)))
		return
	}
	web.Misdirected(w, name, s.hosts.names())
}

func (s *Server) isOwnName(name string) bool {
	switch name {
	case "localhost", "127.0.0.1", "::1":
		return true
	}
	return slices.ContainsFunc(s.opts.Names, func(n string) bool { return strings.EqualFold(n, name) })
}

// hostName is the name in a Host field: no port, no brackets, lower case.
func hostName(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// hostTable remembers for a moment which names there are. When the service
// cannot tell, what it said last stays true.
type hostTable struct {
	ask func(context.Context) (map[string]Route, error)

	mu    sync.Mutex
	table map[string]hostEntry
	asked time.Time
}

// hostEntry is a route and the key that connections to it are pooled under.
type hostEntry struct {
	Route
	host string
	key  string
}

func newHostTable(ask func(context.Context) (map[string]Route, error)) *hostTable {
	return &hostTable{ask: ask}
}

func (t *hostTable) find(ctx context.Context, name string) (hostEntry, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if time.Since(t.asked) > hostsTTL {
		// Others wait for this answer, so it outlives the one who asked.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askLimit)
		defer cancel()
		if routes, err := t.ask(ctx); err == nil {
			t.table = make(map[string]hostEntry, len(routes))
			for host, route := range routes {
				host = hostName(host)
				t.table[host] = hostEntry{Route: route, host: host, key: routeKey(route)}
			}
		}
		t.asked = time.Now()
	}
	e, ok := t.table[name]
	return e, ok
}

func (t *hostTable) names() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Sorted(maps.Keys(t.table))
}

// statusCache spares the clusters: any number of open pages ask for the
// status once in a while.
type statusCache struct {
	ask func(context.Context) (model.Status, error)

	mu     sync.Mutex
	status model.Status
	err    error
	asked  time.Time
}

func newStatusCache(ask func(context.Context) (model.Status, error)) *statusCache {
	return &statusCache{ask: ask}
}

func (c *statusCache) get(ctx context.Context) (model.Status, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.asked) > statusTTL {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askLimit)
		defer cancel()
		c.status, c.err = c.ask(ctx)
		c.asked = time.Now()
	}
	return c.status, c.err
}

// readings are what the pages may ask.
type readings struct {
	Service
	status *statusCache
}

// Status comes from the cache.
func (r readings) Status(ctx context.Context) (model.Status, error) { return r.status.get(ctx) }

var _ web.Source = readings{}
