package buildkit

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/moby/buildkit/client"
	digest "github.com/opencontainers/go-digest"
)

const (
	tailLines   = 20              // of a failed instruction, in its error
	maxLine     = 2000            // bytes of one line of output
	reportEvery = 5 * time.Second // for a transfer under way

	worthReporting = time.Second // of a transfer or an internal step
)

// progress turns BuildKit's status into lines:
//
//	[2/4] RUN apt-get update && …
//	[2/4] | Reading package lists...
//	[2/4] done in 12.3s
//
// and keeps the last lines of each step, for the error of the one that fails.
type progress struct {
	log   io.Writer
	steps map[digest.Digest]*step
}

type step struct {
	name, tag   string
	shown, done bool
	err         string
	lines
	transfers map[string]time.Time // by id: when last reported
}

func newProgress(log io.Writer) *progress {
	return &progress{log: log, steps: map[digest.Digest]*step{}}
}

// follow returns a channel for the client's status, which closes it, and one
// that is closed when the last of it has become lines.
func (p *progress) follow() (statuses chan *client.SolveStatus, followed <-chan struct{}) {
	statuses = make(chan *client.SolveStatus)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for s := range statuses {
			p.update(s)
		}
	}()
	return statuses, done
}

func (p *progress) update(s *client.SolveStatus) {
	for _, v := range s.Vertexes {
		p.vertex(v)
	}
	for _, v := range s.Statuses {
		p.transfer(v)
	}
	for _, l := range s.Logs {
		if st, ok := p.steps[l.Vertex]; ok {
			st.add(l.Stream, l.Data, p.shows(st))
		}
	}
	for _, w := range s.Warnings {
		p.printf("warning: %s\n", bytes.TrimSpace(w.Short))
	}
}

func (p *progress) vertex(v *client.Vertex) {
	st, ok := p.steps[v.Digest]
	if !ok {
		st = &step{name: oneLine(v.Name), lines: newLines(tailLines), transfers: map[string]time.Time{}}
		st.tag = tagOf(st.name)
		p.steps[v.Digest] = st
	}
	// Reading the build file and the like is of interest only when it takes
	// long or fails.
	internal := strings.HasPrefix(st.name, "[internal]")
	if v.Started != nil && !st.shown && !internal {
		st.shown = true
		p.printf("%s\n", st.name)
	}
	if v.Completed == nil || st.done {
		return
	}
	st.done, st.err = true, v.Error
	st.flush(p.shows(st))
	var took time.Duration
	if v.Started != nil {
		took = v.Completed.Sub(*v.Started)
	}
	switch {
	case v.Error != "" && strings.Contains(v.Error, context.Canceled.Error()):
		p.printf("%s stopped\n", st.tag)
	case v.Error != "":
		p.printf("%s failed: %s\n", st.tag, oneLine(v.Error))
	case internal && took < worthReporting:
	case v.Cached && st.shown:
		p.printf("%s cached\n", st.tag)
	case v.Cached:
		p.printf("%s cached\n", st.name)
	default:
		p.printf("%s done in %.1fs\n", st.tag, took.Seconds())
	}
}

// transfer reports pulls and pushes that take their time: every few seconds,
// and at their end.
func (p *progress) transfer(v *client.VertexStatus) {
	st, ok := p.steps[v.Vertex]
	if !ok {
		return
	}
	last, begun := st.transfers[v.ID]
	switch {
	case v.Completed != nil:
		if begun && last.IsZero() {
			return // its end was reported
		}
		st.transfers[v.ID] = time.Time{}
		if v.Started == nil || v.Completed.Sub(*v.Started) < worthReporting {
			return
		}
		p.printf("%s | %s%s: done in %.1fs\n", st.tag, oneLine(v.ID), amount(v), v.Completed.Sub(*v.Started).Seconds())
	case !begun:
		st.transfers[v.ID] = v.Timestamp
	case !last.IsZero() && v.Timestamp.Sub(last) >= reportEvery:
		st.transfers[v.ID] = v.Timestamp
		p.printf("%s | %s%s\n", st.tag, oneLine(v.ID), amount(v))
	}
}

func amount(v *client.VertexStatus) string {
	switch {
	case v.Total > 0:
		return fmt.Sprintf(" %.1f of %.1f MB", float64(v.Current)/1e6, float64(v.Total)/1e6)
	case v.Current > 0:
		return fmt.Sprintf(" %.1f MB", float64(v.Current)/1e6)
	}
	return ""
}

