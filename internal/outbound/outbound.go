// Package outbound reaches what a change or a contributor names: chart
// repositories, registries, webhooks. It connects to the Internet and to what
// the operator allows, and to nothing else: not to this machine, the cluster or
// the networks around them. What counts is the address that is connected to,
// each time that one is, so that neither a name that changes its address nor a
// redirect leads past it.
package outbound

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// Bounds of what is asked.
const (
	dialTimeout   = 10 * time.Second
	tlsTimeout    = 10 * time.Second
	headerTimeout = 20 * time.Second
	idleTimeout   = time.Minute
	maxHeader     = 256 << 10 // bytes
	maxRedirects  = 5
)

// Options of a Guard. The zero value reaches the Internet alone.
type Options struct {
	Policy Policy
	// Interfaces are the addresses of this machine, which are refused with
	// Policy.Own; nil asks the system.
	Interfaces func() ([]net.Addr, error)
	// Resolver of names; nil means the system's.
	Resolver *net.Resolver
	// Proxy of a request; nil means that of the environment: HTTP_PROXY,
	// HTTPS_PROXY, NO_PROXY.
	Proxy func(*http.Request) (*url.URL, error)
}

// Guard connects to what may be reached. It is safe for concurrent use.
type Guard struct{ o Options }

// New returns a Guard.
func New(o Options) *Guard {
	if o.Interfaces == nil {
		o.Interfaces = net.InterfaceAddrs
	}
	if o.Resolver == nil {
		o.Resolver = net.DefaultResolver
	}
	if o.Proxy == nil {
		o.Proxy = http.ProxyFromEnvironment
	}
	return &Guard{o: o}
}

// policy is the policy of this moment: the machine's addresses come and go.
func (g *Guard) policy() (Policy, error) {
	p := g.o.Policy
	addrs, err := g.o.Interfaces()
	if err != nil {
		return Policy{}, fmt.Errorf("list this machine's addresses: %w", err)
	}
	own := append([]Range(nil), p.Own...)
	for _, a := range addrs {
		prefix, err := netip.ParsePrefix(a.String())
		if err != nil {
			continue // no address of IP
		}
		addr := canonical(prefix.Addr())
		own = append(own, Range{Prefix: netip.PrefixFrom(addr, addr.BitLen()), What: "an address of this machine"})
	}
	p.Own = own
	return p, nil
}

// DialContext connects to "host:port" as net.Dialer does, to those of the
// host's addresses that may be reached. When none may, the error is a
// *RefusedError.
func (g *Guard) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := split(address)
	if err != nil {
		return nil, err
	}
	if network != "tcp" && network != "tcp4" && network != "tcp6" {
		return nil, refuse(host, &RefusedError{What: "not reached by TCP"})
	}
	p, err := g.policy()
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	var refusal error
	passed := p.allowsHost(host, port)
	free := passed
	d := net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second, Resolver: g.o.Resolver}
	// The system has resolved the name: this is the address that is connected
	// to, right before it is.
	d.ControlContext = func(_ context.Context, _, resolved string, _ syscall.RawConn) error {
		if free {
			return nil
		}
		to, err := netip.ParseAddrPort(resolved)
		if err == nil {
			err = Decide(to, p)
		} else {
			err = &RefusedError{What: "no address of IP"}
		}
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			passed = true
		} else if refusal == nil {
			refusal = err
		}
		return err
	}
	conn, err := d.DialContext(ctx, network, address)
	mu.Lock()
	defer mu.Unlock()
	if err != nil && refusal != nil && !passed {
		return nil, refuse(host, refusal)
	}
	return conn, err
}

// Check resolves "host:port" and says whether it may be reached. It is for what
// another connects to: a proxy, or a builder. The other resolves the name
// itself, and has to keep to the same by itself.
func (g *Guard) Check(ctx context.Context, address string) error {
	host, port, err := split(address)
	if err != nil {
		return err
	}
	p, err := g.policy()
	if err != nil {
		return err
	}
	if p.allowsHost(host, port) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	addrs, err := g.o.Resolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return fmt.Errorf("find out where %s is, before another is asked to connect to it: %w", host, err)
	}
	if len(addrs) == 0 {
		return refuse(host, &RefusedError{What: "no address"})
	}
	for _, a := range addrs { // all: which of them is taken is not decided here
		if err := Decide(netip.AddrPortFrom(a, port), p); err != nil {
			return refuse(host, err)
		}
	}
	return nil
}

func split(address string) (host string, port uint16, err error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil || host == "" {
		return "", 0, fmt.Errorf("%q is not HOST:PORT", address)
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return "", 0, errors.New("port " + strconv.Quote(text) + " is not a number from 1 to 65535")
	}
	return host, uint16(n), nil
}
