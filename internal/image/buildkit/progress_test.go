package buildkit

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/moby/buildkit/client"
	gateway "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"

	"github.com/hubship/hubship/internal/model"
)

var (
	t0 = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	d1 = digest.FromString("1")
	d2 = digest.FromString("2")
)

func at(seconds float64) *time.Time {
	t := t0.Add(time.Duration(seconds * float64(time.Second)))
	return &t
}

func TestProgress(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	p := newProgress(&log)
	step := func(v client.Vertex) { p.update(&client.SolveStatus{Vertexes: []*client.Vertex{&v}}) }
	say := func(d digest.Digest, stream int, text string) {
		p.update(&client.SolveStatus{Logs: []*client.VertexLog{{Vertex: d, Stream: stream, Data: []byte(text)}}})
	}
	move := func(id string, current int64, now float64, done *time.Time) {
		p.update(&client.SolveStatus{Statuses: []*client.VertexStatus{{
			ID: id, Vertex: d2, Current: current, Total: 8e6, Timestamp: *at(now), Started: at(0), Completed: done}}})
	}

	step(client.Vertex{Digest: digest.FromString("i"), Name: "[internal] load .dockerignore", Started: at(0), Completed: at(0.2)})
	step(client.Vertex{Digest: digest.FromString("c"), Name: "[1/3] FROM debian", Cached: true, Started: at(0), Completed: at(0)})
	step(client.Vertex{Digest: d1, Name: "[2/3] RUN pip install\n  -r x", Started: at(0)})
	say(d1, 1, "Collec")
	say(d1, 2, "a \x1b[31mwarning\x1b[0m\n")
	say(d1, 1, "ting emoji\r\n\n10%\r20%\r")
	say(d1, 1, "30%\r\n\r\n40%\r")
	say(d1, 1, "last\r")
	step(client.Vertex{Digest: d1, Name: "[2/3] RUN pip install\n  -r x", Started: at(0), Completed: at(2.5)})
	step(client.Vertex{Digest: d1, Name: "[2/3] RUN pip install\n  -r x", Started: at(0), Completed: at(2.5)})
	step(client.Vertex{Digest: d2, Name: "exporting to image", Started: at(0)})
	move("pushing layers", 1e6, 0, nil)
	move("pushing layers", 2e6, 1, nil)
	move("pushing layers", 4e6, 6, nil)
	move("pushing layers", 8e6, 7, at(7))
	move("pushing layers", 8e6, 7, at(7))
	move("quick", 8e6, 0.1, at(0.1))
	step(client.Vertex{Digest: d2, Name: "exporting to image", Started: at(0), Completed: at(7), Error: "process failed: context canceled"})

	const want = `[1/3] FROM debian
[1/3] cached
[2/3] RUN pip install -r x
[2/3] | a warning
[2/3] | Collecting emoji
[2/3] | 30%
[2/3] | last
[2/3] done in 2.5s
exporting to image
exporting to image | pushing layers 4.0 of 8.0 MB
exporting to image | pushing layers 8.0 of 8.0 MB: done in 7.0s
exporting to image stopped
`
	if got := log.String(); got != want {
		t.Errorf("log:\n%s\nwant:\n%s", got, want)
	}
}

func TestProgressKeepsTheTail(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	p := newProgress(&log)
	p.update(&client.SolveStatus{Vertexes: []*client.Vertex{{Digest: d1, Name: "[1/1] RUN x", Started: at(0)}}})
	for i := range 100 {
		p.update(&client.SolveStatus{Logs: []*client.VertexLog{{Vertex: d1, Data: fmt.Appendf(nil, "%d\n", i)}}})
	}
	st := p.steps[d1]
	if len(st.tail) != tailLines || st.tail[0] != "80" || st.tail[tailLines-1] != "99" {
		t.Errorf("tail %q", st.tail)
	}
	p.update(&client.SolveStatus{Logs: []*client.VertexLog{{Vertex: d1, Data: []byte(strings.Repeat("x", 5*maxLine))}}})
	p.update(&client.SolveStatus{Logs: []*client.VertexLog{{Vertex: d1, Data: []byte("tail\n" + strings.Repeat("drawn again\r", maxLine))}}})
	if n := len(st.partial[0]); n > maxLine {
		t.Errorf("%d bytes of a progress bar are kept", n)
	}
	if last := st.tail[tailLines-2]; len(last) != maxLine {
		t.Errorf("a line without an end is kept with %d bytes, want %d", len(last), maxLine)
	}
}

