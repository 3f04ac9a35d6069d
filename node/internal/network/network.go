// Package network joins a node's network namespace to the machine: one veth
// pair, one route per range, one nftables table on each side. Everything that
// it makes on the machine bears the node's name or hangs on the pair.
package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"

	"github.com/hubship/hubship/node/internal/policy"
	"github.com/hubship/hubship/node/internal/settings"
)

const (
	// uplink is the node's end of the pair.
	uplink = "uplink0"
	// anchor is a bridge without ports inside the node. It bears the node's
	// address, and catches what is sent to an address that nothing has claimed.
	anchor = "node0"
)

// Executor runs functions inside the node's network namespace.
type Executor interface {
	Do(func() error) error
	Pid() int
}

// Up builds the link between the machine and the node and sets the firewall on
// both sides. reach is what builds may connect to although it lies in a private
// range. Up expects that Down has removed what an earlier run left.
func Up(s settings.Settings, reach []settings.Reach, node Executor) error {
	mtu, err := MachineMTU()
	if err != nil {
		return fmt.Errorf("find the MTU of the default route: %w", err)
	}
	if err := hostLink(s, node.Pid(), mtu); err != nil {
		return fmt.Errorf("set up interface %s: %w", s.Bridge, err)
	}
	if err := node.Do(func() error { return nodeLink(s, mtu) }); err != nil {
		return fmt.Errorf("set up the node's network: %w", err)
	}
	if err := hostRoutes(s); err != nil {
		return fmt.Errorf("route to the node: %w", err)
	}
	// No pod has a policy yet: until its own rules are set it reaches nobody.
	rules := nodeRules(s, reach) + policy.Rules(PolicyNet(s), nil)
	if _, err := os.Stat("/proc/sys/net/ipv6"); err == nil {
		rules += nodeRules6
	}
	if err := ApplyInNode(node, rules); err != nil {
		return fmt.Errorf("set the node's firewall: %w", err)
	}
	if err := applyRules(hostRules(s)); err != nil {
		return fmt.Errorf("set the machine's firewall for the node: %w", err)
	}
	return enableForwarding()
}

// ApplyInNode hands rules to nft in the node's network, as one transaction.
func ApplyInNode(node Executor, rules string) error {
	return node.Do(func() error { return applyRules(rules) })
}

// ForgetConnections ends what the node's connection tracking knows of an
// address.
func ForgetConnections(node Executor, ip netip.Addr) error {
	return node.Do(func() error {
		var any []netlink.CustomConntrackFilter
		for _, end := range []netlink.ConntrackFilterType{
			netlink.ConntrackOrigSrcIP, netlink.ConntrackOrigDstIP, netlink.ConntrackReplySrcIP, netlink.ConntrackReplyDstIP,
		} {
			filter := &netlink.ConntrackFilter{}
			if err := filter.AddIP(end, ip.AsSlice()); err != nil {
				return err
			}
			any = append(any, filter)
		}
		_, err := netlink.ConntrackDeleteFilters(netlink.ConntrackTable, netlink.FAMILY_V4, any...)
		return err
	})
}

// PolicyNet is the node's network as the rules of network policies see it.
func PolicyNet(s settings.Settings) policy.Net {
	return policy.Net{
		Pods: s.Pods(), Builds: s.Builds(), Services: s.Services(),
		Node: netip.MustParseAddr(s.NodeIP), Host: s.HostIP(),
		APIPort: s.Port(settings.PortAPIServer), Uplink: uplink,
	}
}

