// Command hubship-node is the embedded Kubernetes node: the supervisor, and the
// Kubernetes and etcd programs that it supervises, in one binary.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/hubship/hubship/node/internal/cli"
	"github.com/hubship/hubship/node/internal/component"
)

func main() {
	// The components handle signals themselves.
	if len(os.Args) > 1 && component.Known(os.Args[1]) {
		os.Exit(cli.Run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := cli.Run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	cancel()
	os.Exit(code)
}