// shows prints lines of a step's output.
func (p *progress) shows(st *step) func(string) {
	return func(text string) { p.printf("%s | %s\n", st.tag, text) }
}

// lines splits what a program prints into lines that are fit to be shown, and
// keeps the last ones.
type lines struct {
	partial map[int][]byte // by stream: output after its last line end
	tail    []string
	keep    int
}

func newLines(keep int) lines { return lines{partial: map[int][]byte{}, keep: keep} }

func (l *lines) add(stream int, data []byte, show func(string)) {
	rest := append(l.partial[stream], data...)
	for {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			break
		}
		l.line(rest[:i], show)
		rest = rest[i+1:]
	}
	if len(rest) > maxLine {
		rest = visible(rest)
	}
	if len(rest) > maxLine {
		l.line(rest, show)
		rest = nil
	}
	l.partial[stream] = rest
}

func (l *lines) flush(show func(string)) {
	for stream, rest := range l.partial {
		l.line(rest, show)
		delete(l.partial, stream)
	}
}

func (l *lines) line(raw []byte, show func(string)) {
	raw = visible(raw)
	text := strings.TrimRight(clean(string(raw[:min(len(raw), maxLine)])), " \t")
	if text == "" {
		return
	}
	l.tail = append(l.tail, text)
	if len(l.tail) > l.keep {
		l.tail = l.tail[len(l.tail)-l.keep:]
	}
	show(text)
}

// visible is what a terminal would still show of a line: the text after the
// last carriage return, with which programs draw their progress over and over.
func visible(raw []byte) []byte {
	end := bytes.TrimRight(raw, "\r")
	if i := bytes.LastIndexByte(end, '\r'); i >= 0 {
		return raw[i+1:]
	}
	return raw
}

// printf cannot fail the build: its log is for people, the outcome is not.
func (p *progress) printf(format string, args ...any) { _, _ = fmt.Fprintf(p.log, format, args...) }

// tagOf is how the lines of a step begin: its "[2/4]", or its name.
func tagOf(name string) string {
	if strings.HasPrefix(name, "[") {
		if tag, rest, ok := strings.Cut(name, "] "); ok && tag != "[internal" && rest != "" {
			return tag + "]"
		}
	}
	return name
}

// oneLine makes a text fit for a line of the log.
func oneLine(s string) string {
	const limit = 160
	s = clean(strings.Join(strings.Fields(s), " "))
	if r := []rune(s); len(r) > limit {
		return string(r[:limit-1]) + "…"
	}
	return s
}

// clean takes out the escape sequences and control characters of a terminal:
// what a build prints is shown on terminals and pages of other people.
func clean(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == 0x1b:
			i = skipEscape(s, i)
			continue
		case r == '\t':
			out.WriteString("    ")
		case unicode.IsControl(r):
		default:
			out.WriteRune(r)
		}
		i += size - 1
	}
	return out.String()
}

// skipEscape returns the index of the last byte of the escape sequence at i.
func skipEscape(s string, i int) int {
	if i+1 >= len(s) {
		return i
	}
	switch s[i+1] {
	case '[': // up to a letter
		for j := i + 2; j < len(s); j++ {
			if s[j] >= 0x40 && s[j] <= 0x7e {
				return j
			}
		}
		return len(s) - 1
	case ']': // up to BEL or ESC \
		for j := i + 2; j < len(s); j++ {
			if s[j] == 0x07 {
				return j
			}
			if s[j] == 0x1b && j+1 < len(s) && s[j+1] == '\\' {
				return j + 1
			}
		}
		return len(s) - 1
	}
	_, size := utf8.DecodeRuneInString(s[i+1:])
	return i + size
}

// lineWriter passes whole lines on, one write each, and lets several
// goroutines write.
type lineWriter struct {
	mu   sync.Mutex
	to   io.Writer
	rest []byte
}

func newLineWriter(to io.Writer) *lineWriter {
	if to == nil {
		to = io.Discard
	}
	return &lineWriter{to: to}
}

func (w *lineWriter) Write(data []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rest = append(w.rest, data...)
	for {
		i := bytes.IndexByte(w.rest, '\n')
		if i < 0 {
			return len(data), nil
		}
		if _, err := w.to.Write(w.rest[:i+1]); err != nil {
			w.rest = w.rest[i+1:]
			return len(data), err
		}
		w.rest = w.rest[i+1:]
	}
}

// Flush passes on what is left without a line end, and adds one.
func (w *lineWriter) Flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.rest) > 0 {
		_, _ = w.to.Write(append(w.rest, '\n'))
		w.rest = nil
	}
}
