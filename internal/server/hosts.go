package server

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/hubship/hubship/internal/server/web"
)

// How long what the service said is believed.
const (
	hostsTTL       = time.Second
	hostsPatience  = 200 * time.Millisecond
	statusTTL      = 2 * time.Second
	statusPatience = 2 * time.Second
	askLimit       = 20 * time.Second // for one answer of the service
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
	hosts, err := s.hosts.get(r.Context())
	if err != nil && r.Context().Err() == nil {
		s.log.Warn("the names of the hubs are not known", "error", err)
	}
	if entry, ok := hosts[name]; ok && s.opts.Dial != nil {
		s.proxy.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), entryKey{}, entry)))
		return
	}
	if r.URL.Path == HooksPath {
		// A forge delivers under whatever name a reverse proxy has; what it
		// signed can come from no page.
		s.own.ServeHTTP(w, r)
		return
	}
	// Nobody has signed in under such a name: it is not told what names there are.
	web.Misdirected(w, name)
}

func (s *Server) isOwnName(name string) bool {
	switch name {
	case "localhost", "127.0.0.1", "::1":
		return true
	}
	if u, err := url.Parse(s.opts.PublicURL); err == nil && u.Hostname() != "" && strings.EqualFold(u.Hostname(), name) {
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

// hostEntry is a route and the key that connections to it are pooled under.
type hostEntry struct {
	Route
	key string
}

// hostTable knows which names there are.
type hostTable struct{ memo[map[string]hostEntry] }

// newHostTable asks the service. When it cannot tell, what it said last stays
// true: hubs that run stay reachable.
func newHostTable(ask func(context.Context) (map[string]Route, error)) *hostTable {
	t := &hostTable{}
	t.ttl, t.patience = hostsTTL, hostsPatience
	var last map[string]hostEntry // one ask at a time
	t.ask = func(ctx context.Context) (map[string]hostEntry, error) {
		routes, err := ask(ctx)
		if err != nil && last != nil {
			return last, nil
		}
		if err != nil {
			return nil, err
		}
		last = make(map[string]hostEntry, len(routes))
		for host, route := range routes {
			last[hostName(host)] = hostEntry{Route: route, key: routeKey(route)}
		}
		return last, nil
	}
	return t
}
