package outbound

import "net/netip"

// Range is a range of addresses with what is to be said about it.
type Range struct {
	Prefix netip.Prefix
	What   string // why it is refused: "a private address"; "" for what is public
}

// special are the ranges that are not simply the Internet, by the registries of
// special-purpose addresses (RFC 6890) at IANA, and the addresses at which
// clouds tell a machine its credentials. Of those that overlap the narrowest
// counts: IPv6 is refused but for 2000::/3, the part that is given out, and in
// that again what is not for hosts.
var special = ranges(
	"0.0.0.0/0", "",
	"0.0.0.0/8", "an unspecified address",
	"10.0.0.0/8", "a private address",
	"100.64.0.0/10", "a carrier-grade NAT address",
	"127.0.0.0/8", "a loopback address",
	"168.63.129.16/32", "a cloud's service for its machines",
	"169.254.0.0/16", "a link-local address",
	"169.254.169.254/32", "a cloud's service for its machines",
	"172.16.0.0/12", "a private address",
	"192.0.0.0/24", "a reserved address",
	"192.0.2.0/24", "an address for documentation",
	"192.31.196.0/24", "a reserved address",
	"192.52.193.0/24", "a reserved address",
	"192.88.99.0/24", "a reserved address",
	"192.168.0.0/16", "a private address",
	"192.175.48.0/24", "a reserved address",
	"198.18.0.0/15", "an address for benchmarks",
	"198.51.100.0/24", "an address for documentation",
	"203.0.113.0/24", "an address for documentation",
	"224.0.0.0/4", "a multicast address",
	"240.0.0.0/4", "a reserved address",

	"::/0", "a reserved address",
	"::/128", "an unspecified address",
	"::1/128", "a loopback address",
	"2000::/3", "",
	"2001::/23", "a reserved address", // Teredo, benchmarks, ORCHID
	"2001:db8::/32", "an address for documentation",
	"2002::/16", "a 6to4 address",
	"3fff::/20", "an address for documentation",
	"64:ff9b:1::/48", "an address that is translated locally",
	"fc00::/7", "a private address",
	"fd00:ec2::254/128", "a cloud's service for its machines",
	"fd20:ce::254/128", "a cloud's service for its machines",
	"fe80::/10", "a link-local address",
	"ff00::/8", "a multicast address",
)

// nat64 translates to IPv4 (RFC 6052): the last four bytes are the address that
// is reached.
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// canonical is the address that is reached by an address: IPv4 that is written
// as IPv6, or reached through NAT64, is IPv4; a zone says only by which way.
func canonical(a netip.Addr) netip.Addr {
	a = a.WithZone("").Unmap()
	if nat64.Contains(a) {
		b := a.As16()
		return netip.AddrFrom4([4]byte(b[12:]))
	}
	return a
}

func ranges(pairs ...string) []Range {
	out := make([]Range, 0, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, Range{Prefix: netip.MustParsePrefix(pairs[i]), What: pairs[i+1]})
	}
	return out
}
