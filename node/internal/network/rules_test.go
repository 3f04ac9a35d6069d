package network

import (
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/hubship/hubship/node/internal/settings"
)

// nft itself says whether the rules are rules, without setting them.
func TestRulesAreValid(t *testing.T) {
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("nft is not installed: apt-get install nftables")
	}
	if os.Geteuid() != 0 {
		t.Skip("nft checks rules as root only")
	}
	var reach []settings.Reach
	for _, text := range []string{"10.0.5.7", "10.0.5.0/24", "10.0.5.7:3128"} {
		r, err := settings.ParseReach(text)
		if err != nil {
			t.Fatal(err)
		}
		reach = append(reach, r)
	}
	for name, rules := range map[string]string{
		"host":           hostRules(settings.Default()),
		"node":           nodeRules(settings.Default(), nil),
		"node with more": nodeRules(settings.Default(), reach),
		"node, IPv6":     nodeRules6,
	} {
		if _, err := nft(rules, "--check", "-f", "-"); err != nil {
			t.Errorf("%s: %v\n%s", name, err, rules)
		}
		for _, left := range []string{"PODS", "SERVICES", "BUILDS", "LINK", "TABLE", "HOST", "UPLINK", "PRIVATE", "REACH", "NODE", "APIPORT"} {
			if strings.Contains(rules, left) {
				t.Errorf("%s: %s was not filled in", name, left)
			}
		}
	}
}

func TestOverlapsFindsTheMachinesOwnRoutes(t *testing.T) {
	s := settings.Default()
	// The kernel routes no packet of these ranges anywhere on a test machine.
	s.PodCIDR, s.ServiceCIDR = "198.18.0.0/24", "198.19.0.0/24"
	found, err := Overlaps(s)
	if err != nil || len(found) != 0 {
		t.Errorf("got %v, %v, want none", found, err)
	}
	s.PodCIDR = "127.0.0.0/24"
	if found, err = Overlaps(s); err != nil || len(found) == 0 {
		t.Errorf("got %v, %v, want the loopback's", found, err)
	}
}

// here is the machine's own network.
type here struct{}

func (here) Do(fn func() error) error { return fn() }
func (here) Pid() int                 { return os.Getpid() }

// The kernel lets connections be forgotten; nobody has this address.
func TestForgetConnections(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("connection tracking is root's alone")
	}
	if err := ForgetConnections(here{}, netip.MustParseAddr("192.0.2.77")); err != nil {
		t.Error(err)
	}
}
