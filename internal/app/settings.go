package app

import (
	"os"

	"github.com/hubship/hubship/internal/git"
	"github.com/hubship/hubship/internal/install"
	"github.com/hubship/hubship/internal/process"
	"github.com/hubship/hubship/internal/release/confine"
	"github.com/hubship/hubship/internal/secrets"
)

// processOf is the owner of an installation's process.
func processOf(g *git.Repo, s install.Settings) *process.Owner {
	return process.New(g, s.ProcessBranch)
}

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

// secretKeys are what an installation opens encrypted files with: its own age
// identity, where there is one that can be read, and what its operator named.
func secretKeys(p install.Paths, s install.Settings) secrets.Keys {
	keys := secrets.Keys{}
	if f, err := os.Open(p.AgeKey); err == nil && f.Close() == nil {
		keys.AgeFiles = append(keys.AgeFiles, p.AgeKey)
	}
	if s.Keys == nil {
		return keys
	}
	keys.AgeFiles = append(keys.AgeFiles, s.Keys.AgeFiles...)
	for _, k := range s.Keys.Services {
		keys.Services = append(keys.Services, secrets.Service{Kind: k.Kind, Allow: k.Allow, Credentials: k.Credentials})
	}
	return keys
}
