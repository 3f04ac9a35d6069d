package local

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// refuse asks whether an account may move what it pushes, and answers the push
// in git's place if not: git has no hook here to ask for it.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, e endpoint, login string, commands []command, head []byte, body io.Reader) (done bool) {
	if login == "" || s.opts.Authorize == nil || len(commands) == 0 {
		return false
	}
	moves := make([]Move, 0, len(commands))
	for _, c := range commands {
		moves = append(moves, Move{Ref: c.ref, Old: c.old, New: c.new})
	}
	refused, err := s.opts.Authorize(r.Context(), e.repository, login, moves)
	if err != nil {
		s.opts.Log.Error("embedded Git server: ask whether a push is allowed", "repository", e.repository, "error", err)
		http.Error(w, "hubship: it could not be found out whether this push is allowed", http.StatusInternalServerError)
		return true
	}
	if len(refused) == 0 {
		return false
	}
	// The client reads the answer when it has sent everything.
	if _, err := io.Copy(io.Discard, body); err != nil {
		http.Error(w, "hubship: the push is not understood: "+err.Error(), http.StatusBadRequest)
		return true
	}
	w.Header().Set("Content-Type", "application/x-git-receive-pack-result")
	_, _ = w.Write(refusal(capabilities(head), commands, refused)) // a client that went away needs no answer
	return true
}

// capabilities are what the client can do, as the first command says.
func capabilities(head []byte) map[string]bool {
	set := map[string]bool{}
	_, after, ok := bytes.Cut(head, []byte{0})
	if !ok {
		return set
	}
	// They end with the packet: at a newline, or where the next one begins.
	line, err := readPacket(bytes.NewReader(head))
	if err == nil {
		if _, own, ok := bytes.Cut(line, []byte{0}); ok {
			after = own
		}
	}
	for name := range strings.FieldsSeq(string(after)) {
		set[name] = true
	}
	return set
}

// refusal is git's report of a push of which nothing went through.
func refusal(can map[string]bool, commands []command, refused map[string]string) []byte {
	packet := func(out *bytes.Buffer, payload string) { fmt.Fprintf(out, "%04x%s", len(payload)+4, payload) }
	var report, out bytes.Buffer
	packet(&report, "unpack ok\n")
	for _, c := range commands {
		reason, ok := refused[c.ref]
		if !ok {
			reason = "another reference of this push is refused"
		}
		packet(&report, "ng "+c.ref+" "+strings.ToValidUTF8(strings.Join(strings.Fields(reason), " "), "")+"\n")
	}
	report.WriteString("0000")
	switch {
	case !can["report-status"] && !can["report-status-v2"]:
		return []byte("0000")
	case !can["side-band-64k"]:
		return report.Bytes()
	}
	const most = 60_000 // bytes of a packet
	for rest := report.Bytes(); len(rest) > 0; {
		n := min(len(rest), most)
		packet(&out, "\x01"+string(rest[:n]))
		rest = rest[n:]
	}
	out.WriteString("0000")
	return out.Bytes()
}
