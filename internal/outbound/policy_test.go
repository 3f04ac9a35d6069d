package outbound

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func allow(t testing.TB, texts ...string) Policy {
	t.Helper()
	p, err := ParsePolicy(texts)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestDecide(t *testing.T) {
	t.Parallel()
	own := []Range{
		{netip.MustParsePrefix("10.201.0.0/24"), "an address of this installation's pods"},
		{netip.MustParsePrefix("93.184.216.34/32"), "an address of this machine"},
	}
	for _, tt := range []struct {
		addr string
		want string // what it is refused for
		with []string
	}{
		{"8.8.8.8", "", nil}, {"2606:4700::1111", "", nil}, {"64:ff9b::808:808", "", nil}, {"::ffff:8.8.8.8", "", nil},
		{"127.0.0.1", "loopback", nil}, {"127.255.255.254", "loopback", nil}, {"::1", "loopback", nil}, {"::ffff:127.0.0.1", "loopback", nil},
		{"0.0.0.0", "an unspecified address", nil}, {"::", "an unspecified address", nil}, {"0.1.2.3", "an unspecified address", nil},
		{"10.0.0.1", "private", nil}, {"172.16.0.1", "private", nil}, {"172.31.255.255", "private", nil}, {"192.168.1.1", "private", nil}, {"fd12::1", "private", nil},
		{"172.32.0.1", "", nil}, {"172.15.255.255", "", nil}, {"100.63.255.255", "", nil}, {"100.128.0.0", "", nil},
		{"100.64.0.1", "carrier-grade NAT", nil}, {"100.100.100.200", "carrier-grade NAT", nil},
		{"169.254.169.254", "cloud", nil}, {"168.63.129.16", "cloud", nil}, {"fd00:ec2::254", "cloud", nil}, {"169.254.1.1", "link-local", nil},
		{"fe80::1", "link-local", nil}, {"fe80::1%eth0", "link-local", nil}, {"224.0.0.1", "multicast", nil}, {"ff02::1", "multicast", nil},
		{"255.255.255.255", "reserved", nil}, {"240.0.0.1", "reserved", nil}, {"198.18.0.1", "benchmarks", nil}, {"203.0.113.9", "documentation", nil}, {"2001:db8::1", "documentation", nil}, {"3fff::1", "documentation", nil},
		{"64:ff9b::7f00:1", "loopback", nil}, {"64:ff9b::a00:1", "private", nil}, {"64:ff9b:1::a00:1", "translated", nil},
		{"2002:a00:1::1", "6to4", nil}, {"2002:808:808::1", "6to4", nil}, {"2001:0:4136:e378:8000:63bf:3fff:fdd2", "reserved", nil},
		{"::10.0.0.1", "reserved", nil}, {"fec0::1", "reserved", nil}, {"100::1", "reserved", nil}, {"4000::1", "reserved", nil},
		{"10.201.0.7", "pods", nil}, {"93.184.216.34", "machine", nil}, {"93.184.216.35", "", nil},

		{"10.1.2.3", "", []string{"10.1.0.0/16"}}, {"10.2.2.3", "private", []string{"10.1.0.0/16"}}, {"::ffff:10.1.2.3", "", []string{"10.1.0.0/16"}},
		{"10.201.0.7", "pods", []string{"10.0.0.0/8"}}, {"10.201.0.7", "", []string{"10.201.0.7"}}, {"10.201.0.7", "", []string{"10.201.0.0/24"}},
		{"169.254.169.254", "cloud", []string{"169.254.0.0/16"}}, {"169.254.169.254", "", []string{"169.254.169.254"}},
		{"127.0.0.1", "", []string{"127.0.0.1:443"}}, {"127.0.0.1", "loopback", []string{"127.0.0.1:8080"}},
		{"127.0.0.1", "loopback", []string{"charts.example.edu"}}, {"fd00::7", "", []string{"[fd00::7]:443"}},
	} {
		p := allow(t, tt.with...)
		p.Own = own
		err := Decide(netip.AddrPortFrom(netip.MustParseAddr(tt.addr), 443), p)
		if tt.want == "" && err != nil || tt.want != "" && (!IsRefused(err) || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s with %v: %v, want %q", tt.addr, tt.with, err, tt.want)
		}
	}
	if err := Decide(netip.AddrPort{}, Policy{}); !IsRefused(err) {
		t.Errorf("no address at all: %v", err)
	}
}

func TestParseAllowed(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Allowed{
		"10.0.5.7":                         {Range: netip.MustParsePrefix("10.0.5.7/32")},
		"10.1.0.0/16":                      {Range: netip.MustParsePrefix("10.1.0.0/16")},
		"10.1.0.0/16:443":                  {Range: netip.MustParsePrefix("10.1.0.0/16"), Port: 443},
		"::ffff:10.0.5.7":                  {Range: netip.MustParsePrefix("10.0.5.7/32")},
		"fd00::/8":                         {Range: netip.MustParsePrefix("fd00::/8")},
		"[fd00::7]:443":                    {Range: netip.MustParsePrefix("fd00::7/128"), Port: 443},
		"Charts.Example.edu.":              {Host: "charts.example.edu"},
		"*.internal.example.edu:8443":      {Host: "*.internal.example.edu", Port: 8443},
		"localhost:5000":                   {Host: "localhost", Port: 5000},
		"2001:db8::5":                      {Range: netip.MustParsePrefix("2001:db8::5/128")},
		"xn--bcher-kva.example.edu":        {Host: "xn--bcher-kva.example.edu"},
		"registry-1.internal.example.edu.": {Host: "registry-1.internal.example.edu"},
	} {
		if got, err := ParseAllowed(text); err != nil || got != want {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "10.0.0.1/8", "0.0.0.0/0", "::/0", "::ffff:10.0.0.0/104", "64:ff9b::a00:0/104", "127.1", "0x7f000001", "2130706433", "*", "*.*.edu", "a b", "https://x.example.edu",
		"x.example.edu/charts", "x.example.edu:0", "x.example.edu:65536", "x.example.edu:", "fe80::1%eth0", "-x.example.edu", "10.0.0.0/33"} {
		if got, err := ParseAllowed(text); err == nil {
			t.Errorf("%q is %+v", text, got)
		}
	}
}

func TestHostsThatAreAllowed(t *testing.T) {
	t.Parallel()
	p := allow(t, "charts.example.edu", "*.lab.example.edu:8443", "10.0.0.0/8")
	for host, want := range map[string]bool{
		"charts.example.edu:443": true, "CHARTS.example.edu.:80": true, "x.charts.example.edu:443": false, "charts.example.edu.evil.org:443": false,
		"a.lab.example.edu:8443": true, "a.b.lab.example.edu:8443": true, "a.lab.example.edu:443": false, "lab.example.edu:8443": false, "evillab.example.edu:8443": false,
		"10.0.0.1:443": false, // a range is not a host
	} {
		name, port, err := split(host)
		if err != nil || p.allowsHost(name, port) != want {
			t.Errorf("%s: want %v", host, want)
		}
	}
}

// anAddress is any address, those near the edges of the special ranges above
// all.
func anAddress(t *rapid.T) netip.Addr {
	if rapid.Bool().Draw(t, "anywhere") {
		if rapid.Bool().Draw(t, "ipv6") {
			return netip.AddrFrom16([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "bytes")))
		}
		return netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "bytes")))
	}
	r := rapid.SampledFrom(special).Draw(t, "range").Prefix
	b := r.Addr().AsSlice()
	noise := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 254, 255}), len(b), len(b)).Draw(t, "noise")
	for i := range b {
		for bit := range 8 {
			if i*8+bit >= r.Bits() {
				b[i] = b[i]&^(0x80>>bit) | noise[i]&(0x80>>bit)
			}
		}
	}
	a, _ := netip.AddrFromSlice(b)
	switch rapid.IntRange(0, 4).Draw(t, "step") {
	case 0:
		if n := a.Prev(); n.IsValid() {
			return n
		}
	case 1:
		if n := a.Next(); n.IsValid() {
			return n
		}
	}
	return a
}

