package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"time"

	"github.com/hubship/hubship/node/internal/network"
	"github.com/hubship/hubship/node/internal/policy"
)

// servePolicies has network policies enforced until life ends, and returns once
// they have been read. The rules that network.Up has set keep every pod shut
// off until its own are there.
func (n *Node) servePolicies(ctx, life context.Context) error {
	config, err := n.programs.RestConfig()
	if err != nil {
		return err
	}
	apply := func(rules string) error { return network.ApplyInNode(n.box, rules) }
	forget := func(ip netip.Addr) error { return network.ForgetConnections(n.box, ip) }
	controller, err := policy.New(config, network.PolicyNet(n.s), apply, forget, n.log)
	if err != nil {
		return err
	}
	if err := n.servePlugin(life, controller.Handler(n.log)); err != nil {
		return err
	}
	go func() {
		if err := controller.Run(life); err != nil && life.Err() == nil {
			n.log.Error("network policies are no longer followed: rules stay in place, and new pods get no network", "error", err)
		}
	}()
	return n.board.step(ctx, "network-policies", "read the network policies", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, programTimeout)
		defer cancel()
		select {
		case <-controller.Synced():
			return nil
		case <-ctx.Done():
			return fmt.Errorf("read the network policies: %w", ctx.Err())
		}
	})
}

// servePlugin answers the CNI plugin until life ends.
func (n *Node) servePlugin(life context.Context, handler http.Handler) error {
	listener, err := listenPrivate(n.s.PolicySocket())
	if err != nil {
		return err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			n.log.Error("the socket of the network policies closed: new pods get no network", "error", err)
		}
	}()
	context.AfterFunc(life, func() { _ = server.Close() })
	return nil
}

// listenPrivate opens a socket for root alone.
func listenPrivate(path string) (net.Listener, error) {
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("open the socket %s: %w", path, err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("protect the socket %s: %w", path, err), listener.Close())
	}
	return listener, nil
}
