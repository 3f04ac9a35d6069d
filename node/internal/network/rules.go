package network

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hubship/hubship/node/internal/settings"
)

// hostRules is the machine's table for one node. Pods and builds leave through
// the machine's routes under its address; nobody but the machine itself may
// open a connection into the node, and nothing in the node may open one to the
// machine, save for name resolution. That holds before the machine's own
// translations, too: a port that it forwards elsewhere is still its own. Of the
// machine's users root alone reaches pods and Services, which are hubship's to
// show; the API server asks everybody for a certificate.
func hostRules(s settings.Settings) string {
	return strings.NewReplacer(
		"TABLE", s.Table(), "LINK", s.Bridge, "PODS", s.PodCIDR, "SERVICES", s.ServiceCIDR,
		"NODE", s.NodeIP, "HOST", s.HostIP().String(), "APIPORT", strconv.Itoa(s.Port(settings.PortAPIServer)),
	).Replace(`table ip TABLE
delete table ip TABLE
table ip TABLE {
	chain prerouting {
		type filter hook prerouting priority mangle; policy accept;
		iifname != "LINK" accept
		ct state established,related accept
		fib daddr type != local accept
		meta l4proto { tcp, udp } th dport 53 accept
		icmp type echo-request accept
		drop
	}
	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr PODS oifname != "LINK" masquerade
	}
	chain forward {
		type filter hook forward priority filter; policy accept;
		oifname "LINK" ct state established,related accept
		oifname "LINK" drop
		iifname "LINK" ip daddr { PODS, SERVICES, 169.254.0.0/16 } drop
	}
	chain input {
		type filter hook input priority filter; policy accept;
		iifname "LINK" ct state established,related accept
		iifname "LINK" meta l4proto { tcp, udp } th dport 53 accept
		iifname "LINK" icmp type echo-request accept
		iifname "LINK" drop
		iifname != "lo" ip daddr HOST drop
	}
	chain output {
		type filter hook output priority filter; policy accept;
		ip daddr { PODS, SERVICES } oifname != { "LINK", "lo" } drop
		oifname "LINK" ct state established,related accept
		oifname "LINK" ip daddr NODE tcp dport APIPORT accept
		oifname "LINK" meta skuid != 0 reject with icmp type admin-prohibited
	}
}
`)
}

// notOutside lists the ranges that no route of the Internet leads to: private
// networks, other translated ones, this machine and its links, tests of
// networks, multicast and what is reserved.
var notOutside = []string{
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
	"192.0.0.0/24", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/3",
}

// nodeRules is the node's own tables beside kube-proxy's. Builds run code that
// nobody has reviewed: they reach the outside and what reach lists, and neither
// pods nor Services nor the node nor the networks around the machine. The
// refusal is an answer, so that a build that tries it by mistake fails at once.
func nodeRules(s settings.Settings, reach []settings.Reach) string {
	var allowed strings.Builder
	for _, r := range reach {
		fmt.Fprintf(&allowed, "\t\tip saddr %s ip daddr %s", s.Builds(), r.To)
		if r.Port != 0 {
			fmt.Fprintf(&allowed, " meta l4proto { tcp, udp } th dport %d", r.Port)
		}
		allowed.WriteString(" accept\n")
	}
	return strings.NewReplacer(
		"BUILDS", s.Builds().String(), "PODS", s.PodCIDR, "SERVICES", s.ServiceCIDR,
		"HOST", s.HostIP().String(), "UPLINK", uplink,
		"PRIVATE", strings.Join(notOutside, ", "), "\t\tREACH\n", allowed.String(),
	).Replace(`table ip hubship
delete table ip hubship
table ip hubship {
	chain input {
		type filter hook input priority -10; policy accept;
		ip saddr BUILDS icmp type echo-request accept
		ip saddr BUILDS drop
	}
	chain forward {
		type filter hook forward priority -10; policy accept;
		ip saddr BUILDS ct state established,related accept
		ip saddr BUILDS ip daddr HOST meta l4proto { tcp, udp } th dport 53 accept
		ip saddr BUILDS ip daddr { PODS, SERVICES } reject with icmp type admin-prohibited
		REACH
		ip saddr BUILDS ip daddr { PRIVATE } reject with icmp type admin-prohibited
		oifname "UPLINK" ip daddr { PODS, SERVICES } ip daddr != HOST drop
	}
}
`)
}

// nodeRules6 is what the node has of IPv6: nothing. Containers have a link-local
// address that the kernel gives them.
const nodeRules6 = `table ip6 hubship
delete table ip6 hubship
table ip6 hubship {
	chain input {
		type filter hook input priority -10; policy accept;
		iifname != "lo" drop
	}
	chain forward {
		type filter hook forward priority -10; policy drop;
	}
}
`

// nftTimeout bounds one run of nft, which takes milliseconds.
const nftTimeout = 20 * time.Second

// applyRules hands a whole ruleset to nft as one transaction.
func applyRules(rules string) error {
	_, err := nft(rules, "-f", "-")
	return err
}

func nft(input string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), nftTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "nft", args...)
	cmd.Stdin = strings.NewReader(input)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("run nft %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(errOut.String()))
	}
	return out.String(), nil
}

func tables() ([]string, error) {
	out, err := nft("", "list", "tables")
	if err != nil {
		return nil, err
	}
	return strings.Split(strings.TrimSpace(out), "\n"), nil
}

func deleteTable(name string) error {
	have, err := tables()
	if errors.Is(err, exec.ErrNotFound) {
		return nil // Without nft no table was ever made.
	}
	if err != nil {
		return fmt.Errorf("list nftables tables: %w", err)
	}
	for _, line := range have {
		if line == "table ip "+name {
			if _, err := nft("", "delete", "table", "ip", name); err != nil {
				return fmt.Errorf("delete nftables table %s: %w", name, err)
			}
		}
	}
	return nil
}

// forwardingMark remembers, across all nodes of the machine, that it did not
// forward packets before the first of them came.
const forwardingMark = "/run/hubship/ip_forward.off"

const forwardingKey = "net/ipv4/ip_forward"

func enableForwarding() error {
	old, err := os.ReadFile("/proc/sys/" + forwardingKey)
	if err != nil {
		return fmt.Errorf("read sysctl %s: %w", forwardingKey, err)
	}
	if strings.TrimSpace(string(old)) == "1" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(forwardingMark), 0o700); err != nil {
		return fmt.Errorf("remember that the machine did not forward: %w", err)
	}
	if err := os.WriteFile(forwardingMark, nil, 0o644); err != nil {
		return fmt.Errorf("remember that the machine did not forward: %w", err)
	}
	return writeSysctl(forwardingKey, "1")
}

// restoreForwarding switches forwarding off again if a node has switched it on
// and none is left.
func restoreForwarding() error {
	if _, err := os.Stat(forwardingMark); err != nil {
		return nil
	}
	others, err := OthersUp()
	if err != nil || others {
		return err
	}
	if err := writeSysctl(forwardingKey, "0"); err != nil {
		return err
	}
	if err := os.Remove(forwardingMark); err != nil {
		return fmt.Errorf("forget that the machine did not forward: %w", err)
	}
	return nil
}

// OthersUp reports whether any node is up on the machine. A node that asks must
// have taken its own network down.
func OthersUp() (bool, error) {
	have, err := tables()
	if errors.Is(err, exec.ErrNotFound) {
		return false, nil // Without nft no node can be up.
	}
	if err != nil {
		return false, fmt.Errorf("list nftables tables: %w", err)
	}
	return slices.ContainsFunc(have, func(line string) bool {
		return strings.HasPrefix(line, "table ip hubship-")
	}), nil
}
