package outbound

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/hubship/hubship/internal/model"
)

// names is a name server. Each question for a name takes the next of its
// answers; the last is given for ever.
type names struct {
	mu    sync.Mutex
	known map[string][][]string
}

func (n *names) resolver(t testing.TB) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	go func() {
		buf := make([]byte, 1500)
		for {
			size, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if answer, err := n.answer(buf[:size]); err == nil {
				_, _ = conn.WriteTo(answer, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

func (n *names) answer(raw []byte) ([]byte, error) {
	var q dnsmessage.Message
	if err := q.Unpack(raw); err != nil || len(q.Questions) != 1 {
		return nil, errors.New("no question")
	}
	ask := q.Questions[0]
	m := dnsmessage.Message{Header: dnsmessage.Header{ID: q.ID, Response: true, RecursionAvailable: true}, Questions: q.Questions}
	name := strings.TrimSuffix(ask.Name.String(), ".")
	n.mu.Lock()
	answers, ok := n.known[name]
	if ok && ask.Type == dnsmessage.TypeA && len(answers) > 1 {
		n.known[name] = answers[1:]
	}
	n.mu.Unlock()
	if !ok {
		m.RCode = dnsmessage.RCodeNameError
		return m.Pack()
	}
	for _, text := range answers[0] {
		a := netip.MustParseAddr(text)
		h := dnsmessage.ResourceHeader{Name: ask.Name, Type: ask.Type, Class: ask.Class}
		switch {
		case a.Is4() && ask.Type == dnsmessage.TypeA:
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AResource{A: a.As4()}})
		case a.Is6() && ask.Type == dnsmessage.TypeAAAA:
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}})
		}
	}
	return m.Pack()
}

