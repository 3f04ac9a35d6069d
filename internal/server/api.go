package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"mime"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/hubship/hubship/internal/api"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/server/access"
)

const (
	maxRequest   = 1 << 20 // bytes of a request's body
	requestLimit = 30 * time.Second
	maxList      = 1000
)

// routeAPI adds the API. What reads is for who has signed in, what changes
// something for processes at the Unix socket.
func (s *Server) routeAPI(mux *http.ServeMux) {
	at := func(pattern string, action access.Action, h func(http.ResponseWriter, *http.Request) error) {
		s.add(mux, pattern, action, s.answer(h))
	}
	const p = api.Prefix
	at("GET /healthz", access.Public, s.health)
	at("GET "+p+"/healthz", access.Public, s.health)
	at("GET "+p+"/status", access.SeeStatus, s.readStatus)
	at("GET "+p+"/evidence", access.SeeDeploys, s.listEvidence)
	at("GET "+p+"/runs", access.SeeStatus, s.listRuns)
	at("GET "+p+"/runs/{id}", access.SeeStatus, s.readRun)
	at("GET "+p+"/runs/{id}/lines", access.SeeChecks, s.readLines) // and more, as the kind of the run says
	at("POST "+p+"/runs", access.Deploy, s.start)                  // every kind: nobody may over the port
	at("POST "+p+"/promote", access.Promote, s.promote)
	at("POST "+p+"/resume", access.Resume, s.resume)
	at("POST "+p+"/runs/{id}/cancel", access.Cancel, s.cancel)
	at("POST "+p+"/pulls/{number}/revert", access.Revert, s.revert)
	s.routeAccounts(mux)
	at(p+"/", access.SeeStatus, func(_ http.ResponseWriter, r *http.Request) error {
		return &statusError{http.StatusNotFound, fmt.Errorf("%s %s: not found", r.Method, r.URL.Path)}
	})
}

// statusError is an error that knows its HTTP status.
type statusError struct {
	status int
	err    error
}

func (e *statusError) Error() string { return e.err.Error() }

func (e *statusError) Unwrap() error { return e.err }

// answer turns a handler's error into an answer.
func (s *Server) answer(h func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			writeError(w, err, nil)
		}
	})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client may be gone
}

// writeError answers with an error and, for a refused promotion, with what
// was found on the way.
func writeError(w http.ResponseWriter, err error, promotion *model.Promotion) {
	code := model.ExitCodeOf(err)
	status := http.StatusInternalServerError
	var known *statusError
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &known):
		status = known.status
	case errors.As(err, &tooLarge):
		status = http.StatusRequestEntityTooLarge
	case errors.Is(err, fs.ErrNotExist):
		status = http.StatusNotFound
	case code == model.ExitUsage:
		status = http.StatusBadRequest
	case code == model.ExitRefused:
		status = http.StatusConflict
	}
	writeJSON(w, status, api.Error{Error: err.Error(), Hint: model.HintOf(err), Code: code, Promotion: promotion})
}

// readBody decodes a request's body strictly.
func readBody(w http.ResponseWriter, r *http.Request, into any) error {
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/json" {
		return &statusError{http.StatusUnsupportedMediaType, fmt.Errorf("the request has content type %.60q, but application/json is expected", kind)}
	}
	// Not every writer has deadlines; those of tests do not.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(requestLimit))
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return model.Usage(fmt.Errorf("read the request: %w", err), "the command line and the server may have different versions: run `hubship up` again")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return model.Usage(errors.New("read the request: there is something after the JSON value"), "send one JSON value")
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	return nil
}

func (s *Server) health(w http.ResponseWriter, r *http.Request) error {
	h := api.Health{Status: "ok"}
	if _, local := peerOf(r.Context()); local {
		h.Version, h.Started, h.PID = s.opts.Version, s.started, os.Getpid()
	}
	writeJSON(w, http.StatusOK, h)
	return nil
}

// readStatus is exact for the command line, which waits for changes, and a
// moment old for everybody else.
func (s *Server) readStatus(w http.ResponseWriter, r *http.Request) error {
	ask := s.read.Status
	if _, local := peerOf(r.Context()); local {
		ask = s.opts.Service.Status
	}
	status, err := ask(r.Context())
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, status)
	return nil
}

func (s *Server) listRuns(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	f := model.RunFilter{Environment: q.Get("env"), Hub: q.Get("hub"), Kind: model.RunKind(q.Get("kind"))}
	pull, err := number(q.Get("pull"), "pull")
	if err != nil {
		return err
	}
	f.Pull = int(min(pull, math.MaxInt32))
	if v := q.Get("active"); v != "" {
		if f.Active, err = strconv.ParseBool(v); err != nil {
			return model.Usage(fmt.Errorf("active is %q", v), "use true or false")
		}
	}
	limit, err := number(q.Get("limit"), "limit")
	if err != nil {
		return err
	}
	f.Limit = int(min(limit, maxList))
	runs, err := s.read.Runs(r.Context(), f)
	if err != nil {
		return err
	}
	if runs == nil {
		runs = []model.Run{} // [] is easier on its readers than null
	}
	writeJSON(w, http.StatusOK, runs)
	return nil
}

// number reads a parameter that is not negative; nothing is 0.
func number(text, name string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, model.Usage(fmt.Errorf("%s is %q", name, text), "use a whole number, 0 or more")
	}
	return n, nil
}

func (s *Server) readRun(w http.ResponseWriter, r *http.Request) error {
	run, err := s.read.Run(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, run)
	return nil
}

func (s *Server) start(w http.ResponseWriter, r *http.Request) error {
	var req model.RunRequest
	if err := readBody(w, r, &req); err != nil {
		return err
	}
	if req.By == "" {
		req.By = peerName(r.Context())
	}
	run, err := s.opts.Service.Start(r.Context(), req)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusAccepted, run)
	return nil
}

func (s *Server) promote(w http.ResponseWriter, r *http.Request) error {
	var req model.PromoteRequest
	if err := readBody(w, r, &req); err != nil {
		return err
	}
	if req.By == "" {
		req.By = peerName(r.Context())
	}
	p, err := s.opts.Service.Promote(r.Context(), req)
	if err != nil {
		writeError(w, err, &p)
		return nil
	}
	writeJSON(w, http.StatusOK, p)
	return nil
}

func (s *Server) resume(w http.ResponseWriter, r *http.Request) error {
	var req api.ResumeRequest
	if err := readBody(w, r, &req); err != nil {
		return err
	}
	if req.Environment == "" || req.Hub == "" {
		return model.Usage(errors.New("resume needs an environment and a hub"), "use hubship resume --env ENV --hub HUB")
	}
	if req.By == "" {
		req.By = peerName(r.Context())
	}
	if err := s.opts.Service.Resume(r.Context(), req.Environment, req.Hub, req.By); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) cancel(w http.ResponseWriter, r *http.Request) error {
	var req api.CancelRequest
	if err := readBody(w, r, &req); err != nil {
		return err
	}
	if req.By == "" {
		req.By = peerName(r.Context())
	}
	if err := s.opts.Service.Cancel(r.Context(), r.PathValue("id"), req.By); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) revert(w http.ResponseWriter, r *http.Request) error {
	n, err := number(r.PathValue("number"), "the number of the pull request")
	if err != nil {
		return err
	}
	var req api.RevertRequest
	if err := readBody(w, r, &req); err != nil {
		return err
	}
	if req.By == "" {
		req.By = peerName(r.Context())
	}
	opened, err := s.opts.Service.Revert(r.Context(), int(n), req.By)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, opened)
	return nil
}
