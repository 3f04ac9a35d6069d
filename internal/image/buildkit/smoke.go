package buildkit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/pyimport"
)

// Names of the checks of an image. Imports are named "import NAME", as a
// verification names them.
const (
	ImageStarts  = "image starts"
	ServerStarts = "server starts"
)

const (
	startTimeout  = 2 * time.Minute
	importTimeout = 3 * time.Minute
	smokeTail     = 25 // lines that explain a failure
)

// Smoke tries an image that users' servers run, as the hub would run it: with
// its user and environment, its command handed to its entrypoint. It imports
// the packages and has the server's program tell its version. Nothing of the
// registry's credentials, with which BuildKit fetches it, gets into it.
//
// An image that fails is no error. An error says that it could not be tried.
func (b *Builder) Smoke(ctx context.Context, built model.Built, q model.SmokeRequest, log io.Writer) (model.SmokeResult, error) {
	out := newLineWriter(log)
	defer out.Flush()
	if built.Digest == "" {
		return model.SmokeResult{}, fmt.Errorf("try image %s: it has no digest", built.ID)
	}
	var s *smoke
	err := b.persist(ctx, out, func() error {
		return b.inImage(ctx, box{
			image: built.Name + "@" + built.Digest, credentials: b.credentials(want{}), log: out,
			run: func(ctx context.Context, c *containers) error {
				s = &smoke{containers: c, log: out, result: model.SmokeResult{Passed: true}}
				return s.all(ctx, q)
			},
		})
	})
	var unusable *imageError
	if errors.As(err, &unusable) {
		err = model.WithHint(err, "check that the registry still has the image and that BuildKit can reach it")
	}
	if err != nil {
		return model.SmokeResult{}, fmt.Errorf("try out image %s: %w", built.ID, err)
	}
	return s.result, nil
}

// smoke tries one image.
type smoke struct {
	*containers
	log     io.Writer
	result  model.SmokeResult
	python  string // its interpreter, "" when it has none
	starter []string
}

// all makes the checks in order. An error says that BuildKit failed.
func (s *smoke) all(ctx context.Context, q model.SmokeRequest) error {
	if err := s.check(ctx, ImageStarts, s.starts); err != nil {
		return err
	}
	started := s.result.Passed
	seen := map[string]bool{}
	for _, p := range q.Packages {
		name := "import " + p.Name
		if seen[name] || p.Name == "" {
			continue
		}
		seen[name] = true
		if !started {
			s.skip(name)
			continue
		}
		if err := s.check(ctx, name, func(ctx context.Context) (finding, error) { return s.imports(ctx, p) }); err != nil {
			return err
		}
	}
	if !started {
		s.skip(ServerStarts)
		return nil
	}
	return s.check(ctx, ServerStarts, s.server)
}

// finding is what a check found out. failed is why it did not pass.
type finding struct {
	detail string
	log    string
	failed error
}

func (s *smoke) check(ctx context.Context, name string, run func(context.Context) (finding, error)) error {
	began := time.Now()
	found, err := run(ctx)
	if err != nil {
		return err
	}
	check := model.Check{Name: name, Passed: found.failed == nil, Detail: found.detail, Duration: time.Since(began)}
	how := "passed"
	if found.failed != nil {
		how = "failed"
		check.Detail, check.Log = oneLineOf(found.failed), found.log
		if s.result.Passed {
			s.result.Passed, s.result.Reason = false, name+": "+check.Detail
		}
	}
	s.result.Checks = append(s.result.Checks, check)
	fmt.Fprintf(s.log, "%s: %s in %.1fs: %s\n", name, how, check.Duration.Seconds(), check.Detail)
	return nil
}

func (s *smoke) skip(name string) {
	s.result.Checks = append(s.result.Checks, model.Check{Name: name, Skipped: true, Detail: fmt.Sprintf("needs %q", ImageStarts)})
}

// entered is a command as Kubernetes starts it: handed to the entrypoint.
func (s *smoke) entered(args ...string) []string {
	return append(append([]string(nil), s.config.Entrypoint...), args...)
}

// mark begins the lines that are meant for hubship: an entrypoint may print
// what it likes.
const mark = "hubship: "

// look tells which of the programs the image has.
const look = `for p in "$@"; do command -v "$p" >/dev/null 2>&1 && echo "` + mark + `$p"; done; true`

// execute runs a command and returns what it wrote to its standard output, and
// the last lines of both outputs.
func (s *smoke) execute(ctx context.Context, timeout time.Duration, args []string) (answer, text string, end outcome, err error) {
	printed := newConsole(io.Discard, smokeTail)
	var out strings.Builder
	end, err = s.run(ctx, process{
		args: args, timeout: timeout, stderr: printed.stream(2),
		stdout: io.MultiWriter(printed.stream(1), limitWriter{&out}),
	})
	return out.String(), printed.last(), end, err
}

