// Package cli is the command line of the embedded node.
package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"syscall"
	"time"

	"k8s.io/klog/v2"

	"github.com/hubship/hubship/node/internal/node"
	"github.com/hubship/hubship/node/internal/settings"
)

const usage = `Usage: hubship-node COMMAND --config FILE

Commands:
  run        start the node and keep it running until it is told to stop
  preflight  check whether the node can start here; changes nothing
  status     print the status of the running node as JSON
  stop       stop the running node and keep its data
  purge      remove the stopped node and all its data

To start a Kubernetes component, use its name as COMMAND, with its own flags.
`

// Exit codes of the command line.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// Run runs one command and returns the exit code of the process. Results go to
// stdout, progress and errors to stderr.
func Run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		_, _ = io.WriteString(stderr, usage)
		return exitUsage
	}
	if slices.Contains(components, args[0]) {
		_, _ = fmt.Fprintf(stderr, "hubship-node: %v\n", replaceBy(args))
		return exitFailed // Only when it could not be started.
	}
	commands := map[string]func(context.Context, settings.Settings, io.Writer, io.Writer) error{
		"run": run, "preflight": preflight, "status": status, "stop": stop, "purge": purge,
	}
	command, ok := commands[args[0]]
	if !ok {
		_, _ = fmt.Fprintf(stderr, "hubship-node: unknown command %q\n\n%s", args[0], usage)
		return exitUsage
	}
	flags := flag.NewFlagSet("hubship-node "+args[0], flag.ContinueOnError)
	flags.SetOutput(stderr)
	config := flags.String("config", "", "JSON `file` with the node's settings; without it, every setting has its default")
	if err := flags.Parse(args[1:]); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return exitDone
		}
		return exitUsage
	}
	if flags.NArg() > 0 {
		_, _ = fmt.Fprintf(stderr, "hubship-node %s: unexpected argument %q\n", args[0], flags.Arg(0))
		return exitUsage
	}
	s, err := load(*config)
	if err == nil {
		err = command(ctx, s, stdout, stderr)
	}
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "hubship-node %s: %v\n", args[0], err)
		return exitFailed
	}
	return exitDone
}

// components lists what the binary kube holds.
var components = []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy"}

// replaceBy turns the process into one component of Kubernetes. It returns only
// if that fails.
func replaceBy(args []string) error {
	path, err := self()
	if err != nil {
		return err
	}
	kube := filepath.Join(filepath.Dir(path), "node.d", "kube")
	if err := syscall.Exec(kube, append([]string{kube}, args...), os.Environ()); err != nil {
		return fmt.Errorf("start %s from %s: %w; run make node", args[0], kube, err)
	}
	return nil
}

func load(path string) (settings.Settings, error) {
	if path == "" {
		return settings.Default(), nil
	}
	return settings.Load(path)
}

func self() (string, error) {
	path, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find the node's own executable: %w", err)
	}
	return path, nil
}

func run(ctx context.Context, s settings.Settings, _, stderr io.Writer) error {
	path, err := self()
	if err != nil {
		return err
	}
	// The supervisor waits most of the time: memory is dearer than its time.
	debug.SetGCPercent(50)
	// Kubernetes' client library logs by itself; its warnings are of use, its
	// chatter is not.
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
	return node.Run(ctx, s, path, slog.New(slog.NewTextHandler(stderr, nil)))
}

func preflight(_ context.Context, s settings.Settings, stdout, _ io.Writer) error {
	path, err := self()
	if err != nil {
		return err
	}
	if err := node.Preflight(s, path); err != nil {
		return fmt.Errorf("node %s cannot start here:\n%w", s.Name, err)
	}
	_, err = fmt.Fprintf(stdout, "node %s can start here\n", s.Name)
	return err
}

func purge(_ context.Context, s settings.Settings, _, _ io.Writer) error { return node.Purge(s) }

// controlTimeout bounds one request to the control socket.
const controlTimeout = 10 * time.Second

func control(s settings.Settings) *http.Client {
	return &http.Client{Timeout: controlTimeout, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, "unix", s.Socket())
			if err != nil {
				return nil, fmt.Errorf("node %s is not running: %w", s.Name, err)
			}
			return conn, nil
		},
	}}
}

func status(ctx context.Context, s settings.Settings, stdout, _ io.Writer) error {
	return request(ctx, s, http.MethodGet, "/status", stdout)
}

// stopTimeout is how long an orderly stop may take.
const stopTimeout = 90 * time.Second

func stop(ctx context.Context, s settings.Settings, _, _ io.Writer) error {
	if err := request(ctx, s, http.MethodPost, "/stop", io.Discard); err != nil {
		return err
	}
	for deadline := time.Now().Add(stopTimeout); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if !node.Held(s) {
			return nil
		}
	}
	return fmt.Errorf("node %s did not stop within %v; its log may say why", s.Name, stopTimeout)
}

func request(ctx context.Context, s settings.Settings, method, path string, out io.Writer) error {
	req, err := http.NewRequestWithContext(ctx, method, "http://node"+path, nil)
	if err != nil {
		return fmt.Errorf("ask node %s: %w", s.Name, err)
	}
	resp, err := control(s).Do(req)
	if err != nil {
		return fmt.Errorf("ask node %s: %w", s.Name, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("ask node %s: %s answered %s", s.Name, path, resp.Status)
	}
	if _, err := io.Copy(out, resp.Body); err != nil {
		return fmt.Errorf("ask node %s: %w", s.Name, err)
	}
	return nil
}
