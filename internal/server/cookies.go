package server

import (
	"net/http"
	"net/http/httputil"
	"slices"
	"strings"

	"github.com/hubship/hubship/internal/clientaddr"
)

// forwarded tells a hub who asks, and over what. What a trusted proxy says of
// the client goes on; what anybody else says does not.
func (s *Server) forwarded(p *httputil.ProxyRequest) {
	if !clientaddr.Trusted(p.In, s.opts.Trusted) {
		p.SetXForwarded()
		return
	}
	p.Out.Header["X-Forwarded-For"] = p.In.Header["X-Forwarded-For"]
	p.SetXForwarded() // adds the proxy itself
	for _, name := range []string{"X-Forwarded-Proto", "X-Forwarded-Host"} {
		if v := p.In.Header.Get(name); v != "" {
			p.Out.Header.Set(name, v)
		}
	}
}

// Browsers send hubship's cookies, and its forge's, to no hub: they are of another
// host. Should one come along all the same, put there by somebody, it goes no
// further, and no hub sets one.

// ownCookie says whether a cookie, as it stands in a header, is called as those of
// hubship and its forge are, whatever installation's.
func ownCookie(cookie string) bool {
	// A browser sends a cookie without a name as its value alone.
	name := strings.TrimLeft(cookie, "= \t")
	return strings.HasPrefix(strings.TrimPrefix(name, "__Host-"), "hubship_")
}

// keepCookies takes hubship's own cookies out of a request to a hub.
func keepCookies(h http.Header) {
	lines := h["Cookie"]
	if !slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, "hubship_") }) {
		return // as it is, byte by byte
	}
	kept := make([]string, 0, len(lines))
	for _, line := range lines {
		pairs := slices.DeleteFunc(strings.Split(line, ";"), ownCookie)
		if len(pairs) > 0 {
			kept = append(kept, strings.TrimSpace(strings.Join(pairs, ";")))
		}
	}
	h["Cookie"] = kept
}

// refuseCookies takes out of a hub's answer cookies that are named as hubship's.
func refuseCookies(h http.Header) {
	if lines, ok := h["Set-Cookie"]; ok {
		h["Set-Cookie"] = slices.DeleteFunc(lines, ownCookie)
	}
}
