package policy

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"pgregory.net/rapid"
)

// The world of these tests: three namespaces, two labels, few ports.
var (
	spaces    = []string{"a", "b", "c"}
	protocols = []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP}
	numbers   = []int32{53, 80, 81, 8000}
	names     = []string{"http", "dns"}
	outside   = netip.MustParseAddr("203.0.113.9")
)

func drawLabels(t *rapid.T, what string) map[string]string {
	out := map[string]string{}
	for _, key := range []string{"app", "role"} {
		if v := rapid.SampledFrom([]string{"", "x", "y"}).Draw(t, what+key); v != "" {
			out[key] = v
		}
	}
	return out
}

func drawSelector(t *rapid.T, what string) *metav1.LabelSelector {
	s := &metav1.LabelSelector{MatchLabels: drawLabels(t, what)}
	if rapid.Bool().Draw(t, what+"expression") {
		s.MatchExpressions = []metav1.LabelSelectorRequirement{{
			Key:      "app",
			Operator: rapid.SampledFrom([]metav1.LabelSelectorOperator{metav1.LabelSelectorOpExists, metav1.LabelSelectorOpDoesNotExist}).Draw(t, what+"operator"),
		}}
	}
	return s
}

func drawPeers(t *rapid.T) (out []networkingv1.NetworkPolicyPeer) {
	for range rapid.IntRange(0, 2).Draw(t, "peers") {
		switch rapid.IntRange(0, 3).Draw(t, "kind of peer") {
		case 0:
			out = append(out, networkingv1.NetworkPolicyPeer{PodSelector: drawSelector(t, "peer ")})
		case 1:
			out = append(out, networkingv1.NetworkPolicyPeer{NamespaceSelector: drawSelector(t, "space ")})
		case 2:
			out = append(out, networkingv1.NetworkPolicyPeer{PodSelector: drawSelector(t, "peer "), NamespaceSelector: drawSelector(t, "space ")})
		case 3:
			blocks := []string{"0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/30", "203.0.113.0/24", "10.1.0.3/32"}
			block := &networkingv1.IPBlock{CIDR: rapid.SampledFrom(blocks).Draw(t, "block")}
			block.Except = rapid.SliceOfN(rapid.SampledFrom(blocks[1:]), 0, 3).Draw(t, "except")
			out = append(out, networkingv1.NetworkPolicyPeer{IPBlock: block})
		}
	}
	return out
}

func drawPorts(t *rapid.T) (out []networkingv1.NetworkPolicyPort) {
	for range rapid.IntRange(0, 2).Draw(t, "ports") {
		var p networkingv1.NetworkPolicyPort
		if rapid.Bool().Draw(t, "with protocol") {
			protocol := rapid.SampledFrom(protocols).Draw(t, "protocol")
			p.Protocol = &protocol
		}
		switch rapid.IntRange(0, 3).Draw(t, "kind of port") {
		case 0:
			n := intstr.FromInt32(rapid.SampledFrom(numbers).Draw(t, "number"))
			p.Port = &n
		case 1:
			n := intstr.FromString(rapid.SampledFrom(names).Draw(t, "name"))
			p.Port = &n
		case 2:
			n := intstr.FromInt32(80)
			end := rapid.SampledFrom([]int32{80, 81, 9000}).Draw(t, "end")
			p.Port, p.EndPort = &n, &end
		}
		out = append(out, p)
	}
	return out
}

func drawWorld(t *rapid.T) World {
	w := World{Namespaces: map[string]map[string]string{}}
	for _, s := range spaces[:2] { // the third one is not known yet
		w.Namespaces[s] = drawLabels(t, "namespace ")
	}
	for i := range rapid.IntRange(1, 5).Draw(t, "pods") {
		p := Pod{
			Namespace: rapid.SampledFrom(spaces).Draw(t, "pod's namespace"), Name: fmt.Sprintf("p%d", i),
			IP: netip.AddrFrom4([4]byte{10, 1, 0, byte(i + 2)}), Labels: drawLabels(t, "pod "), Token: rapid.Bool().Draw(t, "token"),
		}
		for _, name := range names {
			if rapid.Bool().Draw(t, "has "+name) {
				p.Ports = append(p.Ports, Port{Name: name, Protocol: rapid.SampledFrom([]string{"tcp", "udp"}).Draw(t, "its protocol"), Number: uint16(rapid.SampledFrom(numbers).Draw(t, "its number"))})
			}
		}
		w.Pods = append(w.Pods, p)
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "policies") {
		p := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint(i), Namespace: rapid.SampledFrom(spaces).Draw(t, "its namespace")}}
		p.Spec.PodSelector = *drawSelector(t, "selects ")
		p.Spec.PolicyTypes = rapid.SampledFrom([][]networkingv1.PolicyType{
			nil, {networkingv1.PolicyTypeIngress}, {networkingv1.PolicyTypeEgress}, {networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress},
		}).Draw(t, "types")
		for range rapid.IntRange(0, 2).Draw(t, "ingress rules") {
			p.Spec.Ingress = append(p.Spec.Ingress, networkingv1.NetworkPolicyIngressRule{From: drawPeers(t), Ports: drawPorts(t)})
		}
		for range rapid.IntRange(0, 2).Draw(t, "egress rules") {
			p.Spec.Egress = append(p.Spec.Egress, networkingv1.NetworkPolicyEgressRule{To: drawPeers(t), Ports: drawPorts(t)})
		}
		w.Policies = append(w.Policies, p)
	}
	return w
}

