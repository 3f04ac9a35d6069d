package rest

import (
	"bytes"
	"context"
	"io"
	"net/http"

	"github.com/hubship/hubship/devforge/internal/store"
)

// As answers requests in the name of an account that has proved elsewhere who
// it is, as a session of the pages does. They never leave the process, need no
// token and count towards no limit.
func (a *API) As(who store.Account) http.RoundTripper { return visitor{a, who} }

type visitor struct {
	api *API
	who store.Account
}

type visitorKey struct{}

// RoundTrip implements http.RoundTripper.
func (v visitor) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(context.WithValue(r.Context(), visitorKey{}, v.who))
	if r.Body == nil {
		r.Body = http.NoBody
	}
	r.RequestURI = r.URL.RequestURI()
	w := &recorder{header: http.Header{}, status: http.StatusOK}
	v.api.ServeHTTP(w, r)
	return &http.Response{
		Status: http.StatusText(w.status), StatusCode: w.status, Proto: r.Proto, ProtoMajor: 1, ProtoMinor: 1,
		Header: w.header, Body: io.NopCloser(&w.body), ContentLength: int64(w.body.Len()), Request: r,
	}, nil
}

// recorder keeps what a handler writes.
type recorder struct {
	header http.Header
	status int
	wrote  bool
	body   bytes.Buffer
}

func (w *recorder) Header() http.Header { return w.header }

func (w *recorder) WriteHeader(status int) {
	if !w.wrote {
		w.status, w.wrote = status, true
	}
}

func (w *recorder) Write(p []byte) (int, error) {
	w.wrote = true
	return w.body.Write(p)
}
