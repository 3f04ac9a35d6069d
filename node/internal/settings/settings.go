// Package settings reads and checks the settings of one node, and derives from
// them every path, port and address that the node uses.
package settings

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Settings describes one node. Two nodes live on one machine when none of
// these values is shared between them.
type Settings struct {
	// Name tells nodes apart: it is part of the node's name in Kubernetes, of
	// its cgroup, of its nftables table and of the kubeconfig's context.
	Name string `json:"name"`
	// DataDir holds all that outlives the node's processes: etcd, images,
	// volumes, certificates and logs. Absolute.
	DataDir string `json:"dataDir"`
	// RunDir holds sockets and the state of what runs. Absolute; emptied at
	// each start.
	RunDir string `json:"runDir"`
	// Bridge names the network interface of the machine that leads to the
	// node. At most 15 bytes.
	Bridge string `json:"bridge"`
	// NodeIP is the node's own address, inside PodCIDR.
	NodeIP string `json:"nodeIP"`
	// PodCIDR is the IPv4 range of pods and builds, /16 to /24.
	PodCIDR string `json:"podCIDR"`
	// ServiceCIDR is the IPv4 range of Services, /16 to /26.
	ServiceCIDR string `json:"serviceCIDR"`
	// PortBase is the first of the 32 ports that the node counts from.
	PortBase int `json:"portBase"`
	// Fsync makes etcd write through to the disk. Only a cluster that may be
	// thrown away can do without.
	Fsync bool `json:"fsync"`
	// BuildReach lists what builds may reach although it lies in a private
	// range, such as a mirror of a package index: IPv4 addresses or ranges,
	// each with a port if only that one is meant. The machine's name servers
	// and the proxies of its environment need not be named.
	BuildReach []string `json:"buildReach,omitempty"`
}

// Default returns the settings of the node that a machine has when nobody says
// otherwise.
func Default() Settings {
	return Settings{
		Name:        "default",
		DataDir:     "/var/lib/hubship/node",
		RunDir:      "/run/hubship/default",
		Bridge:      "hubship0",
		NodeIP:      "10.201.0.1",
		PodCIDR:     "10.201.0.0/24",
		ServiceCIDR: "10.202.0.0/24",
		PortBase:    17400,
		Fsync:       true,
	}
}

// Load reads settings from a JSON file. What the file leaves out keeps its
// default; a key that does not exist is an error.
func Load(path string) (Settings, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Settings{}, fmt.Errorf("read the node's settings: %w", err)
	}
	s := Default()
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&s); err != nil {
		return Settings{}, fmt.Errorf("read the node's settings from %s: %w", path, err)
	}
	if dec.More() {
		return Settings{}, fmt.Errorf("read the node's settings from %s: more than one JSON value", path)
	}
	if err := s.Validate(); err != nil {
		return Settings{}, fmt.Errorf("check the node's settings in %s: %w", path, err)
	}
	return s, nil
}

var (
	namePattern   = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$`)
	bridgePattern = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_.-]{0,14}$`)
)

// longestRunDir leaves room for the longest socket name below it: the kernel
// takes 107 bytes of a socket's path.
const longestRunDir = 60

// Validate reports everything that is wrong with the settings themselves. It
// does not look at the machine; that is the preflight's part.
func (s Settings) Validate() error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	if !namePattern.MatchString(s.Name) {
		fail("name %q: want 1 to 32 lower-case letters, digits and dashes", s.Name)
	}
	for key, dir := range map[string]string{"dataDir": s.DataDir, "runDir": s.RunDir} {
		if !filepath.IsAbs(dir) || filepath.Clean(dir) != dir || strings.Count(dir, "/") < 2 {
			fail("%s %q: want a clean absolute path at least two levels deep", key, dir)
		}
		if strings.ContainsAny(dir, " \t\n\"'\\:,") {
			fail("%s %q: spaces, quotes, colons and commas are not allowed", key, dir)
		}
	}
	for _, private := range []string{"/run", "/var/run", "/var/log", "/proc", "/sys", "/dev"} {
		if within(s.DataDir, private) {
			fail("dataDir %q: %s is not persistent, or is private to the node; use another place", s.DataDir, private)
		}
	}
	if within(s.DataDir, s.RunDir) || within(s.RunDir, s.DataDir) {
		fail("dataDir %q and runDir %q: neither may be inside the other", s.DataDir, s.RunDir)
	}
	if len(s.RunDir) > longestRunDir {
		fail("runDir %q: want at most %d bytes, because the paths of sockets below it are limited", s.RunDir, longestRunDir)
	}
	if !bridgePattern.MatchString(s.Bridge) {
		fail("bridge %q: want an interface name of at most 15 bytes", s.Bridge)
	}
	if s.PortBase < 1024 || s.PortBase > 65535-32 {
		fail("portBase %d: want 1024 to %d", s.PortBase, 65535-32)
	}
	errs = append(errs, s.validateRanges()...)
	for _, text := range s.BuildReach {
		if _, err := ParseReach(text); err != nil {
			errs = append(errs, fmt.Errorf("buildReach: %w", err))
		}
	}
	return errors.Join(errs...)
}

func (s Settings) validateRanges() []error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	pods, podErr := parseRange(s.PodCIDR, 16, 24)
	if podErr != nil {
		fail("podCIDR %q: %w", s.PodCIDR, podErr)
	}
	services, serviceErr := parseRange(s.ServiceCIDR, 16, 26)
	if serviceErr != nil {
		fail("serviceCIDR %q: %w", s.ServiceCIDR, serviceErr)
	}
	node, nodeErr := netip.ParseAddr(s.NodeIP)
	if nodeErr != nil || !node.Is4() {
		fail("nodeIP %q: want an IPv4 address", s.NodeIP)
	}
	if podErr == nil && serviceErr == nil && pods.Overlaps(services) {
		fail("podCIDR %s and serviceCIDR %s overlap", pods, services)
	}
	if podErr == nil && nodeErr == nil && node != pods.Addr().Next() {
		fail("nodeIP %s: want %s, the first address of podCIDR", node, pods.Addr().Next())
	}
	return errs
}

func parseRange(text string, shortest, longest int) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		return p, err
	case !p.Addr().Is4():
		return p, errors.New("want an IPv4 range")
	case p.Masked() != p:
		return p, fmt.Errorf("want the start of the range, %s", p.Masked())
	case p.Bits() < shortest || p.Bits() > longest:
		return p, fmt.Errorf("want a length of /%d to /%d", shortest, longest)
	}
	return p, nil
}

func within(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, dir+"/")
}