// packet is one new connection, between pods or with an address outside.
type packet struct {
	from, to *Pod
	src, dst netip.Addr
	protocol string
	port     uint16
}

// specified says by the text of the API whether a direction lets the packet
// through, one packet at a time and without any of Decide's means.
func specified(w World, pk packet, egress bool) bool {
	subject, peer, peerIP := pk.to, pk.from, pk.src
	if egress {
		subject, peer, peerIP = pk.from, pk.to, pk.dst
	}
	if subject == nil {
		return true
	}
	isolated := false
	for _, p := range w.Policies {
		if p.Namespace != subject.Namespace || !matches(&p.Spec.PodSelector, subject.Labels) {
			continue
		}
		types := p.Spec.PolicyTypes
		if types == nil {
			types = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
			if len(p.Spec.Egress) > 0 {
				types = append(types, networkingv1.PolicyTypeEgress)
			}
		}
		if egress && slices.Contains(types, networkingv1.PolicyTypeEgress) {
			isolated = true
			for _, r := range p.Spec.Egress {
				if peerOK(w, p.Namespace, r.To, peer, peerIP) && portOK(r.Ports, pk) {
					return true
				}
			}
		}
		if !egress && slices.Contains(types, networkingv1.PolicyTypeIngress) {
			isolated = true
			for _, r := range p.Spec.Ingress {
				if peerOK(w, p.Namespace, r.From, peer, peerIP) && portOK(r.Ports, pk) {
					return true
				}
			}
		}
	}
	return !isolated
}

func peerOK(w World, namespace string, peers []networkingv1.NetworkPolicyPeer, pod *Pod, ip netip.Addr) bool {
	for _, p := range peers {
		if p.IPBlock != nil {
			in := netip.MustParsePrefix(p.IPBlock.CIDR).Contains(ip)
			for _, e := range p.IPBlock.Except {
				in = in && !netip.MustParsePrefix(e).Contains(ip)
			}
			if in {
				return true
			}
			continue
		}
		if pod == nil {
			continue
		}
		space := pod.Namespace == namespace
		if p.NamespaceSelector != nil {
			labels, known := w.Namespaces[pod.Namespace]
			space = known && matches(p.NamespaceSelector, labels)
		}
		if space && (p.PodSelector == nil || matches(p.PodSelector, pod.Labels)) {
			return true
		}
	}
	return len(peers) == 0
}

func portOK(ports []networkingv1.NetworkPolicyPort, pk packet) bool {
	for _, p := range ports {
		protocol := "tcp"
		if p.Protocol != nil {
			protocol = strings.ToLower(string(*p.Protocol))
		}
		if protocol != pk.protocol {
			continue
		}
		switch {
		case p.Port == nil:
			return true
		case p.Port.Type == intstr.String:
			if pk.to == nil {
				continue
			}
			for _, have := range pk.to.Ports {
				if have.Name == p.Port.StrVal && have.Protocol == protocol && have.Number == pk.port {
					return true
				}
			}
		case p.EndPort != nil:
			if int32(pk.port) >= p.Port.IntVal && int32(pk.port) <= *p.EndPort {
				return true
			}
		case p.Port.IntVal == int32(pk.port):
			return true
		}
	}
	return len(ports) == 0
}

// In any world each connection is let through exactly when the API's text says
// so.
func TestDecideIsTheSpecification(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		verdicts := map[netip.Addr]Verdict{}
		for _, v := range Decide(w) {
			verdicts[v.Pod.IP] = v
		}
		ends := []*Pod{nil}
		for i := range w.Pods {
			ends = append(ends, &w.Pods[i])
		}
		for _, from := range ends {
			for _, to := range ends {
				for _, protocol := range []string{"tcp", "udp", "sctp", "icmp"} {
					for _, port := range []uint16{53, 80, 81, 443, 8000, 9000} {
						pk := packet{from: from, to: to, src: outside, dst: outside, protocol: protocol, port: port}
						out, in := true, true
						if from != nil {
							pk.src = from.IP
						}
						if to != nil {
							pk.dst = to.IP
						}
						if from != nil {
							out = verdicts[from.IP].Egress.Permits(pk.dst, protocol, port)
						}
						if to != nil {
							in = verdicts[to.IP].Ingress.Permits(pk.src, protocol, port)
						}
						if want := specified(w, pk, true); out != want {
							t.Fatalf("egress %s -> %s %s %d: %v, want %v", pk.src, pk.dst, protocol, port, out, want)
						}
						if want := specified(w, pk, false); in != want {
							t.Fatalf("ingress %s -> %s %s %d: %v, want %v", pk.src, pk.dst, protocol, port, in, want)
						}
					}
				}
			}
		}
	})
}

