package jupyter

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// replay serves the websocket of a kernel that answers a request with
// messages recorded from a real one: testdata/NAME.jsonl, where REQUEST stands
// for the id of the request.
type replay struct {
	recording string
	frames    [][]byte // instead of a recording
	hangUp    bool     // close the connection afterwards
	interrupt func()   // called on an interrupt
	header    http.Header
	query     url.Values
}

func (p *replay) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, "/interrupt") {
		if p.interrupt != nil {
			p.interrupt()
		}
		w.WriteHeader(http.StatusNoContent)
		return
	}
	p.header, p.query = r.Header.Clone(), r.URL.Query()
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer func() { _ = conn.CloseNow() }()
	for {
		_, data, err := conn.Read(r.Context())
		if err != nil {
			return
		}
		m, err := decodeMessage(data)
		if err != nil {
			return
		}
		frames := p.frames
		if p.recording != "" {
			text, err := os.ReadFile(filepath.Join("testdata", p.recording+".jsonl"))
			if err != nil {
				panic(err)
			}
			frames = bytes.Split(bytes.TrimSpace(bytes.ReplaceAll(text, []byte("REQUEST"), []byte(m.Header.ID))), []byte("\n"))
		}
		for _, f := range frames {
			if err := conn.Write(r.Context(), websocket.MessageText, f); err != nil {
				return
			}
		}
		if p.hangUp {
			_ = conn.Close(websocket.StatusGoingAway, "bye")
			return
		}
	}
}

