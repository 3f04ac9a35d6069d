package install

import (
	"fmt"
	"net/netip"
	"regexp"
)

// Charts say what charts of the deployment repository may do beyond what
// hubship lets every chart do. The zero value allows nothing more.
type Charts struct {
	// Kinds are kinds of objects that Kubernetes does not have itself, or that
	// charts usually have no business with: "monitoring.coreos.com/ServiceMonitor".
	Kinds []string `json:"kinds,omitempty"`
	// Capabilities that containers may add: "NET_ADMIN".
	Capabilities []string `json:"capabilities,omitempty"`
	// PodSecurity is the Pod Security Standard that pods are held to:
	// "baseline", which is also meant by "", or "privileged".
	PodSecurity string `json:"podSecurity,omitempty"`
	// UserScheduler lets charts have the rights of Zero to JupyterHub's user
	// scheduler, which reach pods of all namespaces.
	UserScheduler bool `json:"userScheduler,omitempty"`
	// ExternalIPs are addresses that Services may take: whatever anything in
	// the cluster sends to one of them goes to the Service.
	ExternalIPs []string `json:"externalIPs,omitempty"`
}

var (
	kindName       = regexp.MustCompile(`^([a-z0-9.-]+/)?[A-Z][A-Za-z0-9]*$`)
	capabilityName = regexp.MustCompile(`^[A-Z][A-Z_]*$`)
)

func (c *Charts) problems() []error {
	if c == nil {
		return nil
	}
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("charts: "+format, args...)) }
	for _, k := range c.Kinds {
		if !kindName.MatchString(k) {
			bad("kinds: %q: expected GROUP/Kind, such as monitoring.coreos.com/ServiceMonitor", k)
		}
	}
	for _, name := range c.Capabilities {
		if !capabilityName.MatchString(name) || name == "ALL" {
			bad("capabilities: %q: expected the name of one capability, such as NET_ADMIN", name)
		}
	}
	for _, ip := range c.ExternalIPs {
		if _, err := netip.ParseAddr(ip); err != nil {
			bad("externalIPs: %q: expected an address, such as 192.0.2.7", ip)
		}
	}
	if c.PodSecurity != "" && c.PodSecurity != "baseline" && c.PodSecurity != "privileged" {
		bad("podSecurity %q: expected baseline or privileged", c.PodSecurity)
	}
	return errs
}
