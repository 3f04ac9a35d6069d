package gitserver

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/hubship/hubship/devforge/internal/refs"
)

const (
	maxCommands = 1000    // references that one push may move
	maxReport   = 1 << 20 // bytes of git's report about them
	branches    = "refs/heads/"
)

// command is one reference that a push wants to move.
type command struct{ old, new, ref string }

var commandLine = regexp.MustCompile(`^([0-9a-f]{40}) ([0-9a-f]{40}) (\S+)$`)

// request is the list at the start of a push.
type request struct {
	commands []command
	shallow  []string        // lines about history that the client does not have
	can      map[string]bool // what the client is capable of
}

// receive answers a push. Git brings the objects, below a reference that nobody
// sees; then Move decides, and moves.
func (s *Server) receive(w http.ResponseWriter, r *http.Request, e endpoint, user, login string) {
	body, err := openBody(w, r, s.opts.MaxPush)
	if err != nil {
		http.Error(w, "hubship: "+err.Error(), http.StatusBadRequest)
		return
	}
	q, err := readRequest(body)
	if err != nil {
		http.Error(w, "hubship: malformed push: "+err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/x-git-receive-pack-result")
	if len(q.commands) == 0 {
		return // git probes with an empty request before a large push
	}
	if s.opts.Move == nil {
		http.Error(w, "hubship: this repository does not accept pushes", http.StatusForbidden)
		return
	}
	// The push goes through even if the client goes away while git works: what
	// counts is whether the reference moved.
	ctx := context.WithoutCancel(r.Context())
	answer := &reportWriter{ResponseWriter: w, header: w.Header(), sideband: q.can["side-band-64k"]}
	failed, err := s.foresee(ctx, e, login, q, body)
	if err == nil && len(failed) == 0 {
		failed, err = s.bring(ctx, r, e, user, q, body, answer)
	}
	if err == nil && len(failed) == 0 {
		failed, err = s.opts.Move(ctx, e.repository, login, q.moves())
	}
	if err != nil {
		s.opts.Log.Error("embedded Git server: a push failed", "repository", e.repository, "error", err)
		failed = map[string]string{}
		for _, c := range q.commands {
			failed[c.ref] = "the server failed; its log says why"
		}
	}
	var lines []string
	if updates := q.updates(); len(failed) == 0 && len(updates) > 0 && s.opts.OnPush != nil {
		ctx, cancel := context.WithTimeout(ctx, onPushLimit)
		defer cancel()
		lines = s.opts.OnPush(ctx, e.repository, updates, user)
	}
	answer.finish(report(q.can, q.commands, failed), lines)
}

// foresee says what of a push will be refused anyhow: nobody fills the disk with
// what they may not push.
func (s *Server) foresee(ctx context.Context, e endpoint, login string, q request, body io.Reader) (map[string]string, error) {
	if s.opts.Foresee == nil {
		return nil, nil
	}
	failed, err := s.opts.Foresee(ctx, e.repository, login, q.moves())
	if err != nil || len(failed) == 0 {
		return nil, err
	}
	_, err = io.Copy(io.Discard, body) // the client reads the answer when it has sent everything
	return failed, err
}

func (q request) moves() []Move {
	moves := make([]Move, 0, len(q.commands))
	for _, c := range q.commands {
		moves = append(moves, Move{Ref: c.ref, Old: c.old, New: c.new})
	}
	return moves
}

// updates are the branches that the push moves.
func (q request) updates() []refs.Update {
	var updates []refs.Update
	for _, c := range q.commands {
		if branch, ok := strings.CutPrefix(c.ref, branches); ok && c.old != c.new {
			updates = append(updates, refs.Update{Branch: branch, Old: c.old, New: c.new})
		}
	}
	return updates
}

// readRequest reads the list of commands at the start of a push.
func readRequest(r io.Reader) (q request, err error) {
	seen := map[string]bool{}
	for first := true; len(q.commands)+len(q.shallow) < maxCommands; first = false {
		line, err := readPacket(r)
		if errors.Is(err, io.EOF) && first {
			return q, nil
		}
		if err != nil {
			return q, err
		}
		if line == nil {
			return q, nil
		}
		text, capabilities, ok := strings.Cut(string(line), "\x00")
		if ok && q.can == nil {
			q.can = map[string]bool{}
			for name := range strings.FieldsSeq(capabilities) {
				q.can[name] = true
			}
		}
		text = strings.TrimSuffix(text, "\n")
		m := commandLine.FindStringSubmatch(text)
		switch {
		case m != nil && seen[m[3]]:
			return q, fmt.Errorf("it moves %.80q twice", m[3])
		case m != nil:
			seen[m[3]] = true
			q.commands = append(q.commands, command{old: m[1], new: m[2], ref: m[3]})
		case strings.HasPrefix(text, "shallow "):
			q.shallow = append(q.shallow, text)
		default:
			return q, fmt.Errorf("unexpected line %.80q", text)
		}
	}
	return q, fmt.Errorf("it moves more than %d references", maxCommands)
}

// readPacket returns the payload of the next packet line, nil for a flush.
func readPacket(r io.Reader) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	n, err := strconv.ParseUint(string(length[:]), 16, 16)
	if err != nil || (n > 0 && n < 4) {
		return nil, fmt.Errorf("bad packet length %q", length[:])
	}
	if n == 0 {
		return nil, nil
	}
	payload := make([]byte, n-4)
	if _, err := io.ReadFull(r, payload); err != nil {
		return nil, err
	}
	return payload, nil
}

// reportWriter hands on what git says for people while it takes a push in, and
// keeps its report, which is about references that nobody asked for.
type reportWriter struct {
	http.ResponseWriter
	header   http.Header
	sideband bool // the client shows words
	status   int
	gone     bool   // the client does not listen any more
	pending  []byte // of the answer, not a whole packet yet
	raw      []byte // git's report, itself packet lines
	ended    bool   // the flush came
}

// WriteHeader keeps the status: what the client is told follows from the report.
func (w *reportWriter) WriteHeader(status int) {
	w.status = status
	w.header.Del("Content-Length")
	w.header.Set("Content-Type", "application/x-git-receive-pack-result")
	w.header.Set("Cache-Control", "no-store")
}

// Write never fails, so that git is not killed in mid-push because its client
// went away.
func (w *reportWriter) Write(p []byte) (int, error) {
	if w.status != 0 && w.status != http.StatusOK {
		return len(p), nil
	}
	w.pending = append(w.pending, p...)
	for len(w.pending) >= 4 && !w.ended {
		n, err := strconv.ParseUint(string(w.pending[:4]), 16, 16)
		switch {
		case err != nil || (n > 0 && n < 4):
			w.pending, w.ended, w.raw = nil, true, nil // not packets: no report
			return len(p), nil
		case n == 0:
			w.ended = true
			return len(p), nil
		case len(w.pending) < int(n):
			return len(p), nil
		}
		w.packet(w.pending[4:n], w.pending[:n])
		w.pending = w.pending[n:]
	}
	return len(p), nil
}

// packet looks at one packet of the answer. Without side bands it is a line of
// the report itself.
func (w *reportWriter) packet(payload, whole []byte) {
	switch {
	case !w.sideband:
		w.addRaw(whole)
	case len(payload) > 0 && payload[0] == 1:
		w.addRaw(payload[1:])
	case len(payload) > 0 && payload[0] == 2:
		w.pass(whole)
	}
}

func (w *reportWriter) addRaw(p []byte) {
	if len(w.raw)+len(p) <= maxReport {
		w.raw = append(w.raw, p...)
	}
}

// said reads git's report: whether everything was unpacked, and why references
// were not made.
func (w *reportWriter) said() (unpack string, failed map[string]string) {
	failed = map[string]string{}
	r := bufio.NewReader(bytes.NewReader(w.raw))
	for {
		line, err := readPacket(r)
		if err != nil || line == nil {
			return unpack, failed
		}
		text := strings.TrimSuffix(string(line), "\n")
		if result, ok := strings.CutPrefix(text, "unpack "); ok {
			unpack = result
		} else if rest, ok := strings.CutPrefix(text, "ng "); ok {
			ref, reason, _ := strings.Cut(rest, " ")
			failed[ref] = reason
		}
	}
}

func (w *reportWriter) pass(p []byte) {
	if w.gone || len(p) == 0 {
		return
	}
	if _, err := w.ResponseWriter.Write(p); err != nil {
		w.gone = true
		return
	}
	// Progress, and signs of life while git works, are of use at once only.
	_ = http.NewResponseController(w.ResponseWriter).Flush()
}

// finish says the lines to the person who pushes, and ends the answer with the
// report.
func (w *reportWriter) finish(report []byte, lines []string) {
	if w.sideband {
		for _, line := range lines {
			line = strings.ToValidUTF8(strings.Join(strings.Fields(line), " "), "")
			if len(line) > 900 { // an old client takes packets of 1,000 bytes
				line = strings.ToValidUTF8(line[:900], "")
			}
			w.pass(fmt.Appendf(nil, "%04x\x02%s\n", len(line)+6, line))
		}
	}
	w.pass(report)
}