func (p *replay) connect(t *testing.T) *Kernel {
	t.Helper()
	srv := httptest.NewServer(p)
	t.Cleanup(srv.Close)
	base, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	k, err := New(base, http.DefaultTransport, "s3cret").Notebook("u").Connect(t.Context(), "k1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k
}

func TestInfoOfARecordedKernel(t *testing.T) {
	p := &replay{recording: "info"}
	k := p.connect(t)
	info, err := k.Info(t.Context())
	if err != nil || info != "Python 3.11.7 (ipython 9.18.1)" {
		t.Errorf("info %q, error %v", info, err)
	}
	if p.header.Get("Authorization") != "token s3cret" {
		t.Errorf("the websocket was opened with %q", p.header.Get("Authorization"))
	}
	if p.query.Get("session_id") == "" || strings.Contains(p.query.Encode(), "s3cret") {
		t.Errorf("query %q", p.query.Encode())
	}
}

func TestRunAgainstRecordings(t *testing.T) {
	tests := []struct {
		recording, value, output, raised string
		err                              error
	}{
		{"ok", "{'a': 1}", "out\nerr\n", "", nil},
		{"error", "", "", "ValueError: red", nil},
		{"bad_expression", "", "", "NameError: name 'nope' is not defined", nil},
		{"died", "", "last words\n", "", ErrKernelDied},
	}
	for _, tt := range tests {
		t.Run(tt.recording, func(t *testing.T) {
			k := (&replay{recording: tt.recording}).connect(t)
			res, err := k.Run(t.Context(), Cell{Code: "whatever", Expression: "x", Timeout: 10 * time.Second})
			if !errors.Is(err, tt.err) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			raised := ""
			if res.Raised != nil {
				raised = res.Raised.Error()
				if strings.Contains(strings.Join(res.Raised.Traceback, ""), "\x1b") {
					t.Errorf("the traceback has terminal escapes: %q", res.Raised.Traceback)
				}
			}
			if res.Value != tt.value || res.Output != tt.output || raised != tt.raised || res.TimedOut {
				t.Errorf("result %+v, raised %q", res, raised)
			}
		})
	}
}

func TestTracebackOfARecordedError(t *testing.T) {
	k := (&replay{recording: "error"}).connect(t)
	res, err := k.Run(t.Context(), Cell{Code: "f()"})
	if err != nil || res.Raised == nil {
		t.Fatal(res, err)
	}
	text := strings.Join(res.Raised.Traceback, "\n")
	if !strings.Contains(text, "raise ValueError(") || !strings.HasSuffix(strings.TrimSpace(text), "ValueError: red") {
		t.Errorf("traceback:\n%s", text)
	}
}

// reply is a frame that answers no request in particular.
func reply(t *testing.T, kind, channel string, content any) []byte {
	t.Helper()
	m, err := newRequest("s", kind, content)
	if err != nil {
		t.Fatal(err)
	}
	m.Channel = channel
	data, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestRunWhenTheConnectionFails(t *testing.T) {
	tests := []struct {
		name string
		p    *replay
		want string
	}{
		{"closed", &replay{hangUp: true}, "the connection to the kernel ended"},
		{"not JSON", &replay{frames: [][]byte{[]byte("<html>")}}, "not the expected JSON"},
		{"no type", &replay{frames: [][]byte{[]byte("{}")}}, "has no type"},
		{"too large", &replay{frames: [][]byte{bytes.Repeat([]byte("x"), maxFrame+1)}}, "the connection to the kernel ended"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k := tt.p.connect(t)
			_, err := k.Run(t.Context(), Cell{Code: "x", Timeout: 10 * time.Second})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestRunIgnoresRepliesToOthers(t *testing.T) {
	k := (&replay{frames: [][]byte{reply(t, "execute_reply", "shell", raised{Status: "ok"})}}).connect(t)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := k.Run(ctx, Cell{Code: "x"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want a deadline", err)
	}
}

func TestRunInterruptsAtTheTimeout(t *testing.T) {
	interrupted := make(chan struct{})
	p := &replay{interrupt: func() { close(interrupted) }}
	k := p.connect(t)
	res, err := k.Run(t.Context(), Cell{Code: "x", Timeout: 50 * time.Millisecond, Grace: 50 * time.Millisecond})
	if !errors.Is(err, ErrKernelBusy) || !res.TimedOut {
		t.Errorf("result %+v, error %v", res, err)
	}
	select {
	case <-interrupted:
	default:
		t.Error("the kernel was not interrupted")
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	k := (&replay{}).connect(t)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := k.Run(ctx, Cell{Code: "x", Timeout: time.Minute, Grace: time.Minute}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestAbortedCellIsNoSuccess(t *testing.T) {
	var r Result
	if err := r.fill([]byte(`{"status": "aborted"}`)); err != nil || r.Raised == nil {
		t.Errorf("%+v, %v", r, err)
	}
	if err := r.fill([]byte(`[]`)); err == nil {
		t.Error("a reply that is no object was accepted")
	}
}

func TestConnectRefused(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, `{"message": "Forbidden"}`, http.StatusForbidden)
	}))
	defer srv.Close()
	base, _ := url.Parse(srv.URL)
	_, err := New(base, http.DefaultTransport, "s3cret").Notebook("u").Connect(t.Context(), "k1")
	if StatusOf(err) != http.StatusForbidden || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("error %v", err)
	}
}

func TestTailKeepsTheEnd(t *testing.T) {
	var out tail
	for range 100 {
		out.add(strings.Repeat("x", 1000))
	}
	out.add("10%\r20%\r\nend\n")
	text := out.String()
	if len(text) > maxOutput || !strings.HasSuffix(text, "x10%\n20%\nend\n") {
		t.Errorf("%d bytes, ending in %q", len(text), text[len(text)-20:])
	}
}

func TestStripANSI(t *testing.T) {
	tests := map[string]string{
		"plain\n\ttext":                          "plain\n\ttext",
		"\x1b[31;1mred\x1b[0m":                   "red",
		"\x1b]8;;http://x\x07link\x1b]8;;\x1b\\": "link",
		"\x1bMup":                                "up",
		"bell\x07 null\x00 del\x7f":              "bell null del",
		"naïve ✓":                                "naïve ✓",
		"open \x1b[":                             "open [",
	}
	for in, want := range tests {
		if got := StripANSI(in); got != want {
			t.Errorf("StripANSI(%q) = %q, want %q", in, got, want)
		}
	}
}
