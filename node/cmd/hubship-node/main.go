// Command hubship-node runs the embedded Kubernetes node. The programs that it
// supervises lie beside it in the folder node.d.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/hubship/hubship/node/internal/cli"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := cli.Run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	cancel()
	os.Exit(code)
}
