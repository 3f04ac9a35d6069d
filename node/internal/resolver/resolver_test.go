package resolver

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func TestRead(t *testing.T) {
	for name, test := range map[string]struct {
		conf          string
		servers       []string
		relay         []string
		file, failure string
	}{
		"reachable":     {conf: "search a.example\nnameserver 192.0.2.53\n", servers: []string{"192.0.2.53"}, file: "nameserver 192.0.2.53\nsearch a.example\n"},
		"loopback":      {conf: "nameserver 127.0.0.53\n", servers: []string{"10.0.0.254"}, relay: []string{"127.0.0.53:53"}, file: "nameserver 10.0.0.254\n"},
		"IPv6":          {conf: "nameserver 2001:db8::53\n", servers: []string{"10.0.0.254"}, relay: []string{"[2001:db8::53]:53"}, file: "nameserver 10.0.0.254\n"},
		"mixed":         {conf: "nameserver 127.0.0.1\nnameserver 192.0.2.53\n", servers: []string{"192.0.2.53"}, file: "nameserver 192.0.2.53\n"},
		"none":          {conf: "search a.example\n", failure: "has none"},
		"more than max": {conf: strings.Repeat("nameserver 192.0.2.1\n", 5), servers: []string{"192.0.2.1", "192.0.2.1", "192.0.2.1"}, file: strings.Repeat("nameserver 192.0.2.1\n", 3)},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "resolv.conf")
			if err := os.WriteFile(path, []byte(test.conf), 0o600); err != nil {
				t.Fatal(err)
			}
			plan, err := Read(path, "10.0.0.254")
			if test.failure != "" {
				if err == nil || !strings.Contains(err.Error(), test.failure) {
					t.Fatalf("got error %v, want one with %q", err, test.failure)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(plan.Servers, test.servers) || !slices.Equal(plan.RelayTo, test.relay) {
				t.Errorf("got %+v", plan)
			}
			if plan.File() != test.file {
				t.Errorf("got file %q, want %q", plan.File(), test.file)
			}
		})
	}
}

// upstream is a real name server that knows one name.
func upstream(t *testing.T) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", conn.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, query *dns.Msg) {
		answer := new(dns.Msg).SetReply(query)
		record, err := dns.NewRR(query.Question[0].Name + " 60 IN A 192.0.2.7")
		if err != nil {
			t.Error(err)
		}
		answer.Answer = append(answer.Answer, record)
		_ = w.WriteMsg(answer)
	})
	for _, server := range []*dns.Server{{PacketConn: conn, Handler: handler}, {Listener: listener, Handler: handler}} {
		go func() { _ = server.ActivateAndServe() }()
		t.Cleanup(func() { _ = server.Shutdown() })
	}
	return conn.LocalAddr().String()
}

func freePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

func TestRelay(t *testing.T) {
	addr := freePort(t)
	// The first server is dead: the relay goes on to the next.
	relay, err := StartRelay(t.Context(), addr, []string{freePort(t), upstream(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := relay.Close(); err != nil {
			t.Error(err)
		}
	}()
	for _, network := range []string{"udp", "tcp"} {
		client := &dns.Client{Net: network, Timeout: 10 * time.Second}
		answer, _, err := client.Exchange(new(dns.Msg).SetQuestion("name.example.", dns.TypeA), addr)
		if err != nil {
			t.Fatalf("%s: %v", network, err)
		}
		if len(answer.Answer) != 1 || !strings.Contains(answer.Answer[0].String(), "192.0.2.7") {
			t.Errorf("%s: got %v", network, answer)
		}
	}
}
