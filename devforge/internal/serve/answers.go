package serve

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"time"

	"github.com/hubship/hubship/internal/model"
)

const (
	maxAdmin      = 1 << 20 // bytes of a request's body
	adminPatience = 30 * time.Second
)

// statusError is an error that knows its HTTP status.
type statusError struct {
	status int
	err    error
}

func (e *statusError) Error() string { return e.err.Error() }

func (e *statusError) Unwrap() error { return e.err }

func writeJSON(w http.ResponseWriter, status int, v any) error {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client may be gone
	return nil
}

// writeError answers with an error in the form of hubship's own API: the
// command line gets its hint and its exit code from it.
func writeError(w http.ResponseWriter, err error) {
	code := model.ExitCodeOf(err)
	status := http.StatusInternalServerError
	var known *statusError
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &known):
		status = known.status
	case errors.As(err, &tooLarge):
		status = http.StatusRequestEntityTooLarge
	case errors.Is(err, fs.ErrExist):
		status = http.StatusConflict
	case errors.Is(err, fs.ErrNotExist):
		status = http.StatusNotFound
	case code == model.ExitUsage:
		status = http.StatusBadRequest
	}
	_ = writeJSON(w, status, struct {
		Error string `json:"error"`
		Hint  string `json:"hint,omitempty"`
		Code  int    `json:"code"`
	}{err.Error(), model.HintOf(err), code})
}

// readBody decodes a request's body strictly.
func readBody(w http.ResponseWriter, r *http.Request, into any) error {
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/json" {
		return &statusError{http.StatusUnsupportedMediaType, fmt.Errorf("the request has content type %.60q, but application/json is expected", kind)}
	}
	// Not every writer has deadlines; those of tests do not.
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(adminPatience))
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxAdmin))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return model.Usage(fmt.Errorf("read the request: %w", err), "hubship and hubship-forge may have different versions: run `hubship up` again")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return model.Usage(errors.New("read the request: there is something after the JSON value"), "send one JSON value")
	}
	_ = control.SetReadDeadline(time.Time{})
	return nil
}

// accountError is an error about an account that says what kind it is.
type accountError struct {
	text string
	kind error
}

func (e *accountError) Error() string { return e.text }

func (e *accountError) Unwrap() error { return e.kind }
