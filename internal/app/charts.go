package app

import (
	"github.com/hubship/hubship/internal/install"
	"github.com/hubship/hubship/internal/release/confine"
)

// allowedCharts is what charts may do beyond the usual in an installation.
func allowedCharts(s install.Settings) confine.Allowed {
	c := s.Charts
	if c == nil {
		return confine.Allowed{}
	}
	return confine.Allowed{
		Kinds: c.Kinds, Capabilities: c.Capabilities, Privileged: c.PodSecurity == "privileged", UserScheduler: c.UserScheduler,
		ExternalIPs: c.ExternalIPs,
	}
}

// podSecurity is the standard of the namespaces that hubship makes. Kubernetes
// knows no baseline with one capability more.
func podSecurity(s install.Settings) string {
	if a := allowedCharts(s); a.Privileged || len(a.Capabilities) > 0 {
		return "privileged"
	}
	return "baseline"
}
