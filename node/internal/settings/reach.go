package settings

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Reach is a destination that builds may connect to.
type Reach struct {
	To   netip.Prefix // IPv4
	Port uint16       // of TCP and UDP; 0 means all of them, and every protocol
}

// ParseReach reads an IPv4 address or range, with a port behind a colon if only
// that one is meant: "10.0.5.7", "10.0.5.0/24", "10.0.5.7:3128".
func ParseReach(text string) (Reach, error) {
	bad := fmt.Errorf("%q: want an IPv4 address or range, such as 10.0.5.7, 10.0.5.0/24 or 10.0.5.7:3128", text)
	to, port, hasPort := strings.Cut(text, ":")
	var r Reach
	if hasPort {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return Reach{}, bad
		}
		r.Port = uint16(n)
	}
	if !strings.Contains(to, "/") {
		to += "/32"
	}
	prefix, err := netip.ParsePrefix(to)
	if err != nil || !prefix.Addr().Is4() || prefix.Masked() != prefix {
		return Reach{}, bad
	}
	r.To = prefix
	return r, nil
}

// Reached is what BuildReach lists. It must have been validated.
func (s Settings) Reached() []Reach {
	var out []Reach
	for _, text := range s.BuildReach {
		if r, err := ParseReach(text); err == nil {
			out = append(out, r)
		}
	}
	return out
}