// Down removes what Up has made on the machine. What is gone already is no
// error; the node's own side goes with its namespace.
func Down(s settings.Settings) error {
	var errs []error
	if link, err := netlink.LinkByName(s.Bridge); err == nil {
		if link.Type() != "veth" {
			errs = append(errs, fmt.Errorf("interface %s is a %s and does not belong to the node: set another bridge in the settings", s.Bridge, link.Type()))
		} else if err := netlink.LinkDel(link); err != nil && !isNotFound(err) {
			errs = append(errs, fmt.Errorf("remove interface %s: %w", s.Bridge, err))
		}
	}
	if err := deleteTable(s.Table()); err != nil {
		errs = append(errs, err)
	}
	if err := restoreForwarding(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func isNotFound(err error) bool {
	var notFound netlink.LinkNotFoundError
	return errors.As(err, &notFound)
}

// fallbackMTU serves a machine without a default route.
const fallbackMTU = 1500

// MachineMTU is the MTU of the interface that the default route takes, in bytes.
func MachineMTU() (int, error) {
	routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return 0, err
	}
	for _, route := range routes {
		if route.Dst != nil && !route.Dst.IP.IsUnspecified() {
			continue
		}
		link, err := netlink.LinkByIndex(route.LinkIndex)
		if err != nil {
			return 0, err
		}
		return link.Attrs().MTU, nil
	}
	return fallbackMTU, nil
}

func hostLink(s settings.Settings, pid, mtu int) error {
	pair := &netlink.Veth{
		LinkAttrs:     netlink.LinkAttrs{Name: s.Bridge, MTU: mtu, TxQLen: 1000},
		PeerName:      uplink,
		PeerMTU:       uint32(mtu),
		PeerNamespace: netlink.NsPid(pid),
	}
	if err := netlink.LinkAdd(pair); err != nil {
		return fmt.Errorf("add the pair: %w", err)
	}
	// IPv6 stays off: the ranges of the node are IPv4.
	if err := writeSysctl("net/ipv6/conf/"+s.Bridge+"/disable_ipv6", "1"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := addAddress(s.Bridge, netip.PrefixFrom(s.HostIP(), 32)); err != nil {
		return err
	}
	return setUp(s.Bridge)
}

func hostRoutes(s settings.Settings) error {
	host := s.HostIP()
	node := netip.MustParseAddr(s.NodeIP)
	if err := addRoute(s.Bridge, netip.PrefixFrom(node, 32), netip.Addr{}, host); err != nil {
		return err
	}
	for _, dst := range []netip.Prefix{s.Pods(), s.Services()} {
		if err := addRoute(s.Bridge, dst, node, host); err != nil {
			return err
		}
	}
	return nil
}

// nodeLink runs inside the node's namespace.
func nodeLink(s settings.Settings, mtu int) error {
	node := netip.MustParseAddr(s.NodeIP)
	for key, value := range map[string]string{
		"net/ipv4/ip_forward":                "1",
		"net/ipv6/conf/all/disable_ipv6":     "1",
		"net/ipv6/conf/default/disable_ipv6": "1",
		// Answers of pods take another interface than the route back when they
		// leave through a Service. Links of containers made from now on have
		// one address: packets from any other are forged.
		"net/ipv4/conf/all/rp_filter":      "0",
		"net/ipv4/conf/default/rp_filter":  "1",
		"net/ipv4/conf/all/send_redirects": "0",
	} {
		if err := writeSysctl(key, value); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if err := setUp("lo"); err != nil {
		return err
	}
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: anchor, MTU: mtu}}
	if err := netlink.LinkAdd(bridge); err != nil {
		return fmt.Errorf("add bridge %s: %w", anchor, err)
	}
	if err := addAddress(anchor, netip.PrefixFrom(node, 32)); err != nil {
		return err
	}
	for _, link := range []string{anchor, uplink} {
		if err := writeSysctl("net/ipv4/conf/"+link+"/rp_filter", "0"); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if err := setUp(link); err != nil {
			return err
		}
	}
	host := s.HostIP()
	if err := addRoute(uplink, netip.PrefixFrom(host, 32), netip.Addr{}, node); err != nil {
		return err
	}
	if err := addRoute(uplink, netip.PrefixFrom(netip.IPv4Unspecified(), 0), host, node); err != nil {
		return err
	}
	for _, dst := range []netip.Prefix{s.Pods(), s.Services()} {
		if err := addRoute(anchor, dst, netip.Addr{}, node); err != nil {
			return err
		}
	}
	return nil
}

func setUp(name string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find interface %s: %w", name, err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("set interface %s up: %w", name, err)
	}
	return nil
}

func addAddress(name string, p netip.Prefix) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find interface %s: %w", name, err)
	}
	if err := netlink.AddrAdd(link, &netlink.Addr{IPNet: ipNet(p)}); err != nil {
		return fmt.Errorf("add address %s to %s: %w", p, name, err)
	}
	return nil
}

// addRoute adds a route over an interface, by way of a gateway unless that is
// the zero address.
func addRoute(name string, dst netip.Prefix, gateway, source netip.Addr) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find interface %s: %w", name, err)
	}
	route := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: ipNet(dst), Src: source.AsSlice()}
	if gateway.IsValid() {
		route.Gw = gateway.AsSlice()
		route.SetFlag(netlink.FLAG_ONLINK)
	} else {
		route.Scope = netlink.SCOPE_LINK
	}
	if err := netlink.RouteAdd(route); err != nil {
		return fmt.Errorf("add route %s over %s: %w", dst, name, err)
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), 32)}
}

// Overlaps lists the addresses and routes of the machine that lie in one of the
// node's ranges, other than those over the node's own interface.
func Overlaps(s settings.Settings) ([]string, error) {
	own := 0
	if link, err := netlink.LinkByName(s.Bridge); err == nil {
		own = link.Attrs().Index
	}
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return nil, fmt.Errorf("list the machine's routes: %w", err)
	}
	var found []string
	for _, route := range routes {
		if route.Dst == nil || route.LinkIndex == own && own != 0 {
			continue
		}
		ones, _ := route.Dst.Mask.Size()
		ip, ok := netip.AddrFromSlice(route.Dst.IP.To4())
		if !ok || ones == 0 {
			continue
		}
		dst := netip.PrefixFrom(ip, ones)
		for _, want := range []netip.Prefix{s.Pods(), s.Services()} {
			if dst.Overlaps(want) && dst.Bits() >= 8 {
				found = append(found, fmt.Sprintf("%s overlaps the route %s over %s", want, dst, linkName(route.LinkIndex)))
			}
		}
	}
	return found, nil
}

func linkName(index int) string {
	link, err := netlink.LinkByIndex(index)
	if err != nil {
		return "interface " + strconv.Itoa(index)
	}
	return link.Attrs().Name
}

func writeSysctl(key, value string) error {
	path := "/proc/sys/" + key
	old, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read sysctl %s: %w", key, err)
	}
	if strings.Join(strings.Fields(string(old)), " ") == value {
		return nil
	}
	if err := os.WriteFile(path, []byte(value), 0o644); err != nil {
		return fmt.Errorf("set sysctl %s to %s: %w", key, value, err)
	}
	return nil
}

// ForeignLink returns the kind of an interface that has the name of the node's
// and is not one; empty when there is none.
func ForeignLink(s settings.Settings) string {
	link, err := netlink.LinkByName(s.Bridge)
	if err != nil || link.Type() == "veth" {
		return ""
	}
	return link.Type()
}
