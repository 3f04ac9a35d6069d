// Package clientaddr finds the address of whoever made an HTTP request, also
// behind reverse proxies.
//
// The headers of a request are what its sender likes them to be. An address in
// X-Forwarded-For counts only when a proxy that the operator trusts has written
// it: the last entry is that of the proxy which connected to us, the one before
// is that of the proxy which connected to that one, and so on. So the list is
// read from its end, and no further than the first address that is not a
// trusted proxy's. See
// https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/X-Forwarded-For
package clientaddr

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
)

// maxHops bounds how much of X-Forwarded-For is looked at. Nobody has more
// proxies than that in a row; a longer list is an attempt to keep us busy.
const maxHops = 32

// Of returns the address of the client behind r: that of the connection, or,
// when a trusted proxy is at its other end, the one which the proxies report.
//
// It is the invalid Addr when the connection has no IP address, as one over a
// Unix socket. When what a trusted proxy reports cannot be read, it is that
// proxy's address: never one that the client chose.
func Of(r *http.Request, trusted []netip.Prefix) netip.Addr {
	at := peer(r)
	if !at.IsValid() || !within(at, trusted) {
		return at
	}
	// A header may come in several lines, which are one list (RFC 9110, 5.3).
	rest := strings.Join(r.Header.Values("X-Forwarded-For"), ",")
	for range maxHops {
		var entry string
		if i := strings.LastIndexByte(rest, ','); i >= 0 {
			entry, rest = rest[i+1:], rest[:i]
		} else {
			entry, rest = rest, ""
		}
		next, ok := parse(strings.TrimSpace(entry))
		if !ok {
			return at
		}
		at = next
		if !within(at, trusted) {
			return at
		}
	}
	return at
}

// Trusted says whether a trusted proxy is at the other end of the connection
// itself: only then do X-Forwarded-Proto and X-Forwarded-Host mean anything.
func Trusted(r *http.Request, trusted []netip.Prefix) bool {
	at := peer(r)
	return at.IsValid() && within(at, trusted)
}

// ParsePrefixes reads ranges of addresses as people write them: "10.0.0.0/8",
// or an address alone for that address.
func ParsePrefixes(texts []string) ([]netip.Prefix, error) {
	prefixes := make([]netip.Prefix, 0, len(texts))
	for _, text := range texts {
		if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
			a = a.Unmap()
			prefixes = append(prefixes, netip.PrefixFrom(a, a.BitLen()))
			continue
		}
		p, err := netip.ParsePrefix(text)
		if err != nil || p.Addr().Is4In6() {
			return nil, fmt.Errorf("%q is not an address range; write it as 10.0.0.0/8 or fd00::/8", text)
		}
		prefixes = append(prefixes, p.Masked())
	}
	return prefixes, nil
}

// peer is the address at the other end of the connection.
func peer(r *http.Request) netip.Addr {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return plain(at.Addr())
}

// plain writes an address in one way: the same client must not have several
// names, or every limit could be had several times.
func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

// parse reads an entry of X-Forwarded-For. Some proxies add a port.
func parse(entry string) (netip.Addr, bool) {
	if a, err := netip.ParseAddr(entry); err == nil {
		return plain(a), true
	}
	if at, err := netip.ParseAddrPort(entry); err == nil {
		return plain(at.Addr()), true
	}
	if inner, ok := strings.CutPrefix(entry, "["); ok {
		if inner, ok = strings.CutSuffix(inner, "]"); ok {
			if a, err := netip.ParseAddr(inner); err == nil && a.Is6() {
				return plain(a), true
			}
		}
	}
	return netip.Addr{}, false
}

func within(a netip.Addr, prefixes []netip.Prefix) bool {
	for _, p := range prefixes {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
