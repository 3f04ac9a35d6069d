package jupyter

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coder/websocket"
)

const (
	maxFrame  = 16 << 20 // bytes of one message of a kernel
	maxOutput = 16 << 10 // bytes kept of what a cell printed, the last ones
)

// ErrKernelDied is a kernel whose process ended.
var ErrKernelDied = errors.New("the kernel died")

// ErrKernelBusy is a kernel that neither answered in time nor reacted to the
// interrupt that followed.
var ErrKernelBusy = errors.New("the kernel does not react to an interrupt")

// Exception is an error that code raised in a kernel, without terminal
// escapes.
type Exception struct {
	Name      string // class: "ModuleNotFoundError"
	Value     string // message
	Traceback []string
}

func (e *Exception) Error() string {
	if e.Value == "" {
		return e.Name
	}
	return e.Name + ": " + e.Value
}

// Kernel is a connection to a running kernel. Its methods are not safe for
// concurrent use; a kernel answers one request at a time anyway.
type Kernel struct {
	notebook *Notebook
	id       string
	session  string
	conn     *websocket.Conn
	incoming chan message
	failed   chan struct{} // closed when the connection ended
	err      error         // why; set before failed is closed
	stop     context.CancelFunc
}

// Connect opens the websocket of a kernel. The caller must Close the Kernel.
func (n *Notebook) Connect(ctx context.Context, id string) (*Kernel, error) {
	k := &Kernel{
		notebook: n, id: id, session: rand.Text(),
		incoming: make(chan message, 64), failed: make(chan struct{}),
	}
	u := n.endpoint("api", "kernels", url.PathEscape(id), "channels")
	u.RawQuery = url.Values{"session_id": {k.session}}.Encode()
	header := http.Header{}
	n.c.authorize(header)
	conn, resp, err := websocket.Dial(ctx, u.String(), &websocket.DialOptions{HTTPClient: n.c.http, HTTPHeader: header})
	if err != nil {
		if resp != nil && resp.StatusCode != http.StatusSwitchingProtocols {
			return nil, n.c.apiError("connect to the kernel", resp, nil)
		}
		return nil, fmt.Errorf("connect to the kernel: %w", transportError(err))
	}
	conn.SetReadLimit(maxFrame)
	k.conn = conn
	// The connection outlives the deadline of the step that opened it.
	reading, stop := context.WithCancel(context.WithoutCancel(ctx))
	k.stop = stop
	go k.read(reading)
	return k, nil
}

// read passes messages on until the connection ends.
func (k *Kernel) read(ctx context.Context) {
	defer close(k.failed)
	for {
		kind, data, err := k.conn.Read(ctx)
		if err != nil {
			k.err = fmt.Errorf("the connection to the kernel ended: %w", err)
			return
		}
		if kind != websocket.MessageText {
			continue // only messages with binary buffers; none that is asked for has any
		}
		m, err := decodeMessage(data)
		if err != nil {
			k.err = err
			return
		}
		select {
		case k.incoming <- m:
		case <-ctx.Done():
			k.err = ctx.Err()
			return
		}
	}
}

// Close ends the connection; the kernel goes on.
func (k *Kernel) Close() {
	_ = k.conn.CloseNow()
	k.stop()
	<-k.failed
}

func (k *Kernel) send(ctx context.Context, kind string, content any) (string, error) {
	m, err := newRequest(k.session, kind, content)
	if err != nil {
		return "", err
	}
	data, err := json.Marshal(m)
	if err != nil {
		return "", fmt.Errorf("encode %s: %w", kind, err)
	}
	if err := k.conn.Write(ctx, websocket.MessageText, data); err != nil {
		return "", fmt.Errorf("send %s: %w", kind, err)
	}
	return m.Header.ID, nil
}

// next returns the next message, or ErrKernelDied when the message says that
// the kernel's process ended.
func (k *Kernel) next(ctx context.Context) (message, error) {
	var m message
	select {
	case m = <-k.incoming:
	default:
		select {
		case m = <-k.incoming:
		case <-k.failed:
			return message{}, k.err
		case <-ctx.Done():
			return message{}, ctx.Err()
		}
	}
	if m.Channel == "iopub" && m.Header.Type == "status" {
		var s struct {
			State string `json:"execution_state"`
		}
		if json.Unmarshal(m.Content, &s) == nil && (s.State == "restarting" || s.State == "dead") {
			return m, ErrKernelDied
		}
	}
	return m, nil
}

// Info says what the kernel is: "Python 3.11.2 (ipython 9.1.0)". It returns
// once the kernel answers.
func (k *Kernel) Info(ctx context.Context) (string, error) {
	const op = "ask the kernel for its info"
	id, err := k.send(ctx, "kernel_info_request", struct{}{})
	if err != nil {
		return "", fmt.Errorf("%s: %w", op, err)
	}
	for {
		m, err := k.next(ctx)
		if err != nil {
			return "", fmt.Errorf("%s: %w", op, err)
		}
		if m.Header.Type != "kernel_info_reply" || m.parent() != id {
			continue
		}
		var r infoReply
		if err := json.Unmarshal(m.Content, &r); err != nil {
			return "", fmt.Errorf("%s: the response is not the expected JSON: %w", op, err)
		}
		if r.Status == "error" {
			return "", fmt.Errorf("%s: it responded with an error", op)
		}
		name := r.Language.Name
		if name != "" {
			name = strings.ToUpper(name[:1]) + name[1:]
		}
		return strings.TrimSpace(fmt.Sprintf("%s %s (%s %s)", name, r.Language.Version, r.Implementation, r.Version)), nil
	}
}

