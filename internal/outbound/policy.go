package outbound

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// Policy is what an installation lets be reached, besides the Internet.
type Policy struct {
	Allow []Allowed // by the operator
	Own   []Range   // addresses of the installation itself
}

// Allowed is something that the operator lets be reached: a range of addresses,
// or a host by its name.
type Allowed struct {
	Range netip.Prefix // not valid for a host
	Host  string       // in lower case, without a dot at its end; "*.example.edu" for all below
	Port  uint16       // 0 means every port
}

// Decide says whether an address may be reached: nil, or a *RefusedError with
// the reason. Of all the ranges that the address lies in, the narrowest
// decides: those of the Internet, of the installation, and of the operator. Of
// two that are the same the operator's counts, and then the installation's. So
// an operator who allows 10.0.0.0/8 does not open the pods' 10.201.0.0/24 with
// it, and whoever means that says so.
//
// It is the one rule, and pure. Hosts that are allowed by name are the caller's
// to know (Policy.allowsHost), since an address does not tell its name.
func Decide(to netip.AddrPort, p Policy) error {
	addr := canonical(to.Addr())
	if !addr.IsValid() {
		return &RefusedError{What: "no address"}
	}
	bits, what := -1, ""
	narrower := func(r netip.Prefix, w string) {
		if r.Bits() >= bits && r.Contains(addr) {
			bits, what = r.Bits(), w
		}
	}
	for _, r := range special {
		narrower(r.Prefix, r.What)
	}
	for _, r := range p.Own {
		narrower(r.Prefix, r.What)
	}
	for _, a := range p.Allow {
		if a.Range.IsValid() && a.opens(to.Port()) {
			narrower(a.Range, "")
		}
	}
	if bits < 0 || what != "" {
		return &RefusedError{What: what}
	}
	return nil
}

// allowsHost says whether the operator lets a host be reached by its name,
// whatever address that stands for.
func (p Policy) allowsHost(host string, port uint16) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	for _, a := range p.Allow {
		if a.Host == "" || !a.opens(port) {
			continue
		}
		if below, ok := strings.CutPrefix(a.Host, "*."); host == a.Host || ok && strings.HasSuffix(host, "."+below) {
			return true
		}
	}
	return false
}

func (a Allowed) opens(port uint16) bool { return a.Port == 0 || a.Port == port }

var hostName = regexp.MustCompile(`^(\*\.)?([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\.)*[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

// ParseAllowed reads what an operator allows: an address, a range or a host,
// with a port behind a colon if only that one is meant: "10.0.5.7",
// "10.1.0.0/16", "[fd00::7]:443", "charts.internal.example.edu:8443",
// "*.internal.example.edu".
func ParseAllowed(text string) (Allowed, error) {
	bad := func(why string) (Allowed, error) {
		return Allowed{}, fmt.Errorf("%q: %s; expected an address, a range or a host, such as 10.0.5.7, 10.1.0.0/16 or charts.example.edu:8443", text, why)
	}
	name, port := text, uint16(0)
	_, errAddr := netip.ParseAddr(text)
	_, errRange := netip.ParsePrefix(text)
	if i := strings.LastIndexByte(text, ':'); i >= 0 && errAddr != nil && errRange != nil {
		n, err := strconv.ParseUint(text[i+1:], 10, 16)
		if err != nil || n == 0 {
			return bad("the port is not valid")
		}
		name, port = strings.TrimSuffix(strings.TrimPrefix(text[:i], "["), "]"), uint16(n)
	}
	if addr, err := netip.ParseAddr(name); err == nil {
		if addr.Zone() != "" {
			return bad("an address with a zone cannot be allowed")
		}
		return Allowed{Range: netip.PrefixFrom(canonical(addr), canonical(addr).BitLen()), Port: port}, nil
	}
	if r, err := netip.ParsePrefix(name); err == nil {
		switch {
		case r.Masked() != r:
			return bad("the range begins at " + r.Masked().Addr().String())
		case r.Addr().Is4In6() || nat64.Overlaps(r) && r.Bits() >= nat64.Bits():
			return bad("write the IPv4 range that it stands for")
		case r.Bits() == 0:
			return bad("it covers everything, and narrower ranges are still refused")
		}
		return Allowed{Range: r, Port: port}, nil
	}
	host := strings.ToLower(strings.TrimSuffix(name, "."))
	if !hostName.MatchString(host) || len(host) > 253 || net.ParseIP(host) != nil || numeric(host) {
		return bad("it is neither")
	}
	return Allowed{Host: host, Port: port}, nil
}

// numeric says that a name is an address in one of its older spellings, such as
// 127.1 or 0x7f000001.
func numeric(host string) bool {
	last := host[strings.LastIndexByte(host, '.')+1:]
	_, err := strconv.ParseUint(last, 0, 64)
	return err == nil
}

// ParsePolicy reads what an operator allows.
func ParsePolicy(allow []string) (Policy, error) {
	var p Policy
	for _, text := range allow {
		a, err := ParseAllowed(text)
		if err != nil {
			return Policy{}, fmt.Errorf("allow-outbound %w", err)
		}
		p.Allow = append(p.Allow, a)
	}
	return p, nil
}
