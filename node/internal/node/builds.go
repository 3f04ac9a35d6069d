package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hubship/hubship/node/internal/cgroup"
	"github.com/hubship/hubship/node/internal/programs"
	"github.com/hubship/hubship/node/internal/resolver"
	"github.com/hubship/hubship/node/internal/settings"
)

// What all containers of builds together may take, so that one that eats
// without end leaves the node alive. Processors are not withheld from them:
// builds only come second when pods want them, too.
const (
	buildMemoryPart = 4 // all but one of so many parts of the machine's memory
	buildProcesses  = 4096
	buildWeight     = 50 // of processors, where what has no weight of its own has 100
)

// limitBuilds makes the cgroup of builds with its limits.
func limitBuilds(s settings.Settings) error {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return fmt.Errorf("find the machine's memory: %w", err)
	}
	total := info.Totalram * uint64(info.Unit)
	if err := cgroup.Create(s.BuildsCgroup()); err != nil {
		return err
	}
	return cgroup.Limit(s.BuildsCgroup(), cgroup.Limits{
		Memory: total - total/buildMemoryPart, Processes: buildProcesses, Weight: buildWeight,
	})
}

// resolveTimeout bounds the look-up of a proxy's name.
const resolveTimeout = 5 * time.Second

// buildReach is what builds need of the networks around the machine: its name
// servers, the proxies that lead out, and what the settings list.
func (n *Node) buildReach(ctx context.Context) ([]settings.Reach, error) {
	plan, err := resolver.Read("/etc/resolv.conf", n.s.HostIP().String())
	if err != nil {
		return nil, err
	}
	reach := n.s.Reached()
	for _, server := range plan.Servers {
		// The plan names IPv4 addresses only.
		if addr, err := netip.ParseAddr(server); err == nil {
			reach = append(reach, settings.Reach{To: netip.PrefixFrom(addr, 32), Port: 53})
		}
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	for _, key := range programs.Proxied {
		value := os.Getenv(key)
		if value == "" {
			continue
		}
		found, err := reachProxy(ctx, value)
		if err != nil {
			// Builds may do without it, and it may hold a password.
			n.log.Warn("builds cannot reach the proxy set in the environment", "variable", key, "error", err)
		}
		reach = append(reach, found...)
	}
	return reach, nil
}

// reachProxy is the address of a proxy as the environment names it.
func reachProxy(ctx context.Context, value string) ([]settings.Reach, error) {
	u, err := url.Parse(value)
	if err != nil || u.Hostname() == "" {
		return nil, errors.New("it is not of the form http://HOST:PORT")
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	if err != nil || port == 0 {
		port = map[string]uint64{"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}[u.Scheme]
	}
	if port == 0 {
		return nil, errors.New("it has no port")
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip4", u.Hostname())
	if err != nil {
		return nil, fmt.Errorf("look up %s: %w", u.Hostname(), err)
	}
	var out []settings.Reach
	for _, addr := range addrs {
		out = append(out, settings.Reach{To: netip.PrefixFrom(addr.Unmap(), 32), Port: uint16(port)})
	}
	return out, nil
}
