package gitserver

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"time"
)

// protocolVersion is what a Git client may ask for in Git-Protocol.
var protocolVersion = regexp.MustCompile(`^version=[0-9](:[a-z0-9=-]{1,64}){0,8}$`)

// backendRequest is the request that git http-backend sees: the fields it
// needs and no other, so that a header can neither carry the token to it nor
// set a variable of its own.
func backendRequest(r *http.Request, e endpoint, body io.ReadCloser) *http.Request {
	out := (&http.Request{
		Method:     r.Method,
		URL:        &url.URL{Path: "/" + e.repository + ".git" + e.path},
		Proto:      r.Proto,
		ProtoMajor: r.ProtoMajor,
		ProtoMinor: r.ProtoMinor,
		Header:     http.Header{},
		Host:       "localhost",
		RemoteAddr: r.RemoteAddr,
	}).WithContext(r.Context())
	if r.Method == http.MethodPost {
		// -1 is "until it ends": the body may come in chunks, and is inflated
		// by now.
		out.Body, out.ContentLength = body, -1
		out.Header.Set("Content-Type", "application/x-"+e.service+"-request")
	} else {
		out.URL.RawQuery = "service=" + e.service
	}
	// CGI hands Git-Protocol on as HTTP_GIT_PROTOCOL, which http-backend takes
	// for GIT_PROTOCOL.
	if v := r.Header.Get("Git-Protocol"); protocolVersion.MatchString(v) {
		out.Header.Set("Git-Protocol", v)
	}
	return out
}

// openBody returns the request's body inflated, bounded, and given up when the
// client is silent for too long.
func openBody(w http.ResponseWriter, r *http.Request, limit int64) (io.ReadCloser, error) {
	if r.Method != http.MethodPost {
		return http.NoBody, nil
	}
	// MaxBytesReader is not given w, because git reads the body in a goroutine
	// of its own while the answer may be written already. That happens when it
	// fails only: http-backend buffers the requests of upload-pack, and
	// receive-pack is silent until it has read everything.
	live := &liveBody{body: http.MaxBytesReader(nil, r.Body, limit), control: http.NewResponseController(w)}
	switch encoding := r.Header.Get("Content-Encoding"); encoding {
	case "", "identity":
		// A client may wait to be asked for the body, which the first read does,
		// but not once the answer has begun: git may begin it before it reads.
		// What is wrong with the body, the next read tells.
		begun := bufio.NewReader(live)
		_, _ = begun.Peek(1)
		return &boundBody{Reader: begun, Closer: live}, nil
	case "gzip", "x-gzip":
		plain, err := gzip.NewReader(live)
		if err != nil {
			return nil, fmt.Errorf("the body is not gzip: %w", err)
		}
		// A small body can inflate to a huge one: bounded once more.
		return &boundBody{Reader: io.LimitReader(plain, limit), Closer: live}, nil
	default:
		return nil, fmt.Errorf("content encoding %.20q is not supported", encoding)
	}
}

// boundBody reads from one and closes another.
type boundBody struct {
	io.Reader
	io.Closer
}

// liveBody moves the read deadline on with every read.
type liveBody struct {
	body    io.ReadCloser
	control *http.ResponseController
}

func (b *liveBody) Read(p []byte) (int, error) {
	// Not every writer has deadlines; those of tests do not.
	_ = b.control.SetReadDeadline(time.Now().Add(patience))
	n, err := b.body.Read(p)
	if err != nil {
		// Past the body nothing is expected of the client: a deadline would
		// end the request while git works.
		_ = b.control.SetReadDeadline(time.Time{})
	}
	return n, err
}

func (b *liveBody) Close() error {
	_ = b.control.SetReadDeadline(time.Time{})
	return b.body.Close()
}
