package local

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/hubship/hubship/internal/forge"
)

const (
	maxCommands = 1000    // references that one push may move
	maxReport   = 1 << 20 // bytes of git's report about them
	branches    = "refs/heads/"
)

// command is one reference that a push wants to move.
type command struct{ old, new, ref string }

var commandLine = regexp.MustCompile(`^([0-9a-f]{40}) ([0-9a-f]{40}) (\S+)$`)

// receive answers a push. It reads what the client wants to move, lets git do
// it, and tells OnPush what moved before the client's git ends. The login is
// empty for whoever has the server's own token.
func (s *Server) receive(w http.ResponseWriter, r *http.Request, e endpoint, user, login string) {
	body, err := openBody(w, r, s.opts.MaxPush)
	if err != nil {
		http.Error(w, "hubship: "+err.Error(), http.StatusBadRequest)
		return
	}
	head, commands, err := readCommands(body)
	if err != nil {
		http.Error(w, "hubship: the push is not understood: "+err.Error(), http.StatusBadRequest)
		return
	}
	if done := s.refuse(w, r, e, login, commands, head, body); done {
		return
	}
	var extra []setting
	if s.protects(e.repository, commands) {
		extra = []setting{{"receive.denyNonFastForwards", "true"}}
		// Whether an account may delete, Authorize knows branch by branch.
		if login == "" || s.opts.Authorize == nil {
			extra = append(extra, setting{"receive.denyDeletes", "true"})
		}
	}
	whole := &boundBody{Reader: io.MultiReader(bytes.NewReader(head), body), Closer: body}
	answer := &reportWriter{ResponseWriter: w, header: w.Header(), report: map[string]bool{}}
	// The push goes through even if the client goes away while git works: what
	// counts is whether the reference moved.
	req := backendRequest(r, e, whole)
	s.backendFor(e, user, extra).ServeHTTP(answer, req.WithContext(context.WithoutCancel(r.Context())))

	var updates []forge.RefUpdate
	for _, c := range commands {
		if answer.report[c.ref] && strings.HasPrefix(c.ref, branches) && c.old != c.new {
			updates = append(updates, forge.RefUpdate{Branch: strings.TrimPrefix(c.ref, branches), Old: c.old, New: c.new})
		}
	}
	var lines []string
	if len(updates) > 0 && s.opts.OnPush != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), onPushLimit)
		defer cancel()
		lines = s.opts.OnPush(ctx, e.repository, updates, user)
	}
	answer.finish(lines)
}

// protects says whether a push concerns a branch that moves forward only. All
// of that push is then held to it: git knows no finer setting.
func (s *Server) protects(repository string, commands []command) bool {
	if s.opts.Protected == nil {
		return true
	}
	protected := s.opts.Protected(repository)
	return slices.ContainsFunc(commands, func(c command) bool {
		return slices.Contains(protected, AllBranches) || slices.Contains(protected, strings.TrimPrefix(c.ref, branches))
	})
}

// readCommands reads the list of commands at the start of a push. It returns
// the bytes it read, for git to read again.
func readCommands(body io.Reader) (head []byte, commands []command, err error) {
	var seen bytes.Buffer
	r := io.TeeReader(body, &seen)
	for range maxCommands {
		line, err := readPacket(r)
		if errors.Is(err, io.EOF) && seen.Len() == 0 {
			return nil, nil, nil // git probes with an empty request before a large push
		}
		if err != nil {
			return nil, nil, err
		}
		if line == nil {
			return seen.Bytes(), commands, nil
		}
		text, _, _ := strings.Cut(string(line), "\x00") // capabilities follow
		text = strings.TrimSuffix(text, "\n")
		if m := commandLine.FindStringSubmatch(text); m != nil {
			commands = append(commands, command{old: m[1], new: m[2], ref: m[3]})
		} else if !strings.HasPrefix(text, "shallow ") {
			return nil, nil, fmt.Errorf("unexpected line %.80q", text)
		}
	}
	return nil, nil, fmt.Errorf("it moves more than %d references", maxCommands)
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

// reportWriter hands git's answer to a push on to the client as it comes, all
// but the flush at its end: before that, words can be put in for the person
// who pushes. On the way it reads which references moved.
type reportWriter struct {
	http.ResponseWriter
	header   http.Header
	status   int
	gone     bool            // the client does not listen any more
	sideband bool            // the client shows words
	pending  []byte          // of the answer, not a whole packet yet
	raw      []byte          // git's report, itself packet lines
	report   map[string]bool // references that moved
	ended    bool            // the flush came
}

// WriteHeader passes the status on; the length is no longer git's.
func (w *reportWriter) WriteHeader(status int) {
	w.status = status
	w.header.Del("Content-Length")
	w.ResponseWriter.WriteHeader(status)
}

// Write never fails, so that git is not killed in mid-push because its client
// went away.
func (w *reportWriter) Write(p []byte) (int, error) {
	if w.status != 0 && w.status != http.StatusOK {
		w.pass(p)
		return len(p), nil
	}
	w.pending = append(w.pending, p...)
	for len(w.pending) >= 4 && !w.ended {
		n, err := strconv.ParseUint(string(w.pending[:4]), 16, 16)
		switch {
		case err != nil || (n > 0 && n < 4):
			w.pass(w.pending) // not packets: nothing of ours to read or add
			w.pending, w.ended = nil, true
			return len(p), nil
		case n == 0:
			w.ended = true
			w.readReport()
			return len(p), nil
		case len(w.pending) < int(n):
			return len(p), nil
		}
		w.packet(w.pending[4:n])
		w.pass(w.pending[:n])
		w.pending = w.pending[n:]
	}
	return len(p), nil
}

// packet looks at one packet of the answer. Without side bands it is a line of
// the report itself.
func (w *reportWriter) packet(payload []byte) {
	switch {
	case len(payload) > 0 && payload[0] == 1:
		w.sideband = true
		w.addRaw(payload[1:])
	case len(payload) > 0 && (payload[0] == 2 || payload[0] == 3):
		w.sideband = true
	case !w.sideband:
		w.addRaw(fmt.Appendf(nil, "%04x%s", len(payload)+4, payload))
	}
}

func (w *reportWriter) addRaw(p []byte) {
	if len(w.raw)+len(p) <= maxReport {
		w.raw = append(w.raw, p...)
	}
}

// readReport finds "ok REF" in the report. A client that asks for no report
// tells nothing; the next look at the repository finds what moved.
func (w *reportWriter) readReport() {
	r := bufio.NewReader(bytes.NewReader(w.raw))
	for {
		line, err := readPacket(r)
		if err != nil || line == nil {
			return
		}
		if ref, ok := strings.CutPrefix(strings.TrimSuffix(string(line), "\n"), "ok "); ok {
			w.report[ref] = true
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

// finish says the lines to the person who pushes, and ends the answer.
func (w *reportWriter) finish(lines []string) {
	if w.ended && w.sideband {
		for _, line := range lines {
			line = strings.ToValidUTF8(strings.Join(strings.Fields(line), " "), "")
			if len(line) > 900 { // an old client takes packets of 1,000 bytes
				line = strings.ToValidUTF8(line[:900], "")
			}
			w.pass(fmt.Appendf(nil, "%04x\x02%s\n", len(line)+6, line))
		}
	}
	w.pass(w.pending)
}
