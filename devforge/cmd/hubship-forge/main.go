// Command hubship-forge is the embedded forge, for installations without GitHub:
// repositories, pull requests and people's accounts. hubship's server starts it
// and forwards requests to it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/hubship/hubship/devforge/internal/serve"
	"github.com/hubship/hubship/internal/model"
)

// version is set when the program is built.
var version = "dev"

const usage = `Usage:
  hubship-forge serve --settings FILE   serve the forge until it is interrupted
  hubship-forge version                 print the version
hubship's server starts this program; its log goes to standard error.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, out, errs io.Writer) int {
	err := command(ctx, args, out, errs)
	if err == nil {
		return model.ExitDone
	}
	_, _ = fmt.Fprintf(errs, "error: %v\n", err)
	if hint := model.HintOf(err); hint != "" {
		_, _ = fmt.Fprintf(errs, "hint: %s\n", hint)
	}
	return model.ExitCodeOf(err)
}

func command(ctx context.Context, args []string, out, errs io.Writer) error {
	if len(args) == 0 {
		_, _ = io.WriteString(errs, usage)
		return model.Usage(errors.New("no command was given"), "use serve or version")
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	file := flags.String("settings", "", "")
	err := flags.Parse(args[1:])
	switch {
	case errors.Is(err, flag.ErrHelp) || args[0] == "help" || args[0] == "--help" || args[0] == "-h":
		_, err = io.WriteString(out, usage)
		return err
	case err != nil || flags.NArg() > 0:
		return model.Usage(errors.Join(err, fmt.Errorf("%s does not take %q", args[0], flags.Args())), "see `hubship-forge help`")
	case args[0] == "version":
		_, err = fmt.Fprintln(out, version)
		return err
	case args[0] != "serve":
		return model.Usage(fmt.Errorf("unknown command %q", args[0]), "use serve or version")
	case *file == "":
		return model.Usage(errors.New("serve needs --settings FILE"), "hubship's server writes the file and starts this program")
	}
	log := slog.New(slog.NewTextHandler(errs, nil))
	return serve.Run(ctx, serve.Options{File: *file, Version: version, Log: log})
}