// marked are the lines that are meant for hubship.
func marked(answer string) (out []string) {
	for text := range strings.Lines(answer) {
		if rest, ok := strings.CutPrefix(strings.TrimRight(text, "\r\n"), mark); ok {
			out = append(out, rest)
		}
	}
	return out
}

// limitWriter keeps the end of what is written from growing beyond all bounds.
type limitWriter struct{ *strings.Builder }

func (w limitWriter) Write(data []byte) (int, error) {
	if w.Len()+len(data) > maxOutput {
		kept := w.String()
		w.Reset()
		w.Builder.WriteString(kept[max(0, len(kept)-maxOutput/2):])
	}
	if len(data) > maxOutput/2 {
		w.Builder.Write(data[len(data)-maxOutput/2:])
		return len(data), nil
	}
	return w.Builder.Write(data)
}

// starts looks whether the image runs at all, and what it has.
func (s *smoke) starts(ctx context.Context) (finding, error) {
	answer, text, end, err := s.execute(ctx, startTimeout,
		s.entered("sh", "-c", look, "sh", "python3", "python", "jupyterhub-singleuser", "jupyter"))
	if err != nil {
		return finding{}, err
	}
	if failed := end.failure(startTimeout); failed != nil {
		return finding{log: text, failed: model.WithHint(failed, "the image's entrypoint must run the command that it is given, and the image needs a shell")}, nil
	}
	has := marked(answer)
	for i := len(has) - 1; i >= 0; i-- { // the first one counts
		switch has[i] {
		case "python3", "python":
			s.python = has[i]
		case "jupyter":
			s.starter = []string{"jupyter", "server"}
		case "jupyterhub-singleuser":
			s.starter = []string{has[i]}
		}
	}
	return finding{detail: "it has " + orNothing(strings.Join(has, ", "))}, nil
}

func orNothing(text string) string {
	if text == "" {
		return "neither Python nor Jupyter"
	}
	return text
}

// imports imports one package.
func (s *smoke) imports(ctx context.Context, p model.Package) (finding, error) {
	if s.python == "" {
		return finding{failed: model.WithHint(errors.New("the image has no Python"), "install it in a directory on the image's PATH")}, nil
	}
	code, err := pyimport.Code(p.Name, p.Spec)
	if err != nil {
		return finding{failed: err}, nil
	}
	code += fmt.Sprintf("print(); print(%q + repr(%s), flush=True)\n", mark, pyimport.Variable)
	answer, text, end, err := s.execute(ctx, importTimeout, s.entered(s.python, "-c", code))
	if err != nil {
		return finding{}, err
	}
	found := finding{log: text}
	if found.failed = end.failure(importTimeout); found.failed != nil {
		if end.code == 1 {
			// The traceback ends with what was raised.
			if at := strings.LastIndexByte(text, '\n'); text != "" {
				found.failed = errors.New(oneLine(text[at+1:]))
			}
		}
		return found, nil
	}
	answers := marked(answer)
	if len(answers) == 0 {
		found.failed = errors.New("python exited without reporting on the import")
		return found, nil
	}
	var r pyimport.Report
	if err := json.Unmarshal([]byte(answers[len(answers)-1]), &r); err != nil {
		found.failed = fmt.Errorf("Python's report cannot be read: %w", err)
		return found, nil
	}
	if r.Problem != "" {
		found.failed = errors.New(oneLine(r.Problem))
		return found, nil
	}
	return finding{detail: oneLine(r.Summary(p.Name))}, nil
}

// server has the program that the hub starts tell its version.
func (s *smoke) server(ctx context.Context) (finding, error) {
	if len(s.starter) == 0 {
		return finding{failed: model.WithHint(errors.New("the image has neither jupyterhub-singleuser nor jupyter"), "install jupyterhub and jupyterlab in a directory on the image's PATH")}, nil
	}
	args := append(append([]string(nil), s.starter...), "--version")
	command := strings.Join(args, " ")
	answer, text, end, err := s.execute(ctx, startTimeout, s.entered(args...))
	if err != nil {
		return finding{}, err
	}
	if failed := end.failure(startTimeout); failed != nil {
		return finding{log: text, failed: fmt.Errorf("%s: %w", command, failed)}, nil
	}
	answer = strings.TrimSpace(answer)
	return finding{detail: command + ": " + oneLine(answer[strings.LastIndexByte(answer, '\n')+1:])}, nil
}
