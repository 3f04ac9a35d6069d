package serve

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/hubship/hubship/devforge/internal/host"
	"github.com/hubship/hubship/devforge/internal/refs"
	"github.com/hubship/hubship/devforge/internal/settings"
	"github.com/hubship/hubship/internal/loopback"
	"github.com/hubship/hubship/internal/outbound"
)

// A webhook reaches hubship's own address on this machine, exactly that, and
// nothing else there.
func TestHooksReachNothingInsideButHubship(t *testing.T) {
	var mu sync.Mutex
	got := ""
	reached := func() string { mu.Lock(); defer mu.Unlock(); was := got; got = ""; return was }
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		got = r.URL.String()
	}))
	defer s.Close()
	own := s.URL + "/hooks/github"
	via := hookTransport{own: own, inside: http.DefaultTransport, outside: outbound.New(outbound.Options{}).Transport(outbound.TransportOptions{})}
	send := func(address string) error {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := via.RoundTrip(req)
		if err == nil {
			_ = resp.Body.Close()
		}
		return err
	}
	if err := send(own); err != nil || reached() != "/hooks/github" {
		t.Fatalf("hubship's own hook: %v", err)
	}
	host := strings.TrimPrefix(s.URL, "http://")
	for _, address := range []string{
		s.URL + "/api/v1/runs", own + "/", own + "?x=1", own + "/../api/v1/runs", strings.Replace(own, "127.0.0.1", "localhost", 1),
		"http://u@" + host + "/hooks/github", "http://10.201.0.1:17400/", "http://10.202.0.1/", "http://169.254.169.254/latest/meta-data/",
	} {
		if err := send(address); !outbound.IsRefused(err) {
			t.Errorf("%s: %v", address, err)
		}
	}
	if at := reached(); at != "" {
		t.Errorf("reached %v", at)
	}
}

// Who pushes to a protected branch is told where to look; who pushes elsewhere
// is not.
func TestPusherIsTold(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.ok(w.stop())
	s, _, err := settings.Read(w.in("forge.json"))
	w.ok(err)
	f, err := open(t.Context(), s, slog.New(slog.DiscardHandler))
	w.ok(err)
	defer func() { _ = f.close() }()
	w.ok(f.host.SetProtection(t.Context(), f.repository, "staging", &host.Protection{AllowPush: true}))
	for branch, want := range map[string]string{"staging": "https://forge.example.edu/", "topic": ""} {
		lines := f.tellPusher(t.Context(), f.repository.Dir, updates(branch), "carl")
		if want == "" && len(lines) > 0 || want != "" && (len(lines) != 1 || !strings.Contains(lines[0], want)) {
			t.Errorf("pushed to %s, and was told %q", branch, lines)
		}
	}
	if lines := f.tellPusher(t.Context(), "carl/deployment", updates("staging"), "carl"); len(lines) > 0 {
		t.Errorf("pushed to a fork, and was told %q", lines)
	}
}

// updates is a push that made a branch.
func updates(branch string) []refs.Update {
	return []refs.Update{{Branch: branch, Old: refs.ZeroID, New: "1111111111111111111111111111111111111111"}}
}

// The client of a request is who the door says, and nobody where it says nothing
// that makes sense.
func TestFromDoor(t *testing.T) {
	for _, c := range []struct {
		said        []string
		peer        string
		addr, whose string
	}{
		{[]string{"192.0.2.1"}, "1000", "192.0.2.1:0", "1000"},
		{[]string{"2001:db8::1"}, "", "[2001:db8::1]:0", ""},
		{nil, "-1", "@", "-1"},
		{[]string{"192.0.2.1, 192.0.2.2"}, "", "@", ""},
		{[]string{"192.0.2.1", "192.0.2.2"}, "", "@", ""},
		{[]string{"somebody"}, "", "@", ""},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = "@" // as over a Unix socket
		r.Header[clientHeader] = c.said
		r.Header.Set(peerHeader, c.peer)
		fromDoor(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if whose := loopback.Whose(r.Context()); r.RemoteAddr != c.addr || whose != c.whose {
				t.Errorf("%q and %q: from %q of %q, want %q of %q", c.said, c.peer, r.RemoteAddr, whose, c.addr, c.whose)
			}
		})).ServeHTTP(httptest.NewRecorder(), r)
	}
}