// Cell is code to run and how long it may take.
type Cell struct {
	Code       string
	Expression string        // evaluated after the code succeeded; may be empty
	Timeout    time.Duration // after which the kernel is interrupted; 0 means never
	Grace      time.Duration // how long it may take to react to the interrupt
}

// Result is what running a Cell gave.
type Result struct {
	Raised   *Exception // nil when the code, and the expression, succeeded
	Value    string     // of the expression, as plain text
	Output   string     // last part of what the code printed to both streams
	TimedOut bool       // the kernel was interrupted at the timeout
}

// Run runs a cell and waits for its end. An exception that the code raises
// is in the Result. The error is ErrKernelDied when the process ended,
// ErrKernelBusy when the kernel cannot be used any more, ctx's error, or that
// of the connection; the Result then holds what was printed up to there.
func (k *Kernel) Run(ctx context.Context, cell Cell) (res Result, err error) {
	req := executeRequest{Code: cell.Code, StopOnError: true, Expressions: map[string]string{}}
	if cell.Expression != "" {
		req.Expressions["value"] = cell.Expression
	}
	id, err := k.send(ctx, "execute_request", req)
	if err != nil {
		return res, err
	}
	var out tail
	defer func() { res.Output = out.String() }()
	err = k.await(ctx, cell.Timeout, id, &res, &out)
	if !errors.Is(err, errTimeout) {
		return res, err
	}
	res.TimedOut = true
	grace, cancel := context.WithTimeout(ctx, cell.Grace)
	defer cancel()
	if err := k.notebook.Interrupt(grace, k.id); err != nil {
		return res, fmt.Errorf("%w: %w", ErrKernelBusy, err)
	}
	err = k.await(grace, 0, id, &res, &out)
	if err != nil && grace.Err() != nil && ctx.Err() == nil {
		return res, ErrKernelBusy
	}
	return res, err
}

// errTimeout is a cell that did not end in its time.
var errTimeout = errors.New("the cell did not end in time")

// await handles messages until the reply to the request came; errTimeout when
// it took longer than the timeout, unless that is 0.
func (k *Kernel) await(ctx context.Context, timeout time.Duration, id string, res *Result, out *tail) error {
	waiting := ctx
	if timeout > 0 {
		var cancel context.CancelFunc
		waiting, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	for {
		done, err := k.step(waiting, id, res, out)
		if done {
			return err
		}
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			return errTimeout
		}
		if err != nil {
			return err
		}
	}
}

// step handles one message of a running cell; done is true at its reply.
func (k *Kernel) step(ctx context.Context, id string, res *Result, out *tail) (done bool, err error) {
	m, err := k.next(ctx)
	if err != nil {
		return false, err
	}
	switch {
	case m.Channel == "iopub" && m.Header.Type == "stream":
		var s struct {
			Text string `json:"text"`
		}
		if json.Unmarshal(m.Content, &s) == nil {
			out.add(s.Text)
		}
	case m.Header.Type == "execute_reply" && m.parent() == id:
		// The reply carries the exception and the value, and unlike the
		// broadcast error message no server drops it when output floods in.
		return true, res.fill(m.Content)
	}
	return false, nil
}

func (r *Result) fill(content json.RawMessage) error {
	var reply executeReply
	if err := json.Unmarshal(content, &reply); err != nil {
		return fmt.Errorf("the kernel's reply is not the expected JSON: %w", err)
	}
	switch reply.Status {
	case "ok":
	case "error":
		r.Raised = reply.exception()
		return nil
	default:
		r.Raised = &Exception{Name: "Aborted", Value: "the kernel did not run the code"}
		return nil
	}
	value, ok := reply.Expressions["value"]
	if !ok {
		return nil
	}
	if value.Status == "error" {
		r.Raised = value.exception()
		return nil
	}
	if text, ok := value.Data["text/plain"]; ok {
		if err := json.Unmarshal(text, &r.Value); err != nil {
			return fmt.Errorf("the value of the expression is not text: %w", err)
		}
	}
	return nil
}

// tail keeps the end of a long text.
type tail struct{ text string }

func (t *tail) add(text string) {
	t.text += text
	if len(t.text) > 2*maxOutput {
		t.text = t.text[len(t.text)-maxOutput:]
	}
}

// String returns the kept text without terminal escapes.
func (t *tail) String() string {
	text := t.text
	if len(text) > maxOutput {
		text = text[len(text)-maxOutput:]
	}
	// Progress bars overwrite their line; here each state gets its own.
	text = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(strings.ToValidUTF8(text, ""))
	return StripANSI(text)
}