func aPolicy(t *rapid.T) Policy {
	var p Policy
	for range rapid.IntRange(0, 3).Draw(t, "own") {
		p.Own = append(p.Own, Range{aRange(t), "the installation's own"})
	}
	for range rapid.IntRange(0, 3).Draw(t, "allowed") {
		p.Allow = append(p.Allow, Allowed{Range: aRange(t), Port: rapid.SampledFrom([]uint16{0, 443, 80}).Draw(t, "port")})
	}
	return p
}

func aRange(t *rapid.T) netip.Prefix {
	a := canonical(anAddress(t))
	r, err := a.Prefix(rapid.IntRange(1, a.BitLen()).Draw(t, "bits"))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestDecideHoldsInAnyWorld(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p, a := aPolicy(t), anAddress(t)
		to := netip.AddrPortFrom(a, 443)
		err := Decide(to, p)

		// However an address is written, the answer is the same.
		if a.Is4() {
			b := a.As4()
			for _, form := range []netip.Addr{
				netip.AddrFrom16(a.As16()),
				netip.AddrFrom16([16]byte{0, 0x64, 0xff, 0x9b, 12: b[0], 13: b[1], 14: b[2], 15: b[3]}),
			} {
				if other := Decide(netip.AddrPortFrom(form, 443), p); (other == nil) != (err == nil) {
					t.Fatalf("%s: %v, and as %s: %v", a, err, form, other)
				}
			}
		} else if other := Decide(netip.AddrPortFrom(a.WithZone("eth0"), 443), p); (other == nil) != (err == nil) {
			t.Fatalf("%s: %v, and with a zone: %v", a, err, other)
		}

		// Without the operator's word nothing is reached that the standard
		// library knows to be no address of the Internet, nor what is the
		// installation's own.
		c := canonical(a)
		mine := slices.ContainsFunc(p.Own, func(r Range) bool { return r.Prefix.Contains(c) })
		bare := Decide(to, Policy{Own: p.Own})
		if bare == nil && (!c.IsGlobalUnicast() || c.IsPrivate() || c.IsLoopback() || c.IsLinkLocalUnicast() || c.IsMulticast() || c.IsUnspecified()) {
			t.Fatalf("%s is reached", a)
		}
		if bare == nil && mine && !slices.ContainsFunc(p.Own, func(r Range) bool { return r.Prefix.Contains(c) && r.Prefix.Bits() <= 3 }) {
			t.Fatalf("%s is reached, which is the installation's own", a)
		}

		// The operator's word opens what it names and nothing else.
		named := slices.ContainsFunc(p.Allow, func(x Allowed) bool { return x.Range.Contains(c) && x.opens(443) })
		if err == nil && bare != nil && !named {
			t.Fatalf("%s is reached, and nobody allowed it", a)
		}
		if bare == nil && err != nil {
			t.Fatalf("%s is refused because something is allowed: %v", a, err)
		}
		// Exactly named, it is open.
		exact := p
		exact.Allow = append(slices.Clone(p.Allow), Allowed{Range: netip.PrefixFrom(c, c.BitLen())})
		if err := Decide(to, exact); err != nil {
			t.Fatalf("%s is allowed by name of its address, and refused: %v", a, err)
		}
		// What is written narrower than what is allowed stays shut.
		narrow := exact
		narrow.Allow = slices.DeleteFunc(slices.Clone(p.Allow), func(x Allowed) bool { return x.Range.Bits() == c.BitLen() })
		narrow.Own = append(slices.Clone(p.Own), Range{netip.PrefixFrom(c, c.BitLen()), "mine"})
		if err := Decide(to, narrow); err == nil {
			t.Fatalf("%s is the machine's own, and reached through a wider range", a)
		}
	})
}

func FuzzParseAllowed(f *testing.F) {
	for _, s := range []string{"10.0.5.7", "10.1.0.0/16:80", "[fd00::7]:443", "*.example.edu", "127.1", "::ffff:0:0/96"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := ParseAllowed(text)
		if err != nil {
			return
		}
		if a.Range.IsValid() == (a.Host != "") {
			t.Fatalf("%q is both a range and a host, or neither: %+v", text, a)
		}
		if a.Range.IsValid() && (a.Range.Bits() == 0 || a.Range.Addr().Is4In6() || a.Range.Masked() != a.Range) {
			t.Fatalf("%q is %v", text, a.Range)
		}
	})
}