var testNet = Net{
	Pods: netip.MustParsePrefix("10.1.0.0/24"), Services: netip.MustParsePrefix("10.2.0.0/24"), Builds: netip.MustParsePrefix("10.1.0.192/27"),
	Node: netip.MustParseAddr("10.1.0.1"), Host: netip.MustParseAddr("10.1.0.254"), APIPort: 17400, Uplink: "uplink0",
}

// nft itself says whether the rules of any world are rules.
func TestRulesAreValid(t *testing.T) {
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("nft is not installed: apt-get install nftables")
	}
	if os.Geteuid() != 0 {
		t.Skip("nft checks rules as root only")
	}
	check := func(t interface{ Fatalf(string, ...any) }, rules string) {
		cmd := exec.Command("nft", "--check", "-f", "-")
		cmd.Stdin = strings.NewReader(rules)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s\n%s", err, out, rules)
		}
	}
	check(t, Rules(testNet, nil))
	tries := 0
	rapid.Check(t, func(r *rapid.T) {
		if tries++; tries > 40 { // each takes a run of nft
			return
		}
		check(r, Rules(testNet, Decide(drawWorld(r))))
	})
}

// A pod of which nothing is known reaches nobody, and nobody reaches it.
func TestNoVerdictIsShut(t *testing.T) {
	rules := Rules(testNet, nil)
	for _, chain := range []string{"from", "to"} {
		_, body, ok := strings.Cut(rules, "\tchain "+chain+" {\n")
		body, _, _ = strings.Cut(body, "\t}")
		if !ok || !strings.HasSuffix(body, "\t\tdrop\n") || strings.Contains(body, "vmap") {
			t.Errorf("chain %s of a node without pods:\n%s", chain, body)
		}
	}
	if strings.Contains(rules, "jump from\n\t\tiifname") || !strings.Contains(rules, refuse) {
		t.Error(rules)
	}
}

// Pods with the same rules share them, and only those with a token reach the
// API server.
func TestRulesOfManyPods(t *testing.T) {
	w := World{Namespaces: map[string]map[string]string{"a": nil}}
	for i := range 60 {
		w.Pods = append(w.Pods, Pod{Namespace: "a", Name: fmt.Sprint(i), IP: netip.AddrFrom4([4]byte{10, 1, 0, byte(i + 2)}), Token: i == 7})
	}
	w.Policies = []*networkingv1.NetworkPolicy{{
		ObjectMeta: metav1.ObjectMeta{Namespace: "a"},
		Spec:       networkingv1.NetworkPolicySpec{PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}},
	}}
	rules := Rules(testNet, Decide(w))
	if n := strings.Count(rules, "\tchain e-"); n != 1 {
		t.Errorf("%d chains for one policy", n)
	}
	if !strings.Contains(rules, `ip saddr { 10.1.0.9 } ip daddr 10.1.0.1 tcp dport 17400 jump from`) {
		t.Error("the pod with a token does not reach the API server by its policies")
	}
}

// What is stripped from the copies of pods changes nothing of what is read.
func TestStripKeepsWhatIsRead(t *testing.T) {
	object := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "p", Labels: map[string]string{"app": "x"}}}
	object.Spec.Containers = []corev1.Container{{Name: "c", Image: "i", Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 80}, {ContainerPort: 81}}}}
	object.Spec.InitContainers = []corev1.Container{{Name: "i", Ports: []corev1.ContainerPort{{Name: "dns", ContainerPort: 53, Protocol: corev1.ProtocolUDP}}}}
	object.Spec.Volumes = []corev1.Volume{{VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
		Sources: []corev1.VolumeProjection{{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{}}},
	}}}}
	ip := netip.MustParseAddr("10.1.0.2")
	before := describe(object.DeepCopy(), ip)
	stripped, err := strip(object)
	if err != nil {
		t.Fatal(err)
	}
	after := describe(stripped.(*corev1.Pod), ip)
	if fmt.Sprint(before) != fmt.Sprint(after) || !after.Token || len(after.Ports) != 2 {
		t.Errorf("%+v, stripped %+v", before, after)
	}
}
