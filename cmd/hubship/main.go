// Command hubship ships changes to JupyterHubs, staging first.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/hubship/hubship/internal/cli"
	"github.com/hubship/hubship/internal/term"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Run(ctx, term.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}, os.Args[1:])
	stop()
	os.Exit(code)
}
