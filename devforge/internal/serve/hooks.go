package serve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/hubship/hubship/devforge/internal/gitserver"
	"github.com/hubship/hubship/devforge/internal/store"
	"github.com/hubship/hubship/internal/loopback"
	"github.com/hubship/hubship/internal/outbound"
)

// guardHooks lets webhooks reach what is outside, and the one address on this
// machine that is hubship's own.
func (f *theForge) guardHooks() error {
	policy, err := f.s.Outbound.Policy()
	if err != nil {
		return err
	}
	guard := outbound.New(outbound.Options{Policy: policy})
	inside := http.DefaultTransport.(*http.Transport).Clone()
	inside.Proxy = nil
	// The forge outlives hubship's server: meanwhile anybody may wait at its port.
	var d net.Dialer
	inside.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := d.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		if err := loopback.Served(c); err != nil {
			_ = c.Close()
			return nil, err
		}
		return c, nil
	}
	own := ""
	if f.s.Webhook != nil {
		own = f.s.Webhook.URL
	}
	f.sender.Via(func(blind bool) http.RoundTripper {
		return hookTransport{own: own, inside: inside, outside: guard.Transport(outbound.TransportOptions{Blind: blind})}
	})
	return nil
}

// hookTransport sends what goes to hubship itself one way, and everything else
// another.
type hookTransport struct {
	own             string // URL of hubship's own webhook, "" for none
	inside, outside http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (t hookTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if t.own != "" && r.URL.String() == t.own {
		return t.inside.RoundTrip(r)
	}
	return t.outside.RoundTrip(r)
}

// ensureHook has the forge deliver its events to hubship. The hook is known by
// its secret, since its address changes with the port, and by its address, since
// the secret is another one after it was lost.
func (f *theForge) ensureHook(ctx context.Context) error {
	w := f.s.Webhook
	if w == nil {
		return nil
	}
	secret, err := gitserver.ReadToken(w.Secret)
	if err != nil {
		return fmt.Errorf("the secret of hubship's webhook: %w", err)
	}
	events := strings.Join(w.Events, ",")
	all, err := f.host.Store.Hooks(ctx, f.repository.ID)
	if err != nil {
		return err
	}
	for _, h := range all {
		if h.Secret != secret && h.URL != w.URL {
			continue
		}
		if h.Secret == secret && h.URL == w.URL && h.Events == events && h.Active && h.ContentType == "json" {
			return nil
		}
		h.Secret, h.URL, h.Events, h.Active, h.ContentType = secret, w.URL, events, true, "json"
		return f.host.Store.PutHook(ctx, &h)
	}
	err = f.host.Store.AddHook(ctx, &store.Hook{Repository: f.repository.ID, URL: w.URL, ContentType: "json", Secret: secret, Events: events, Active: true})
	if errors.Is(err, store.ErrTooManyHooks) {
		f.log.Warn("the embedded forge does not notify hubship; changes are noticed within a minute", "error", err)
		return nil
	}
	return err
}
