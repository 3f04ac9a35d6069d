package buildkit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/moby/buildkit/client/llb/sourceresolver"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	gatewaypb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"

	"github.com/hubship/hubship/internal/model"
)

const (
	// killGrace is how long a killed process may take to be gone.
	killGrace = 20 * time.Second
	// maxOutput is how much of one process's output goes to the log, in bytes:
	// as much as BuildKit shows of a step of a build.
	maxOutput = 2 << 20
)

// imageConfig is how an image wants to be run.
type imageConfig struct {
	User       string
	Env        []string
	Entrypoint []string
	WorkingDir string
}

func resolveConfig(ctx context.Context, gw gateway.Client, ref string) (imageConfig, error) {
	_, _, raw, err := gw.ResolveImageConfig(ctx, ref, sourceresolver.Opt{LogName: "[internal] read the configuration of " + ref, ImageOpt: &sourceresolver.ResolveImageOpt{}})
	if err != nil {
		return imageConfig{}, err
	}
	var image struct{ Config imageConfig }
	if err := json.Unmarshal(raw, &image); err != nil {
		return imageConfig{}, fmt.Errorf("read its configuration: %w", err)
	}
	return image.Config, nil
}

// containers are made of one root file system, which none of them changes.
type containers struct {
	gateway gateway.Client
	root    gateway.Reference
	config  imageConfig
}

// process is a command in a container of its own, with the user, the
// environment and the working directory of the image.
type process struct {
	args           []string
	env            []string // besides the image's
	dir            string   // "" means the image's
	timeout        time.Duration
	stdout, stderr io.Writer
}

// outcome is how a process ended.
type outcome struct {
	code     uint32
	timedOut bool
	unable   error // why it was not started
}

// failure is nil for a process that has done its work.
func (o outcome) failure(timeout time.Duration) error {
	switch {
	case o.unable != nil:
		return model.WithHint(fmt.Errorf("it could not be started: %s", reason(o.unable)), "check its command and the user set in its image")
	case o.timedOut:
		return fmt.Errorf("not finished after %s", timeout)
	case o.code == 137:
		return model.WithHint(errors.New("exit code 137"), "it was killed, most likely because it ran out of memory")
	case o.code != 0:
		return fmt.Errorf("exit code %d", o.code)
	}
	return nil
}

// run runs a process to its end. An error says that BuildKit failed.
func (c *containers) run(ctx context.Context, p process) (outcome, error) {
	container, err := c.gateway.NewContainer(ctx, gateway.NewContainerRequest{
		Mounts: []gateway.Mount{{Dest: pb.RootMount, MountType: pb.MountType_BIND, Ref: c.root}},
	})
	if err != nil {
		return outcome{}, err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), killGrace)
		defer cancel()
		// What it holds, BuildKit lets go with the session at the latest. The
		// error is the last process's.
		_ = container.Release(ctx)
	}()
	dir := p.dir
	if dir == "" {
		dir = c.config.WorkingDir
	}
	proc, err := container.Start(ctx, gateway.StartRequest{
		Args: p.args, Env: append(append([]string(nil), c.config.Env...), p.env...), User: c.config.User, Cwd: dir,
		Stdout: open{p.stdout}, Stderr: open{p.stderr},
	})
	if err != nil {
		return outcome{}, err
	}
	ended := make(chan error, 1)
	go func() { ended <- proc.Wait() }()
	timer := time.NewTimer(p.timeout)
	defer timer.Stop()
	select {
	case err := <-ended:
		return outcomeOf(ctx, err)
	case <-ctx.Done():
		return outcome{}, context.Cause(ctx)
	case <-timer.C:
	}
	if err := proc.Signal(ctx, syscall.SIGKILL); err != nil {
		return outcome{}, fmt.Errorf("end what runs too long: %w", err)
	}
	select {
	case <-ended:
	case <-time.After(killGrace): // releasing the container ends it, too
	case <-ctx.Done():
		return outcome{}, context.Cause(ctx)
	}
	return outcome{timedOut: true}, nil
}

func outcomeOf(ctx context.Context, err error) (outcome, error) {
	var exit *gatewaypb.ExitError
	switch {
	case err == nil:
		return outcome{}, nil
	case ctx.Err() != nil:
		return outcome{}, context.Cause(ctx)
	case errors.As(err, &exit) && exit.ExitCode != gatewaypb.UnknownExitStatus:
		return outcome{code: exit.ExitCode}, nil
	case isOutage(err, ""):
		return outcome{}, err
	}
	return outcome{unable: err}, nil
}

// open is a writer that BuildKit may close without harm.
type open struct{ io.Writer }

func (open) Close() error { return nil }

// console makes lines of a log of what a process prints, and keeps the last
// ones. Of more than is fit to be read, it keeps those alone.
type console struct {
	mu      sync.Mutex
	log     io.Writer
	lines   lines
	printed int
}

func newConsole(log io.Writer, keep int) *console {
	return &console{log: log, lines: newLines(keep)}
}

// stream is the writer for one of the process's outputs.
func (c *console) stream(n int) io.Writer {
	return writerFunc(func(data []byte) (int, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.lines.add(n, data, c.show)
		return len(data), nil
	})
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(data []byte) (int, error) { return f(data) }

// show cannot fail the process: its log is for people.
func (c *console) show(text string) {
	if c.printed > maxOutput {
		return
	}
	if c.printed += len(text) + 1; c.printed > maxOutput {
		text = fmt.Sprintf("more than %d MiB of output: the rest is left out", maxOutput>>20)
	}
	_, _ = fmt.Fprintln(c.log, text)
}

// last is the end of the output.
func (c *console) last() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lines.flush(c.show)
	tail := c.lines.tail
	size := 0
	for i := len(tail) - 1; i >= 0; i-- {
		if size += len(tail[i]) + 1; size > maxTail {
			tail = tail[i+1:]
			break
		}
	}
	return strings.Join(tail, "\n")
}
