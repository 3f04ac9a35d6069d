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

// Browsers send hubship's cookies to no hub: they are of another host. Should
// one come along all the same, put there by somebody, it goes no further.

func (s *Server) cookieNames() []string {
	if s.opts.SignIn == nil {
		return nil
	}
	return s.opts.SignIn.CookieNames()
}

// keepCookies takes hubship's own cookies out of a request to a hub.
func (s *Server) keepCookies(h http.Header) {
	names := s.cookieNames()
	mine := func(line string) bool {
		return slices.ContainsFunc(names, func(n string) bool { return strings.Contains(line, n) })
	}
	lines := h["Cookie"]
	if !slices.ContainsFunc(lines, mine) {
		return // as it is, byte by byte
	}
	kept := make([]string, 0, len(lines))
	for _, line := range lines {
		pairs := slices.DeleteFunc(strings.Split(line, ";"), mine)
		if len(pairs) > 0 {
			kept = append(kept, strings.TrimSpace(strings.Join(pairs, ";")))
		}
	}
	h["Cookie"] = kept
}

// refuseCookies takes out of a hub's answer cookies that are named as hubship's.
func (s *Server) refuseCookies(h http.Header) {
	names := s.cookieNames()
	if lines, ok := h["Set-Cookie"]; ok && len(names) > 0 {
		h["Set-Cookie"] = slices.DeleteFunc(lines, func(line string) bool {
			name, _, _ := strings.Cut(line, "=")
			return slices.Contains(names, strings.TrimSpace(name))
		})
	}
}
