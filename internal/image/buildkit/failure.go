package buildkit

import (
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"

	gateway "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/util/grpcerrors"
	digest "github.com/opencontainers/go-digest"
	"google.golang.org/grpc/codes"

	"github.com/hubship/hubship/internal/model"
)

// BuildError is an instruction of a build file that failed. Its text is a line
// that says which and how, followed by the last lines that the instruction
// printed.
type BuildError struct {
	File        string   // build file, from the root of the repository
	Line        int      // of the instruction, from 1; 0 when BuildKit did not say
	Instruction string   // as written, on one line
	Reason      string   // "exit code 1", or what BuildKit says
	Output      []string // the last lines of its output, at most 20
	Err         error    // what BuildKit returned
}

// Is says that the source is at fault.
func (e *BuildError) Is(target error) bool { return target == model.ErrSource }

// Error implements error.
func (e *BuildError) Error() string {
	var s strings.Builder
	s.WriteString(e.Summary())
	for _, l := range e.Output {
		s.WriteString("\n    ")
		s.WriteString(l)
	}
	return s.String()
}

// Summary is the first line of the error: where, what and how.
func (e *BuildError) Summary() string {
	where := e.File
	if e.Line > 0 {
		where = fmt.Sprintf("%s:%d", e.File, e.Line)
	}
	if e.Instruction != "" {
		where += ": " + e.Instruction
	}
	return where + ": " + e.Reason
}

// Unwrap returns the cause.
func (e *BuildError) Unwrap() error { return e.Err }

// failure explains what BuildKit returned with what the steps printed.
func (p *progress) failure(src model.Source, err error) error {
	be := &BuildError{File: path.Clean(src.Dockerfile), Err: err}
	if at := errdefs.Sources(err); len(at) > 0 {
		be.Line, be.Instruction = instruction(at[0])
	}
	if st := p.failed(err); st != nil {
		be.Output = st.tail
		if be.Instruction == "" {
			be.Instruction = strings.TrimPrefix(strings.TrimPrefix(st.name, st.tag), " ")
		}
	}
	var exit *gateway.ExitError
	switch {
	case errors.As(err, &exit) && exit.ExitCode == 137:
		be.Reason = "exit code 137"
		return model.WithHint(be, "the instruction was killed, most likely because it ran out of memory: make it use less, or give BuildKit more")
	case errors.As(err, &exit):
		be.Reason = fmt.Sprintf("exit code %d", exit.ExitCode)
		return model.WithHint(be, "fix the instruction or what it installs; its output says why it failed")
	}
	be.Reason = reason(err)
	if strings.HasSuffix(be.Reason, "is not allowed") {
		return model.WithHint(be, "builds get neither the host network nor more privileges than a container: remove this")
	}
	if m := denied.FindStringSubmatch(err.Error()); m != nil {
		be.Reason = oneLine(m[1]) + " is not given to an untrusted build"
		return model.WithHint(be, untrustedHint)
	}
	if be.Instruction == "" {
		return fmt.Errorf("BuildKit: %w", err)
	}
	return model.WithHint(be, "fix the build file, or make what it fetches reachable")
}

// failed is the step that the error is about.
func (p *progress) failed(err error) *step {
	var ve *errdefs.VertexError
	if errors.As(err, &ve) && ve.Vertex != nil {
		if st, ok := p.steps[digest.Digest(ve.Digest)]; ok {
			return st
		}
	}
	for _, st := range p.steps {
		if st.err != "" && !strings.Contains(st.err, context.Canceled.Error()) {
			return st
		}
	}
	return nil
}

// instruction is the line and the text that a position points at.
func instruction(at *errdefs.Source) (int, string) {
	if at.Info == nil || len(at.Ranges) == 0 || at.Ranges[0].Start == nil {
		return 0, ""
	}
	lines := strings.Split(string(at.Info.Data), "\n")
	start := int(at.Ranges[0].Start.Line)
	end := start
	if e := at.Ranges[0].End; e != nil {
		end = max(start, int(e.Line))
	}
	if start < 1 || start > len(lines) {
		return 0, ""
	}
	var words []string
	for _, l := range lines[start-1 : min(end, len(lines))] {
		words = append(words, strings.TrimSuffix(strings.TrimSpace(l), "\\"))
	}
	return start, oneLine(strings.Join(words, " "))
}

// reason takes what gRPC and the solver put around it off a message.
func reason(err error) string {
	text := err.Error()
	for _, prefix := range []string{"failed to solve: ", "rpc error: code = Unknown desc = ",
		"failed to load LLB: ", "failed to load cache key: ", "failed to compute cache key: "} {
		text = strings.TrimPrefix(text, prefix)
	}
	if m := missing.FindStringSubmatch(text); m != nil {
		return fmt.Sprintf("%q is not in the build context, or is excluded by .dockerignore", strings.TrimPrefix(m[1], "/"))
	}
	return oneLine(text)
}

// missing is how the solver says that COPY found nothing.
var missing = regexp.MustCompile(`failed to calculate checksum of ref \S+: "([^"]+)": not found$`)

// denied is how BuildKit says that a policy keeps a source from the build.
var denied = regexp.MustCompile(`source "([^"]+)" denied by policy`)

// isOutage says that BuildKit or the registry it pushes to could not be reached,
// so that the same build may well succeed later. An instruction that failed is
// none, whatever it printed or could not reach.
func isOutage(err error, registry string) bool {
	var exit *gateway.ExitError
	if errors.As(err, &exit) {
		return false
	}
	switch grpcerrors.Code(err) {
	case codes.Unavailable:
		return true
	case codes.Canceled:
		// The caller did not cancel, or this would not be asked: BuildKit is
		// shutting down.
		return true
	}
	text := err.Error()
	for _, sign := range []string{"error reading from server: EOF", "transport is closing", "no active session"} {
		if strings.Contains(text, sign) {
			return true
		}
	}
	if !strings.Contains(text, registry) {
		return false
	}
	for _, sign := range []string{"connection refused", "connection reset by peer", "broken pipe", "EOF", "i/o timeout"} {
		if strings.Contains(text, sign) {
			return true
		}
	}
	return false
}

// brief is an outage in a few words, for the log.
func brief(err error) string {
	text, _, _ := strings.Cut(err.Error(), "\n")
	if i := strings.LastIndex(text, "desc = "); i >= 0 {
		text = text[i+len("desc = "):]
	}
	return oneLine(text)
}
