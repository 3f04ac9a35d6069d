package install

import (
	"net/netip"

	"github.com/hubship/hubship/internal/outbound"
)

// Outbound says what may be reached, besides the Internet, for what changes and
// contributors name: chart repositories, registries, webhooks.
type Outbound struct {
	// Allow lists addresses, ranges and hosts, each with a port if only that
	// one is meant.
	Allow []string `json:"allow"`
}

func (o *Outbound) problems() []error {
	if o == nil {
		return nil
	}
	if _, err := outbound.ParsePolicy(o.Allow); err != nil {
		return []error{err}
	}
	return nil
}

// OutboundPolicy is what may be reached for what changes and contributors name.
// The settings must be valid.
func (s Settings) OutboundPolicy() (outbound.Policy, error) {
	var p outbound.Policy
	if s.Outbound != nil {
		var err error
		if p, err = outbound.ParsePolicy(s.Outbound.Allow); err != nil {
			return p, err
		}
	}
	if s.Node == nil {
		return p, nil
	}
	for cidr, what := range map[string]string{s.Node.PodCIDR: "an address of this installation's pods", s.Node.ServiceCIDR: "an address of this installation's Services"} {
		r, err := netip.ParsePrefix(cidr)
		if err != nil {
			return p, err
		}
		p.Own = append(p.Own, outbound.Range{Prefix: r.Masked(), What: what})
	}
	return p, nil
}
