// Package resolver finds the name servers that a node can use, and relays to
// those that only the machine itself can reach.
package resolver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// maxServers is how many name servers a resolver reads from resolv.conf.
const maxServers = 3

// Plan says which name servers the node uses.
type Plan struct {
	// Servers goes into the node's resolv.conf.
	Servers []string
	// Search lists the machine's search domains.
	Search []string
	// RelayTo lists the loopback servers that a relay has to stand in for;
	// empty when the node reaches its servers by itself.
	RelayTo []string
}

// Read makes a plan from a resolv.conf. Servers on the machine's loopback are
// out of the node's reach: when there are no others, the plan names relayAddr
// as the only server, and the caller has to run a Relay there.
func Read(path, relayAddr string) (Plan, error) {
	conf, err := dns.ClientConfigFromFile(path)
	if err != nil {
		return Plan{}, fmt.Errorf("read name servers from %s: %w", path, err)
	}
	plan := Plan{Search: conf.Search}
	var loopback []string
	for _, server := range conf.Servers {
		addr, err := netip.ParseAddr(server)
		switch {
		case err != nil:
			continue
		case addr.IsLoopback():
			loopback = append(loopback, net.JoinHostPort(server, conf.Port))
		case addr.Is4() && len(plan.Servers) < maxServers:
			plan.Servers = append(plan.Servers, server)
		case addr.Is6():
			// The node speaks IPv4 only; the machine reaches it for the node.
			loopback = append(loopback, net.JoinHostPort(server, conf.Port))
		}
	}
	if len(plan.Servers) > 0 {
		return plan, nil
	}
	if len(loopback) == 0 {
		return Plan{}, fmt.Errorf("read name servers from %s: it has none; add a line \"nameserver ADDRESS\"", path)
	}
	plan.Servers, plan.RelayTo = []string{relayAddr}, loopback
	return plan, nil
}

// File renders the plan as a resolv.conf.
func (p Plan) File() string {
	var b strings.Builder
	for _, server := range p.Servers {
		fmt.Fprintf(&b, "nameserver %s\n", server)
	}
	if len(p.Search) > 0 {
		fmt.Fprintf(&b, "search %s\n", strings.Join(p.Search, " "))
	}
	return b.String()
}

// Write writes the plan as a resolv.conf.
func (p Plan) Write(path string) error {
	if err := os.WriteFile(path, []byte(p.File()), 0o644); err != nil {
		return fmt.Errorf("write the node's name servers: %w", err)
	}
	return nil
}

// exchangeTimeout bounds one question to one server.
const exchangeTimeout = 5 * time.Second

// Relay answers name queries at addr, over UDP and TCP, by asking the upstream
// servers in turn.
type Relay struct {
	servers []*dns.Server
}

// StartRelay opens both sockets and answers until Close.
func StartRelay(ctx context.Context, addr string, upstream []string) (*Relay, error) {
	r := &Relay{}
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, query *dns.Msg) {
		network := w.LocalAddr().Network()
		// A client that has hung up needs no answer.
		_ = w.WriteMsg(ask(ctx, network, upstream, query))
	})
	for _, network := range []string{"udp", "tcp"} {
		server := &dns.Server{Addr: addr, Net: network, Handler: handler}
		up := make(chan error, 1)
		server.NotifyStartedFunc = func() { up <- nil }
		go func() { up <- server.ListenAndServe() }()
		if err := <-up; err != nil {
			return nil, errors.Join(fmt.Errorf("relay name queries at %s over %s: %w", addr, network, err), r.Close())
		}
		r.servers = append(r.servers, server)
	}
	return r, nil
}

// Close stops answering.
func (r *Relay) Close() error {
	var errs []error
	for _, server := range r.servers {
		errs = append(errs, server.Shutdown())
	}
	return errors.Join(errs...)
}

func ask(ctx context.Context, network string, upstream []string, query *dns.Msg) *dns.Msg {
	client := &dns.Client{Net: network, Timeout: exchangeTimeout, UDPSize: dns.DefaultMsgSize}
	for _, server := range upstream {
		if answer, _, err := client.ExchangeContext(ctx, query, server); err == nil {
			return answer
		}
	}
	return new(dns.Msg).SetRcode(query, dns.RcodeServerFailure)
}
