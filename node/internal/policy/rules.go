package policy

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// Table is the name of the nftables table in the node's own network.
const Table = "hubship-policy"

// Net is what the rules need to know of the node's network.
type Net struct {
	Pods, Services netip.Prefix
	Builds         netip.Prefix // part of Pods; held by rules of its own
	Node, Host     netip.Addr   // the node's address and the machine's on their link
	APIPort        int
	Uplink         string // the node's interface that leads to the machine
}

// Rules is the whole table for nft, which replaces the one before in one
// transaction. It stands after the translation of Services to pods, in the
// hooks forward and input.
//
//   - What has been let through goes on, in both directions.
//   - The machine reaches every pod: it is the node, as the kubelet is. Of the
//     node itself it reaches the API server alone.
//   - A pod without a verdict reaches nobody, and nobody reaches it.
//   - Of the node, a pod reaches the API server alone, if it has been given a
//     token to show there and its policies let it.
//   - A pod always reaches itself, also by way of a Service.
//
// What is refused is answered, so that a program fails at once.
func Rules(n Net, verdicts []Verdict) string {
	chains := map[string]string{} // by name
	var from, to, self, tokens []string
	for _, v := range verdicts {
		from = append(from, v.Pod.IP.String()+" : "+verdict(chains, "e", "daddr", v.Egress))
		to = append(to, v.Pod.IP.String()+" : "+verdict(chains, "i", "saddr", v.Ingress))
		self = append(self, v.Pod.IP.String()+" . "+v.Pod.IP.String())
		if v.Pod.Token {
			tokens = append(tokens, v.Pod.IP.String())
		}
	}
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("table ip %s\ndelete table ip %s\ntable ip %s {", Table, Table, Table)
	for _, name := range slices.Sorted(maps.Keys(chains)) {
		line("\tchain %s {\n%s\t\t%s\n\t}", name, chains[name], refuse)
	}
	line("\tchain from {")
	if len(from) > 0 {
		line("\t\tip saddr vmap { %s }", strings.Join(from, ", "))
	}
	line("\t\tdrop\n\t}\n\tchain to {")
	line("\t\tip daddr != %s return", n.Pods)
	line("\t\tip daddr %s return", n.Host)
	if len(to) > 0 {
		line("\t\tip daddr vmap { %s }", strings.Join(to, ", "))
	}
	line("\t\tdrop\n\t}\n\tchain forward {\n\t\ttype filter hook forward priority filter - 5; policy accept;")
	line("\t\tct state established,related accept")
	line("\t\tiifname %q accept", n.Uplink)
	line("\t\tip saddr %s accept", n.Builds)
	if len(self) > 0 {
		line("\t\tip saddr . ip daddr { %s } accept", strings.Join(self, ", "))
	}
	line("\t\tjump from\n\t\tjump to\n\t}")
	line("\tchain input {\n\t\ttype filter hook input priority filter - 5; policy accept;")
	line("\t\tiifname \"lo\" accept")
	line("\t\tct state established,related accept")
	line("\t\ticmp type echo-request accept")
	line("\t\tiifname %q ip daddr %s tcp dport %d accept", n.Uplink, n.Node, n.APIPort)
	if len(tokens) > 0 {
		line("\t\tiifname != %q ip saddr { %s } ip daddr %s tcp dport %d jump from", n.Uplink, strings.Join(tokens, ", "), n.Node, n.APIPort)
		line("\t\tiifname != %q ip saddr { %s } ip daddr %s tcp dport %d accept", n.Uplink, strings.Join(tokens, ", "), n.Node, n.APIPort)
	}
	line("\t\t%s\n\t}\n}", refuse)
	return b.String()
}

const refuse = "reject with icmp type admin-prohibited"

// verdict is what becomes of a packet of one pod in one direction. Pods for
// which the same holds share a chain, which is named by its content.
func verdict(chains map[string]string, prefix, peer string, s Side) string {
	if !s.Isolated {
		return "return"
	}
	var b strings.Builder
	for _, a := range s.Allows {
		for _, p := range peersOf(peer, a) {
			for _, q := range portsOf(a) {
				fmt.Fprintf(&b, "\t\t%s\n", strings.Join(strings.Fields(p+" "+q+" return"), " "))
			}
		}
	}
	sum := sha256.Sum256([]byte(b.String()))
	name := prefix + "-" + hex.EncodeToString(sum[:8])
	chains[name] = b.String()
	return "goto " + name
}

// peersOf lists the matches of which one has to hold.
func peersOf(peer string, a Allow) []string {
	if a.Anybody {
		return []string{""}
	}
	var out []string
	if len(a.Pods) > 0 {
		out = append(out, "ip "+peer+" { "+join(a.Pods)+" }")
	}
	for _, block := range a.Blocks {
		match := "ip " + peer + " " + block.Range.String()
		if block.Range.Bits() == 0 {
			match = ""
		}
		if len(block.Except) > 0 {
			match += " ip " + peer + " != { " + join(block.Except) + " }"
		}
		out = append(out, match)
	}
	return out
}

func portsOf(a Allow) []string {
	if a.AnyPort {
		return []string{""}
	}
	by := map[string][]Range{}
	for _, r := range a.Ports {
		by[r.Protocol] = append(by[r.Protocol], r)
	}
	var out []string
	for _, protocol := range slices.Sorted(maps.Keys(by)) {
		var parts []string
		for _, r := range merge(by[protocol]) {
			if r.First == r.Last {
				parts = append(parts, fmt.Sprint(r.First))
			} else {
				parts = append(parts, fmt.Sprintf("%d-%d", r.First, r.Last))
			}
		}
		out = append(out, protocol+" dport { "+strings.Join(parts, ", ")+" }")
	}
	return out
}

// merge makes ranges that neither overlap nor touch, in order: nftables takes
// no others in a set.
func merge(in []Range) []Range {
	in = slices.Clone(in)
	slices.SortFunc(in, func(a, b Range) int { return cmp.Compare(a.First, b.First) })
	var out []Range
	for _, r := range in {
		if n := len(out); n > 0 && uint32(r.First) <= uint32(out[n-1].Last)+1 {
			out[n-1].Last = max(out[n-1].Last, r.Last)
			continue
		}
		out = append(out, r)
	}
	return out
}

func join[T fmt.Stringer](in []T) string {
	out := make([]string, len(in))
	for i, v := range in {
		out[i] = v.String()
	}
	return strings.Join(out, ", ")
}