// inside is a server on this machine that must not be reached, with a count of
// those who reached it.
func inside(t testing.TB, handler http.HandlerFunc) (port string, reached *atomic.Int32) {
	t.Helper()
	reached = &atomic.Int32{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reached.Add(1)
		if handler != nil {
			handler(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL[strings.LastIndexByte(s.URL, ':')+1:], reached
}

func direct(*http.Request) (*url.URL, error) { return nil, nil }

func fetch(t testing.TB, via http.RoundTripper, address string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return "", err
	}
	resp, err := (&http.Client{Transport: via}).Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

func TestNoNameLeadsInside(t *testing.T) {
	t.Parallel()
	port, reached := inside(t, nil)
	n := &names{known: map[string][][]string{
		"loop.example.org": {{"127.0.0.1"}}, "lan.example.org": {{"10.0.0.1"}}, "six.example.org": {{"::1"}}, "mapped.example.org": {{"::ffff:127.0.0.1"}},
		"nat64.example.org": {{"64:ff9b::7f00:1"}}, "meta.example.org": {{"169.254.169.254"}}, "any.example.org": {{"0.0.0.0"}}, "both.example.org": {{"127.0.0.1", "::1", "10.0.0.1"}},
	}}
	g := New(Options{Resolver: n.resolver(t), Proxy: direct})
	via := g.Transport(TransportOptions{})
	for name := range n.known {
		_, err := fetch(t, via, "http://"+name+":"+port+"/")
		if !IsRefused(err) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), "127.0.0.1") {
			t.Errorf("%s: the error tells what the name stands for: %v", name, err)
		}
		if hint := model.HintOf(err); !strings.Contains(hint, "--allow-outbound "+name) {
			t.Errorf("%s: hint %q", name, hint)
		}
	}
	// An address in any of its spellings leads nowhere either.
	for _, host := range []string{
		"127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "017700000001", "127.0.0.1.", "0", "0.0.0.0", "localhost", "LOCALHOST", "localhost.",
		"[::1]", "[0:0:0:0:0:0:0:1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:7f00:0001]", "[::127.0.0.1]", "[64:ff9b::127.0.0.1]", "[fe80::1%25lo]", "[::1%25lo]", "127。0。0。1", "①②⑦.⓪.⓪.①",
	} {
		if _, err := fetch(t, via, "http://"+host+":"+port+"/"); err == nil {
			t.Errorf("%s was reached", host)
		}
	}
	for _, address := range []string{"file:///etc/hostname", "gopher://127.0.0.1:" + port, "ftp://127.0.0.1/", "unix:///run/x.sock"} {
		if _, err := fetch(t, via, address); !IsRefused(err) {
			t.Errorf("%s: %v", address, err)
		}
	}
	if reached.Load() != 0 {
		t.Errorf("the server inside was asked %d times", reached.Load())
	}
}

// A name that stands for a public address at first and for this machine when it
// is connected to is decided by what is connected to.
func TestRebinding(t *testing.T) {
	t.Parallel()
	port, reached := inside(t, nil)
	n := &names{known: map[string][][]string{"turn.example.org": {{"93.184.216.34"}, {"127.0.0.1"}}}}
	g := New(Options{Resolver: n.resolver(t), Proxy: direct})
	if err := g.Check(t.Context(), "turn.example.org:"+port); err != nil {
		t.Fatalf("the first answer is public: %v", err)
	}
	if _, err := fetch(t, g.Transport(TransportOptions{}), "http://turn.example.org:"+port+"/"); !IsRefused(err) {
		t.Errorf("%v", err)
	}
	if reached.Load() != 0 {
		t.Error("the server inside was reached")
	}
}

func TestRedirects(t *testing.T) {
	t.Parallel()
	port, reached := inside(t, nil)
	to := "http://127.0.0.1:" + port + "/"
	hops := &atomic.Int32{}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/loop":
			hops.Add(1)
			http.Redirect(w, r, "/loop", http.StatusFound)
		case "/file":
			http.Redirect(w, r, "file:///etc/hostname", http.StatusFound)
		case "/name":
			http.Redirect(w, r, "http://inside.example.org:"+port+"/", http.StatusTemporaryRedirect)
		default:
			http.Redirect(w, r, to, http.StatusMovedPermanently)
		}
	}))
	defer front.Close()
	n := &names{known: map[string][][]string{"inside.example.org": {{"127.0.0.1"}}}}
	g := New(Options{Policy: allow(t, strings.TrimPrefix(front.URL, "http://")), Resolver: n.resolver(t), Proxy: direct})
	via := g.Transport(TransportOptions{})
	for _, path := range []string{"/address", "/name", "/file"} {
		if _, err := fetch(t, via, front.URL+path); !IsRefused(err) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if reached.Load() != 0 {
		t.Errorf("a redirect reached the server inside")
	}
	if _, err := fetch(t, via, front.URL+"/loop"); err == nil || !strings.Contains(err.Error(), "more than 5 redirects") || hops.Load() != 6 {
		t.Errorf("%v after %d requests", err, hops.Load())
	}
	from := httptest.NewRequest(http.MethodGet, "https://a.example.org/", http.NoBody)
	next := httptest.NewRequest(http.MethodGet, "http://b.example.org/", http.NoBody)
	next.Response = &http.Response{Request: from}
	if _, err := via.RoundTrip(next); !IsRefused(err) {
		t.Errorf("from HTTPS to HTTP: %v", err)
	}
}