func TestFailure(t *testing.T) {
	t.Parallel()
	src := model.Source{Image: model.Image{ID: "datahub/user", Dockerfile: "deployments/datahub/image/Dockerfile"}}
	text := "FROM debian\nRUN a && \\\n    b\nCOPY x /\n"
	where := func(line, end int32, err error) error {
		return errdefs.WithSource(err, &errdefs.Source{
			Info:   &pb.SourceInfo{Filename: "Dockerfile", Data: []byte(text)},
			Ranges: []*pb.Range{{Start: &pb.Position{Line: line}, End: &pb.Position{Line: end}}},
		})
	}
	newStep := func() *progress {
		p := newProgress(&strings.Builder{})
		p.update(&client.SolveStatus{Vertexes: []*client.Vertex{
			{Digest: d1, Name: "[2/3] RUN a", Started: at(0), Completed: at(1), Error: "it failed"}}})
		p.steps[d1].tail = []string{"one", "two"}
		return p
	}
	tests := map[string]struct {
		err        error
		want, hint string
	}{
		"exit code": {
			where(2, 3, errdefs.WrapVertex(&gateway.ExitError{ExitCode: 3}, d1)),
			"deployments/datahub/image/Dockerfile:2: RUN a && b: exit code 3\n    one\n    two", "its output"},
		"killed": {
			where(2, 3, errdefs.WrapVertex(&gateway.ExitError{ExitCode: 137}, d1)),
			"deployments/datahub/image/Dockerfile:2: RUN a && b: exit code 137\n    one\n    two", "memory"},
		"missing file": {
			where(4, 4, errors.New(`failed to solve: failed to compute cache key: failed to calculate checksum of ref a::b: "/x": not found`)),
			"deployments/datahub/image/Dockerfile:4: COPY x /: \"x\" is not in the build context, or is excluded by .dockerignore\n    one\n    two", "fix"},
		"without place": {
			errors.New("failed to solve: it failed"),
			"deployments/datahub/image/Dockerfile: RUN a: it failed\n    one\n    two", "fix"},
		"more privileges": {
			errors.New("failed to solve: failed to load LLB: network.host is not allowed"),
			"deployments/datahub/image/Dockerfile: RUN a: network.host is not allowed\n    one\n    two", "remove this"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := newStep().failure(src, tt.err)
			var be *BuildError
			if !errors.As(err, &be) || err.Error() != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("error (%T):\n%v\nwant:\n%s", err, err, tt.want)
			}
			if !strings.Contains(model.HintOf(err), tt.hint) {
				t.Errorf("hint %q, want one about %q", model.HintOf(err), tt.hint)
			}
		})
	}
}

func TestIsOutage(t *testing.T) {
	t.Parallel()
	const registry = "127.0.0.1:17420"
	for text, want := range map[string]bool{
		"failed to push 127.0.0.1:17420/a:b: dial tcp 127.0.0.1:17420: connect: connection refused": true,
		"error reading from server: EOF":                                           true,
		"Get \"https://example.org/x\": dial tcp: connect: connection refused":     false,
		"failed to push 127.0.0.1:17420/a:b: server message: insufficient_scope":   false,
		"process \"/bin/sh -c false\" did not complete successfully: exit code: 1": false,
	} {
		if got := isOutage(errors.New(text), registry); got != want {
			t.Errorf("isOutage(%s) = %v", text, got)
		}
	}
	exit := fmt.Errorf("connection refused by %s: %w", registry, &gateway.ExitError{ExitCode: 1})
	if isOutage(exit, registry) {
		t.Error("an instruction that failed counts as an outage")
	}
}

func TestClean(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain":                      "plain",
		"\x1b[1;31mred\x1b[0m":       "red",
		"\x1b]0;title\x07text":       "text",
		"\x1b]8;;http://x\x1b\\link": "link",
		"a\tb\x00c\x7f":              "a    bc",
		"cut \x1b[":                  "cut ",
		"cut \x1b":                   "cut ",
		"eight-bit \u009b31mcontrol": "eight-bit 31mcontrol",
		"\x1bünï":                    "nï",
		"bad \xff utf-8":             "bad � utf-8",
		"━━━━ 5.2/5.2 MB \x1b[?25hdone ünï": "━━━━ 5.2/5.2 MB done ünï",
	} {
		if got := clean(in); got != want {
			t.Errorf("clean(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzClean(f *testing.F) {
	f.Add("a\x1b[31mb\x1b]0;x\x07")
	f.Fuzz(func(t *testing.T, s string) {
		for _, r := range clean(s) {
			if unicode.IsControl(r) {
				t.Errorf("clean(%q) lets %q through", s, r)
			}
		}
	})
}
