package clientaddr

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

func request(remote string, forwarded ...string) *http.Request {
	r := &http.Request{RemoteAddr: remote, Header: http.Header{}}
	for _, f := range forwarded {
		r.Header.Add("X-Forwarded-For", f)
	}
	return r
}

func prefixes(t testing.TB, texts ...string) []netip.Prefix {
	t.Helper()
	p, err := ParsePrefixes(texts)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestOf(t *testing.T) {
	trusted := prefixes(t, "10.0.0.0/8", "::1", "fd00::/8")
	for name, c := range map[string]struct {
		remote    string
		forwarded []string
		want      string
	}{
		"without a proxy":                          {"203.0.113.7:4000", nil, "203.0.113.7"},
		"a stranger's header counts for nothing":   {"203.0.113.7:4000", []string{"198.51.100.1"}, "203.0.113.7"},
		"a stranger names a trusted proxy":         {"203.0.113.7:4000", []string{"198.51.100.1, 10.0.0.1"}, "203.0.113.7"},
		"behind a proxy":                           {"10.0.0.1:4000", []string{"198.51.100.1"}, "198.51.100.1"},
		"the client forged the head of the list":   {"10.0.0.1:4000", []string{"1.1.1.1, 198.51.100.1"}, "198.51.100.1"},
		"the client forged a trusted proxy":        {"10.0.0.1:4000", []string{"1.1.1.1, 10.9.9.9, 198.51.100.1"}, "198.51.100.1"},
		"behind two proxies":                       {"10.0.0.1:4000", []string{"198.51.100.1, 10.0.0.2"}, "198.51.100.1"},
		"several lines are one list":               {"10.0.0.1:4000", []string{"1.1.1.1", "198.51.100.1", "10.0.0.2"}, "198.51.100.1"},
		"a proxy that reports nothing":             {"10.0.0.1:4000", nil, "10.0.0.1"},
		"an entry that is no address":              {"10.0.0.1:4000", []string{"1.1.1.1, unknown"}, "10.0.0.1"},
		"nothing readable behind a second proxy":   {"10.0.0.1:4000", []string{"1.1.1.1, _hidden, 10.0.0.2"}, "10.0.0.2"},
		"an empty entry":                           {"10.0.0.1:4000", []string{"1.1.1.1,"}, "10.0.0.1"},
		"all of them trusted":                      {"10.0.0.1:4000", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		"a proxy that adds ports":                  {"10.0.0.1:4000", []string{"198.51.100.1:5555"}, "198.51.100.1"},
		"IPv6":                                     {"[fd00::1]:4000", []string{"2001:db8::1"}, "2001:db8::1"},
		"IPv6 in brackets":                         {"[::1]:4000", []string{"[2001:db8::1]"}, "2001:db8::1"},
		"IPv6 in brackets with a port":             {"[::1]:4000", []string{"[2001:db8::1]:99"}, "2001:db8::1"},
		"IPv4 within IPv6 is IPv4":                 {"[::ffff:10.0.0.1]:4000", []string{"::ffff:198.51.100.1"}, "198.51.100.1"},
		"a zone is no part of a client's identity": {"[::1]:4000", []string{"2001:db8::1%a"}, "2001:db8::1"},
		"an address that is not one":               {"@", []string{"198.51.100.1"}, "invalid IP"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Of(request(c.remote, c.forwarded...), trusted); got.String() != c.want {
				t.Errorf("Of(%s, %q) is %s, want %s", c.remote, c.forwarded, got, c.want)
			}
		})
	}
}

func TestNobodyIsTrustedUnlessNamed(t *testing.T) {
	for _, remote := range []string{"127.0.0.1:1", "10.0.0.1:1", "[::1]:1"} {
		r := request(remote, "198.51.100.1")
		if got := Of(r, nil); got.String() == "198.51.100.1" {
			t.Errorf("the header of %s was believed", remote)
		}
		if Trusted(r, nil) {
			t.Errorf("%s is trusted", remote)
		}
	}
}

func TestParsePrefixes(t *testing.T) {
	for _, bad := range []string{"", "proxy", "10.0.0.0/33", "10.0.0", "fe80::1%eth0", "::ffff:10.0.0.0/104"} {
		if _, err := ParsePrefixes([]string{bad}); err == nil {
			t.Errorf("%q is taken for a range", bad)
		}
	}
	got := prefixes(t, "10.1.2.3/8", "::ffff:192.0.2.1")
	if got[0].String() != "10.0.0.0/8" || got[1].String() != "192.0.2.1/32" {
		t.Errorf("read as %v", got)
	}
}

// FuzzOf holds what makes the address safe to count by: what stands before the
// entry of the first untrusted address changes nothing, and without a trusted
// peer the header changes nothing.
func FuzzOf(f *testing.F) {
	f.Add("203.0.113.7:1", "1.1.1.1, 10.0.0.1", "evil")
	f.Add("10.0.0.1:1", "198.51.100.1", "10.0.0.9,")
	f.Add("[::1]:1", "[2001:db8::1]:5, fd00::2", "\t,,")
	trusted := prefixes(f, "10.0.0.0/8", "fd00::/8", "::1")
	f.Fuzz(func(t *testing.T, remote, forwarded, forged string) {
		got := Of(request(remote, forwarded), trusted)
		if got.Zone() != "" || got.Is4In6() {
			t.Fatalf("%s has more names than one", got)
		}
		if !Trusted(request(remote), trusted) && got != Of(request(remote), trusted) {
			t.Fatalf("%s was not connected through a proxy, and its header %q counted", remote, forwarded)
		}
		if !got.IsValid() || within(got, trusted) {
			return // the list was read to its end, or to what cannot be read
		}
		for _, longer := range []string{forged + "," + forwarded, strings.Repeat("10.0.0.1,", 50) + forwarded} {
			if again := Of(request(remote, longer), trusted); again != got {
				t.Fatalf("%q gives %s, %q gives %s: the client chose its address", forwarded, got, longer, again)
			}
		}
	})
}