func TestWhatIsAllowedIsReached(t *testing.T) {
	t.Parallel()
	port, reached := inside(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("0123456789")) })
	n := &names{known: map[string][][]string{"charts.example.edu": {{"127.0.0.1"}}, "mixed.example.edu": {{"10.255.255.1", "127.0.0.1"}}}}
	for _, tt := range []struct{ allowed, address string }{
		{"127.0.0.1", "http://127.0.0.1:" + port}, {"127.0.0.1:" + port, "http://charts.example.edu:" + port}, {"charts.example.edu", "http://charts.example.edu:" + port},
		{"*.example.edu:" + port, "http://charts.example.edu:" + port},
		{"127.0.0.1", "http://mixed.example.edu:" + port}, // of several addresses, that which may be
	} {
		g := New(Options{Policy: allow(t, tt.allowed), Resolver: n.resolver(t), Proxy: direct})
		if got, err := fetch(t, g.Transport(TransportOptions{}), tt.address); err != nil || got != "0123456789" {
			t.Errorf("%v: %q, %v", tt, got, err)
		}
		if _, err := fetch(t, g.Transport(TransportOptions{MaxBody: 9}), tt.address); err == nil || !strings.Contains(err.Error(), "larger than 9 bytes") {
			t.Errorf("%v: %v", tt, err)
		}
	}
	if reached.Load() != 10 {
		t.Errorf("reached %d times", reached.Load())
	}
	for _, allowed := range []string{"127.0.0.1:1", "127.0.0.0/8", "other.example.edu"} { // 127.0.0.1 is this machine's own: narrower than the range
		g := New(Options{Policy: allow(t, allowed), Resolver: n.resolver(t), Proxy: direct})
		if _, err := fetch(t, g.Transport(TransportOptions{}), "http://charts.example.edu:"+port); !IsRefused(err) {
			t.Errorf("%s: %v", allowed, err)
		}
	}
}

func TestThroughAProxy(t *testing.T) {
	t.Parallel()
	var asked atomic.Value
	asked.Store("")
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Store(r.Method + " " + r.Host)
		if r.Method == http.MethodConnect {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		_, _ = fmt.Fprint(w, "by proxy")
	}))
	defer proxy.Close()
	at, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	n := &names{known: map[string][][]string{
		"public.example.org": {{"93.184.216.34"}}, "inside.example.org": {{"10.0.0.1"}}, "both.example.org": {{"93.184.216.34", "10.0.0.1"}},
	}}
	g := New(Options{Policy: allow(t, "unknown.example.edu"), Resolver: n.resolver(t), Proxy: func(*http.Request) (*url.URL, error) { return at, nil }})
	via := g.Transport(TransportOptions{})
	for _, host := range []string{"public.example.org", "unknown.example.edu"} { // the latter is the operator's word, and not resolved
		if got, err := fetch(t, via, "http://"+host+"/"); err != nil || got != "by proxy" || asked.Load() != "GET "+host {
			t.Errorf("%s: %q, %v, %v", host, got, err, asked.Load())
		}
	}
	if _, err := fetch(t, via, "https://public.example.org/"); err == nil || asked.Load() != "CONNECT public.example.org:443" {
		t.Errorf("%v, %v", err, asked.Load())
	}
	asked.Store("")
	for _, address := range []string{"http://inside.example.org/", "https://inside.example.org/", "http://both.example.org/", "http://nowhere.example.org/", "http://2130706433/", "http://127.0.0.1/", "http://[::1]/", proxy.URL + "/"} {
		if _, err := fetch(t, via, address); err == nil || asked.Load() != "" {
			t.Errorf("%s was handed to the proxy: %v", address, asked.Load())
		}
	}
}

func TestWhatIsNotKnownRefuses(t *testing.T) {
	t.Parallel()
	port, reached := inside(t, nil)
	g := New(Options{Proxy: direct, Policy: allow(t, "127.0.0.1"), Interfaces: func() ([]net.Addr, error) { return nil, errors.New("no answer") }})
	if _, err := fetch(t, g.Transport(TransportOptions{}), "http://127.0.0.1:"+port+"/"); err == nil || reached.Load() != 0 {
		t.Errorf("%v: this machine's addresses are not known", err)
	}
	for _, address := range []string{"x", ":80", "x:0", "x:http", "x:70000"} {
		if _, err := New(Options{}).DialContext(t.Context(), "tcp", address); err == nil {
			t.Errorf("%q was dialled", address)
		}
	}
	if _, err := New(Options{}).DialContext(t.Context(), "udp", "127.0.0.1:53"); !IsRefused(err) {
		t.Errorf("UDP: %v", err)
	}
}
