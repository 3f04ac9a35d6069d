package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hubship/hubship/internal/model"
)

// listen answers each connection of a client with the next of the scripts,
// byte for byte, and keeps or closes it.
func listen(t *testing.T, scripts ...script) (*Client, *atomic.Int64) {
	t.Helper()
	dir, err := os.MkdirTemp("", "hs") // t.TempDir can be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	var served atomic.Int64
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			n := served.Add(1)
			s := scripts[min(int(n)-1, len(scripts)-1)]
			go func() {
				_, _ = conn.Read(make([]byte, 4096))
				_, _ = conn.Write([]byte(s.answer))
				if !s.hang {
					_ = conn.Close()
				}
			}()
		}
	}()
	c := New(socket)
	t.Cleanup(c.Close)
	return c, &served
}

type script struct {
	answer string
	hang   bool
}

const ok = "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nConnection: close\r\n\r\n"

func line(seq int) string { return fmt.Sprintf(`{"line":{"seq":%d,"text":"line %d"}}`+"\n", seq, seq) }

const final = `{"run":{"id":"r1","state":"done"}}` + "\n"

func TestFollowIsPatient(t *testing.T) {
	c, served := listen(t,
		script{answer: ok + line(1) + line(2) + `{"line":{"seq":3,"te`},                                         // dies in mid-record
		script{answer: "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"},                         // not up yet
		script{answer: ok + line(2) + line(3) + `{"run":{"id":"r1","state":"running"}}` + "\n{}\n", hang: true}, // tells a line twice, then says nothing
		script{answer: ok + line(4) + final},
	)
	c.silence = 300 * time.Millisecond
	var got []string
	run, err := c.Follow(t.Context(), "r1", func(l model.Line) error { got = append(got, l.Text); return nil })
	if err != nil || run.State != model.Done {
		t.Fatalf("Follow() = %v, %v", run.State, err)
	}
	if want := "line 1,line 2,line 3,line 4"; strings.Join(got, ",") != want {
		t.Errorf("told %v, want %s", got, want)
	}
	if n := served.Load(); n != 4 {
		t.Errorf("%d connections", n)
	}
}

func TestFollowGivesUp(t *testing.T) {
	c := New(filepath.Join(t.TempDir(), "nothing"))
	c.patience = 500 * time.Millisecond
	start := time.Now()
	_, err := c.Follow(t.Context(), "r1", func(model.Line) error { return nil })
	if !errors.Is(err, ErrNotRunning) || !strings.Contains(model.HintOf(err), "hubship logs r1") {
		t.Errorf("Follow() = %v (%s)", err, model.HintOf(err))
	}
	if took := time.Since(start); took < 500*time.Millisecond || took > 10*time.Second {
		t.Errorf("gave up after %s", took)
	}
}

func TestOddAnswers(t *testing.T) {
	for name, answer := range map[string]string{
		"no JSON":           "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
		"an error in words": "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
		"cut off":           "HTTP/1.1 200 OK\r\nContent-Length: 500\r\nConnection: close\r\n\r\n{",
		"not HTTP":          "SSH-2.0-OpenSSH\r\n",
		"nothing":           "",
	} {
		c, _ := listen(t, script{answer: answer})
		if _, err := c.Status(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "read the status: ") || errors.Is(err, ErrNotRunning) {
			t.Errorf("%s: %v", name, err)
		}
	}
	c, _ := listen(t, script{hang: true})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := c.Health(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a server that hangs: %v", err)
	}
}

func TestErrorsKeepCodeAndHint(t *testing.T) {
	body := `{"error":"datahub may not enter prod","hint":"verify staging","code":3,"promotion":{"into":"prod","refused":"no evidence"}}`
	c, _ := listen(t, script{answer: fmt.Sprintf("HTTP/1.1 409 Conflict\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(body), body)})
	p, err := c.Promote(t.Context(), model.PromoteRequest{})
	if model.ExitCodeOf(err) != model.ExitRefused || model.HintOf(err) != "verify staging" || err.Error() != "datahub may not enter prod" || p.Into != "prod" {
		t.Errorf("Promote() = %+v, %d %v (%s)", p, model.ExitCodeOf(err), err, model.HintOf(err))
	}
	if errors.Is(err, os.ErrNotExist) {
		t.Error("a refusal counts as an unknown run")
	}
}
