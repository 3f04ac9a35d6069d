package policy

import (
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Decide says what holds for each pod, in the order of their addresses. It is
// the specification of networking.k8s.io/v1: a pod that no policy of its
// namespace selects for a direction is open in it; one that policies select is
// closed but for the union of what they allow. What cannot be read (a selector
// or range that the API should have refused) allows nothing.
func Decide(w World) []Verdict {
	out := make([]Verdict, 0, len(w.Pods))
	for _, pod := range w.Pods {
		v := Verdict{Pod: pod}
		for _, p := range w.Policies {
			if p.Namespace != pod.Namespace || !matches(&p.Spec.PodSelector, pod.Labels) {
				continue
			}
			ingress, egress := directions(p)
			if ingress {
				v.Ingress.Isolated = true
				for _, rule := range p.Spec.Ingress {
					v.Ingress.Allows = append(v.Ingress.Allows, w.ingress(p.Namespace, pod, rule)...)
				}
			}
			if egress {
				v.Egress.Isolated = true
				for _, rule := range p.Spec.Egress {
					v.Egress.Allows = append(v.Egress.Allows, w.egress(p.Namespace, rule)...)
				}
			}
		}
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b Verdict) int { return a.Pod.IP.Compare(b.Pod.IP) })
	return out
}

// directions says for which directions a policy isolates the pods it selects.
// Without policyTypes it does so for ingress, and for egress if it has a rule.
func directions(p *networkingv1.NetworkPolicy) (ingress, egress bool) {
	if len(p.Spec.PolicyTypes) == 0 {
		return true, len(p.Spec.Egress) > 0
	}
	return slices.Contains(p.Spec.PolicyTypes, networkingv1.PolicyTypeIngress),
		slices.Contains(p.Spec.PolicyTypes, networkingv1.PolicyTypeEgress)
}

// ingress is a rule of what may reach the pod: names of ports are its own.
func (w World) ingress(namespace string, pod Pod, rule networkingv1.NetworkPolicyIngressRule) []Allow {
	a := w.peers(namespace, rule.From)
	a.AnyPort = len(rule.Ports) == 0
	for _, port := range rule.Ports {
		a.Ports = append(a.Ports, ranges(port, pod.Ports)...)
	}
	return worth(a)
}

// egress is a rule of what may be reached: names of ports are those of the pod
// that is reached.
func (w World) egress(namespace string, rule networkingv1.NetworkPolicyEgressRule) []Allow {
	a := w.peers(namespace, rule.To)
	a.AnyPort = len(rule.Ports) == 0
	var named []networkingv1.NetworkPolicyPort
	for _, port := range rule.Ports {
		if port.Port != nil && port.Port.Type == intstr.String {
			named = append(named, port)
			continue
		}
		a.Ports = append(a.Ports, ranges(port, nil)...)
	}
	out := worth(a)
	if len(named) == 0 {
		return out
	}
	for _, peer := range w.Pods {
		if !a.permitsPeer(peer.IP) {
			continue
		}
		at := Allow{Pods: []netip.Addr{peer.IP}}
		for _, port := range named {
			at.Ports = append(at.Ports, ranges(port, peer.Ports)...)
		}
		out = append(out, worth(at)...)
	}
	return out
}

// worth leaves out what lets nothing through.
func worth(a Allow) []Allow {
	if !a.AnyPort && len(a.Ports) == 0 || !a.Anybody && len(a.Pods) == 0 && len(a.Blocks) == 0 {
		return nil
	}
	return []Allow{a}
}

// peers is whom a rule names, without its ports.
func (w World) peers(namespace string, named []networkingv1.NetworkPolicyPeer) Allow {
	if len(named) == 0 {
		return Allow{Anybody: true}
	}
	var a Allow
	for _, peer := range named {
		if peer.IPBlock != nil {
			if block, ok := block(*peer.IPBlock); ok {
				a.Blocks = append(a.Blocks, block)
			}
			continue
		}
		for _, pod := range w.Pods {
			if peer.NamespaceSelector == nil && pod.Namespace != namespace {
				continue
			}
			if peer.NamespaceSelector != nil && !w.inNamespace(pod, peer.NamespaceSelector) {
				continue
			}
			if peer.PodSelector == nil && peer.NamespaceSelector == nil {
				continue // The API takes no peer that names nobody.
			}
			if peer.PodSelector != nil && !matches(peer.PodSelector, pod.Labels) {
				continue
			}
			a.Pods = append(a.Pods, pod.IP)
		}
	}
	slices.SortFunc(a.Pods, netip.Addr.Compare)
	a.Pods = slices.Compact(a.Pods)
	return a
}

// inNamespace says whether the pod's namespace is selected. A namespace that is
// not known (yet) is not: not even by a selector that takes all.
func (w World) inNamespace(pod Pod, s *metav1.LabelSelector) bool {
	have, known := w.Namespaces[pod.Namespace]
	return known && matches(s, have)
}

func matches(s *metav1.LabelSelector, have map[string]string) bool {
	selector, err := metav1.LabelSelectorAsSelector(s)
	return err == nil && selector.Matches(labels.Set(have))
}

// block reads an ipBlock. One of IPv6 names nobody here.
func block(b networkingv1.IPBlock) (Block, bool) {
	whole, ok := range4(b.CIDR)
	if !ok {
		return Block{}, false
	}
	out := Block{Range: whole}
	for _, text := range b.Except {
		e, ok := range4(text)
		if !ok {
			if _, err := netip.ParsePrefix(text); err == nil {
				continue // of IPv6: not inside
			}
			return Block{}, false
		}
		if e.Bits() <= whole.Bits() && e.Contains(whole.Addr()) {
			return Block{}, false // nothing is left of it
		}
		out.Except = append(out.Except, e)
	}
	// nftables takes no range inside another one in a set.
	slices.SortFunc(out.Except, func(a, b netip.Prefix) int {
		if a.Bits() != b.Bits() {
			return a.Bits() - b.Bits()
		}
		return a.Addr().Compare(b.Addr())
	})
	var apart []netip.Prefix
	for _, e := range out.Except {
		if !slices.ContainsFunc(apart, func(wider netip.Prefix) bool { return wider.Overlaps(e) }) {
			apart = append(apart, e)
		}
	}
	out.Except = apart
	return out, true
}

func range4(text string) (netip.Prefix, bool) {
	p, err := netip.ParsePrefix(text)
	if err != nil || !p.Addr().Is4() {
		return netip.Prefix{}, false
	}
	return p.Masked(), true
}

// ranges is a port of a rule in numbers. A name stands for the ports of that
// name and protocol among those of the pod that is reached.
func ranges(port networkingv1.NetworkPolicyPort, of []Port) []Range {
	protocol := protocolOf(port.Protocol)
	switch {
	case port.Port == nil:
		return []Range{{protocol, 0, 65535}}
	case port.Port.Type == intstr.String:
		var out []Range
		for _, p := range of {
			if p.Name == port.Port.StrVal && p.Protocol == protocol {
				out = append(out, Range{protocol, p.Number, p.Number})
			}
		}
		return out
	}
	first, last := port.Port.IntVal, port.Port.IntVal
	if port.EndPort != nil {
		last = *port.EndPort
	}
	if first < 0 || last > 65535 || first > last {
		return nil
	}
	return []Range{{protocol, uint16(first), uint16(last)}}
}

func protocolOf(p *corev1.Protocol) string {
	if p == nil {
		return "tcp"
	}
	return strings.ToLower(string(*p))
}
