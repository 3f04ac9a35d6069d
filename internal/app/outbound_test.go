package app

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/hubship/hubship/internal/install"
	"github.com/hubship/hubship/internal/outbound"
	"github.com/hubship/hubship/internal/server"
)

// A webhook reaches hubship's own address on this machine, exactly that, and
// nothing else there.
func TestHooksReachNothingInsideButHubship(t *testing.T) {
	var got atomic.Value
	got.Store("")
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got.Store(r.URL.String()) }))
	defer s.Close()
	_, text, err := net.SplitHostPort(strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	settings := install.Default()
	settings.Port = port
	guard, err := guardOf(settings)
	if err != nil {
		t.Fatal(err)
	}
	via := hookTransport{own: ownHook(port), inside: loopback(port), outside: guard.Transport(outbound.TransportOptions{})}
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
	if err := send(ownHook(port)); err != nil || got.Load() != server.HooksPath {
		t.Fatalf("hubship's own hook: %v, %v", err, got.Load())
	}
	got.Store("")
	for _, address := range []string{
		s.URL + "/api/v1/runs", ownHook(port) + "/", ownHook(port) + "?x=1", ownHook(port) + "/../api/v1/runs", strings.Replace(ownHook(port), "127.0.0.1", "localhost", 1),
		"http://u@127.0.0.1:" + text + server.HooksPath, "http://10.201.0.1:17400/", "http://10.202.0.1/", "http://169.254.169.254/latest/meta-data/",
	} {
		if err := send(address); !outbound.IsRefused(err) {
			t.Errorf("%s: %v", address, err)
		}
	}
	if got.Load() != "" {
		t.Errorf("reached %v", got.Load())
	}
}

func TestOutboundSettings(t *testing.T) {
	s := install.Default()
	s.Outbound = &install.Outbound{Allow: []string{"10.1.0.0/16", "charts.internal.example.edu"}}
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	p, err := s.OutboundPolicy()
	if err != nil || len(p.Allow) != 2 || len(p.Own) != 2 {
		t.Errorf("%+v, %v", p, err)
	}
	s.Outbound.Allow = []string{"0.0.0.0/0"}
	if err := s.Validate(); err == nil || !strings.Contains(err.Error(), "0.0.0.0/0") {
		t.Errorf("%v", err)
	}
}
