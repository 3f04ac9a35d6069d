package app

import (
	"fmt"
	"net/http"

	"github.com/hubship/hubship/internal/forge/local/hooks"
	"github.com/hubship/hubship/internal/install"
	"github.com/hubship/hubship/internal/outbound"
	"github.com/hubship/hubship/internal/server"
)

// guardOf is what stands between the server and whatever a change or a
// contributor names.
func guardOf(s install.Settings) (*outbound.Guard, error) {
	policy, err := s.OutboundPolicy()
	if err != nil {
		return nil, err
	}
	return outbound.New(outbound.Options{Policy: policy}), nil
}

// maxOutside bounds one answer of a chart repository, in bytes: the index of a
// large one.
const maxOutside = 64 << 20

// ownHook is where the embedded forge tells hubship what happens.
func ownHook(port int) string { return fmt.Sprintf("http://127.0.0.1:%d%s", port, server.HooksPath) }

// guardHooks lets webhooks reach what is outside, and the one address on this
// machine that is hubship's own.
func guardHooks(sender *hooks.Sender, s install.Settings) error {
	guard, err := guardOf(s)
	if err != nil {
		return err
	}
	inside := loopback(s.Port)
	sender.Via(func(blind bool) http.RoundTripper {
		return hookTransport{own: ownHook(s.Port), inside: inside, outside: guard.Transport(outbound.TransportOptions{Blind: blind})}
	})
	return nil
}

type hookTransport struct {
	own             string
	inside, outside http.RoundTripper
}

// RoundTrip sends a delivery.
func (t hookTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.String() == t.own {
		return t.inside.RoundTrip(r)
	}
	return t.outside.RoundTrip(r)
}
