// Package policy enforces NetworkPolicies: it decides, for every pod of the
// node, whom it may reach and who may reach it, and has nftables hold it. The
// decision is one pure function (Decide), its text for nftables another (Rules);
// Controller feeds both from the API and from the CNI plugin, which waits until
// a new pod's rules are in force.
package policy

import (
	"net/netip"

	networkingv1 "k8s.io/api/networking/v1"
)

// Pod is what the rules need to know of a pod with an address of its own. Pods
// in the node's network are not among them: policies do not hold for these.
type Pod struct {
	Namespace, Name string
	IP              netip.Addr
	Labels          map[string]string
	// Ports are the named ones of its containers.
	Ports []Port
	// Token says that it is given a service account's token, the only thing
	// with which the API server lets a pod in.
	Token bool
}

// Port is a named port of a container.
type Port struct {
	Name     string
	Protocol string // "tcp", "udp" or "sctp"
	Number   uint16
}

// World is everything that the decision depends on.
type World struct {
	Pods []Pod
	// Namespaces are the labels of each namespace by its name.
	Namespaces map[string]map[string]string
	Policies   []*networkingv1.NetworkPolicy
}

// Verdict is what holds for one pod.
type Verdict struct {
	Pod             Pod
	Ingress, Egress Side
}

// Side is one direction. Without Isolated everything is let through; with it
// only what one of the Allows lets through.
type Side struct {
	Isolated bool
	Allows   []Allow
}

// Permits says whether a new connection is let through. port is that of the
// connection's destination; it counts for tcp, udp and sctp.
func (s Side) Permits(peer netip.Addr, protocol string, port uint16) bool {
	if !s.Isolated {
		return true
	}
	for _, a := range s.Allows {
		if a.permits(peer, protocol, port) {
			return true
		}
	}
	return false
}

// Allow lets the peers through that it names, at the ports that it names.
type Allow struct {
	// Anybody lets every peer through; otherwise those of Pods and Blocks.
	Anybody bool
	Pods    []netip.Addr // sorted, each once
	Blocks  []Block
	// AnyPort lets every protocol and port through; otherwise those of Ports.
	AnyPort bool
	Ports   []Range
}

func (a Allow) permits(peer netip.Addr, protocol string, port uint16) bool {
	return a.permitsPeer(peer) && a.permitsPort(protocol, port)
}

func (a Allow) permitsPeer(peer netip.Addr) bool {
	if a.Anybody {
		return true
	}
	for _, ip := range a.Pods {
		if ip == peer {
			return true
		}
	}
	for _, b := range a.Blocks {
		if b.contains(peer) {
			return true
		}
	}
	return false
}

func (a Allow) permitsPort(protocol string, port uint16) bool {
	if a.AnyPort {
		return true
	}
	for _, r := range a.Ports {
		if r.Protocol == protocol && r.First <= port && port <= r.Last {
			return true
		}
	}
	return false
}

// Block is a range of addresses without some that lie in it.
type Block struct {
	Range  netip.Prefix
	Except []netip.Prefix // sorted, none inside another
}

func (b Block) contains(ip netip.Addr) bool {
	if !b.Range.Contains(ip) {
		return false
	}
	for _, e := range b.Except {
		if e.Contains(ip) {
			return false
		}
	}
	return true
}

// Range is one or more ports of a protocol.
type Range struct {
	Protocol    string // "tcp", "udp" or "sctp"
	First, Last uint16
}
