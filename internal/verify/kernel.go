package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/pyimport"
	"github.com/hubship/hubship/internal/verify/jupyter"
)

// interruptGrace is how long a kernel may take to react to an interrupt.
const interruptGrace = 5 * time.Second

// logLines bounds the traceback and the output that explain a failed import.
const logLines = 25

// kernelStarts starts a kernel, connects to it and waits until it answers.
func (s *session) kernelStarts(ctx context.Context) (finding, error) {
	server := s.hub.Notebook(s.user)
	specs, err := server.KernelSpecs(ctx)
	if err != nil {
		return finding{}, err
	}
	name, ok := specs.Python()
	switch {
	case ok:
	case len(s.req.Packages) > 0:
		return finding{}, model.WithHint(fmt.Errorf("the server offers no Python kernel, only: %s", strings.Join(specs.Names(), ", ")),
			"Install ipykernel in the user image")
	case specs.Default == "":
		return finding{}, model.WithHint(errors.New("the server offers no kernel"), "Install ipykernel in the user image")
	default:
		name = specs.Default
	}
	id, err := server.StartKernel(ctx, name)
	if err != nil {
		return finding{}, err
	}
	// A kernel that ends as it starts never answers on the websocket; its
	// state says so long before the deadline.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() { cancel(watchKernel(ctx, server, id)) }()
	kernel, err := server.Connect(ctx, id)
	if err == nil {
		s.kernel = kernel
		var info string
		if info, err = kernel.Info(ctx); err == nil {
			return finding{detail: info}, nil
		}
	}
	if cause := context.Cause(ctx); errors.Is(cause, jupyter.ErrKernelDied) {
		err = cause
	}
	if errors.Is(err, jupyter.ErrKernelDied) {
		err = model.WithHint(fmt.Errorf("kernel %s exited on startup", name),
			"Start it manually in the user image: python -m ipykernel_launcher")
	}
	return finding{detail: "kernel " + name + " was started but does not answer"}, err
}

// watchKernel returns when the kernel's process ended, or with ctx.
func watchKernel(ctx context.Context, server *jupyter.Notebook, id string) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		state, err := server.KernelState(ctx, id)
		gone := jupyter.StatusOf(err) == http.StatusNotFound // given up on after some restarts
		if gone || err == nil && (state == "dead" || state == "restarting") {
			return jupyter.ErrKernelDied
		}
	}
}

// imports imports a package in the kernel.
func (s *session) imports(ctx context.Context, p model.Package, timeout time.Duration) (finding, error) {
	if s.kernel == nil {
		return finding{}, &skipped{s.lost}
	}
	code, err := pyimport.Code(p.Name, p.Spec)
	if err != nil {
		return finding{}, err
	}
	res, err := s.kernel.Run(ctx, jupyter.Cell{
		Code: code, Expression: pyimport.Variable, Timeout: timeout, Grace: interruptGrace,
	})
	log := explanation(res)
	if err != nil {
		return finding{log: log}, s.kernelLost(ctx, p, timeout, err)
	}
	switch {
	case res.TimedOut:
		return finding{log: log}, fmt.Errorf("import did not end within %s; it was interrupted", timeout)
	case res.Raised != nil:
		return finding{log: log}, res.Raised
	}
	var r pyimport.Report
	if err := json.Unmarshal([]byte(res.Value), &r); err != nil {
		return finding{log: log}, fmt.Errorf("the kernel's report cannot be read: %w", err)
	}
	if r.Problem != "" {
		return finding{log: log}, errors.New(r.Problem)
	}
	return finding{detail: r.Summary(p.Name)}, nil
}

// kernelLost notes that the kernel cannot be used any more and says why.
func (s *session) kernelLost(ctx context.Context, p model.Package, timeout time.Duration, err error) error {
	if ctx.Err() != nil {
		s.lost = "the previous check was cut short"
	}
	switch {
	case errors.Is(err, jupyter.ErrKernelDied):
		s.lost = "the kernel died in \"import " + p.Name + "\""
		err = model.WithHint(errors.New("the kernel died during the import"),
			"The package terminated the process or used more memory than the server has")
	case errors.Is(err, jupyter.ErrKernelBusy):
		s.lost = "the kernel hangs in \"import " + p.Name + "\""
		err = fmt.Errorf("import did not end within %s and did not react to an interrupt", timeout)
	case s.lost == "":
		s.lost = "the connection to the kernel was lost in \"import " + p.Name + "\""
	}
	s.close()
	return err
}

// explanation is the traceback and output of a cell that failed.
func explanation(res jupyter.Result) string {
	var parts []string
	if res.Output != "" {
		parts = append(parts, "output:\n"+lastLines(res.Output, logLines))
	}
	if res.Raised != nil && len(res.Raised.Traceback) > 0 {
		parts = append(parts, lastLines(strings.Join(res.Raised.Traceback, "\n"), logLines))
	}
	return strings.Join(parts, "\n")
}

// distinct drops packages that are named twice, comparing names as Python's
// index does.
func distinct(packages []model.Package) []model.Package {
	seen := make(map[string]bool, len(packages))
	var out []model.Package
	for _, p := range packages {
		key := strings.NewReplacer("_", "-", ".", "-").Replace(strings.ToLower(p.Name))
		if p.Name == "" || seen[key] {
			continue
		}
		seen[key] = true
		out = append(out, p)
	}
	return out
}
