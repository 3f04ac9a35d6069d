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
		Kinds: c.Kinds, Capabilities: c.Capabilities, Privileged: c.PodSecurity == "privileged", NoUserScheduler: c.NoUserScheduler,
	}
}
