package server

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/hubship/hubship/internal/api"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/server/access"
)

const (
	pageLines  = 1000                   // that are read at once
	pollLines  = 200 * time.Millisecond // between two looks at a log that grows
	writeLimit = 30 * time.Second       // for a client to take what is written
	lookAgain  = 2 * time.Second        // whether who reads a log that grows still may
)

// lineStream sends a run's log.
type lineStream struct {
	s       *Server
	w       http.ResponseWriter
	r       *http.Request
	control *http.ResponseController
	enc     *json.Encoder
	id      string
	after   int64
	left    int64 // lines still wanted; negative is all
	sent    time.Time
	state   model.RunState // that was told last
	action  access.Action  // that reading it is
	looked  time.Time      // whether the reader still may
}

// readLines sends the lines of a run as Events. Followed, it goes on until the
// run is final, with a sign of life every few seconds.
func (s *Server) readLines(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	st := &lineStream{s: s, w: w, r: r, control: http.NewResponseController(w), enc: json.NewEncoder(w), id: r.PathValue("id"), left: -1}
	var err error
	if st.after, err = number(q.Get("after"), "after"); err != nil {
		return err
	}
	limit, err := number(q.Get("limit"), "limit")
	if err != nil {
		return err
	}
	if limit > 0 {
		st.left = limit
	}
	follow := false
	if v := q.Get("follow"); v != "" {
		if follow, err = strconv.ParseBool(v); err != nil {
			return model.Usage(fmt.Errorf("follow is %q", v), "use true or false")
		}
	}
	run, err := s.read.Run(r.Context(), st.id)
	if err != nil {
		return err // nothing has been sent, so this can still be an answer
	}
	st.action = seeing(run)
	if !may(r.Context(), st.action) {
		return withheld(st.action)
	}
	st.looked = time.Now()
	w.Header().Set("Content-Type", api.NDJSON)
	if err := st.send(run, follow); err != nil && r.Context().Err() == nil {
		// The stream breaks off here; its reader connects again.
		s.log.Warn("a log broke off", "run", st.id, "error", err)
	}
	return nil
}

// send writes what there is, and what comes when it follows. The run is read
// before its lines: when it is final, the lines are complete.
func (st *lineStream) send(run model.Run, follow bool) error {
	for {
		if err := st.sendLines(); err != nil {
			return err
		}
		final := run.State.Final()
		if run.State != st.state || !follow {
			if err := st.event(api.Event{Run: &run}); err != nil {
				return err
			}
			st.state = run.State
		} else if time.Since(st.sent) >= api.Heartbeat {
			if err := st.event(api.Event{}); err != nil {
				return err
			}
		}
		if err := st.control.Flush(); err != nil {
			return err
		}
		if final || !follow || st.left == 0 {
			return nil
		}
		select {
		case <-st.r.Context().Done():
			return nil
		case <-streamsEnd(st.r.Context()):
			return nil
		case <-time.After(pollLines):
		}
		if time.Since(st.looked) >= lookAgain {
			if !st.s.alive(st.r.Context(), st.action) {
				return nil // the reader asks again, and is told why not
			}
			st.looked = time.Now()
		}
		var err error
		if run, err = st.s.read.Run(st.r.Context(), st.id); err != nil {
			return err
		}
	}
}

func (st *lineStream) sendLines() error {
	for st.left != 0 {
		want := pageLines
		if st.left > 0 && st.left < pageLines {
			want = int(st.left)
		}
		lines, err := st.s.read.Lines(st.r.Context(), st.id, st.after, want)
		if err != nil {
			return err
		}
		for i := range lines {
			if err := st.event(api.Event{Line: &lines[i]}); err != nil {
				return err
			}
			st.after = lines[i].Seq
		}
		if st.left > 0 {
			st.left -= int64(len(lines))
		}
		if len(lines) < want {
			return nil
		}
	}
	return nil
}

func (st *lineStream) event(e api.Event) error {
	st.sent = time.Now()
	// Not every writer has deadlines; those of tests do not.
	_ = st.control.SetWriteDeadline(st.sent.Add(writeLimit))
	return st.enc.Encode(e)
}
