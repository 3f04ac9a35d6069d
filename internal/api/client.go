package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/hubship/hubship/internal/model"
)

// maxAnswer bounds what is read of an answer that is not a stream.
const maxAnswer = 64 << 20

// ErrNotRunning says that no server answers at the socket.
var ErrNotRunning = errors.New("hubship is not running")

// Client talks to the server over its Unix socket. It is safe for concurrent
// use.
type Client struct {
	socket string
	http   *http.Client
	// patience is how long Follow tries to reach a server that went away.
	patience time.Duration
	// silence is how long a followed log may show no sign of life.
	silence time.Duration
}

// New returns a client of the server at the socket. It does not connect yet.
func New(socket string) *Client {
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	return &Client{
		socket:   socket,
		patience: 2 * time.Minute,
		silence:  3 * Heartbeat,
		http: &http.Client{Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, "unix", socket)
			},
			DisableCompression: true,
			IdleConnTimeout:    30 * time.Second,
		}},
	}
}

// Close ends idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Health asks whether the server serves. The error wraps ErrNotRunning when
// nothing listens at the socket.
func (c *Client) Health(ctx context.Context) (Health, error) {
	var h Health
	return h, c.get(ctx, "ask for the server's health", "/healthz", nil, &h)
}

// Status returns the whole installation as it is now.
func (c *Client) Status(ctx context.Context) (model.Status, error) {
	var s model.Status
	return s, c.get(ctx, "read the status", "/status", nil, &s)
}

// Runs returns the newest runs first.
func (c *Client) Runs(ctx context.Context, f model.RunFilter) ([]model.Run, error) {
	q := url.Values{}
	if f.Environment != "" {
		q.Set("env", f.Environment)
	}
	if f.Hub != "" {
		q.Set("hub", f.Hub)
	}
	if f.Kind != "" {
		q.Set("kind", string(f.Kind))
	}
	if f.Pull > 0 {
		q.Set("pull", strconv.Itoa(f.Pull))
	}
	if f.Active {
		q.Set("active", "true")
	}
	if f.Limit > 0 {
		q.Set("limit", strconv.Itoa(f.Limit))
	}
	var runs []model.Run
	return runs, c.get(ctx, "list runs", "/runs", q, &runs)
}

// Run returns one run; the error wraps fs.ErrNotExist when it is unknown.
func (c *Client) Run(ctx context.Context, id string) (model.Run, error) {
	var run model.Run
	return run, c.get(ctx, "read run "+id, "/runs/"+url.PathEscape(id), nil, &run)
}

// Start asks for a run and returns it as it was enqueued.
func (c *Client) Start(ctx context.Context, req model.RunRequest) (model.Run, error) {
	var run model.Run
	return run, c.post(ctx, "start a run", "/runs", req, &run)
}

// Promote asks for a promotion. A refusal by a gate is an error of exit code
// 3; the Promotion that comes with it says what was found.
func (c *Client) Promote(ctx context.Context, req model.PromoteRequest) (model.Promotion, error) {
	var p model.Promotion
	err := c.post(ctx, "promote", "/promote", req, &p)
	var remote *remoteError
	if errors.As(err, &remote) && remote.promotion != nil {
		p = *remote.promotion
	}
	return p, err
}

// Evidence lists the records about releases, believed or not; an empty
// environment or hub means all.
func (c *Client) Evidence(ctx context.Context, env, hub string) ([]model.EvidenceRecord, error) {
	q := url.Values{}
	if env != "" {
		q.Set("env", env)
	}
	if hub != "" {
		q.Set("hub", hub)
	}
	var records []model.EvidenceRecord
	return records, c.get(ctx, "list evidence", "/evidence", q, &records)
}

// Resume clears the halt of a hub in an environment.
func (c *Client) Resume(ctx context.Context, env, hub, by string) error {
	return c.post(ctx, "resume "+hub+" in "+env, "/resume", ResumeRequest{Environment: env, Hub: hub, By: by}, nil)
}

// Revert opens a pull request that takes a merged one back, or finds the one
// that is open already.
func (c *Client) Revert(ctx context.Context, number int, by string) (model.Reversion, error) {
	var r model.Reversion
	return r, c.post(ctx, fmt.Sprintf("revert pull request #%d", number), fmt.Sprintf("/pulls/%d/revert", number), RevertRequest{By: by}, &r)
}

// Cancel ends a run.
func (c *Client) Cancel(ctx context.Context, id, by string) error {
	return c.post(ctx, "cancel run "+id, "/runs/"+url.PathEscape(id)+"/cancel", CancelRequest{By: by}, nil)
}

func (c *Client) get(ctx context.Context, op, path string, q url.Values, into any) error {
	return c.do(ctx, op, http.MethodGet, path, q, nil, into)
}

func (c *Client) post(ctx context.Context, op, path string, body, into any) error {
	return c.do(ctx, op, http.MethodPost, path, nil, body, into)
}

func (c *Client) do(ctx context.Context, op, method, path string, q url.Values, body, into any) error {
	res, err := c.send(ctx, op, method, path, q, body)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(data, into); err != nil {
		return model.WithHint(fmt.Errorf("%s: the server's answer is not understood: %w", op, err),
			"the server may have another version: run `hubship up` again")
	}
	return nil
}

// send returns a successful answer, whose body the caller closes.
func (c *Client) send(ctx context.Context, op, method, path string, q url.Values, body any) (*http.Response, error) {
	var reader io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", op, err)
		}
		reader = bytes.NewReader(data)
	}
	target := "http://localhost" + Prefix + path
	if len(q) > 0 {
		target += "?" + q.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, reader)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, c.explain(op, err)
	}
	if res.StatusCode/100 == 2 {
		return res, nil
	}
	defer func() { _ = res.Body.Close() }()
	return nil, answerError(op, res)
}

// explain words an error of the connection.
func (c *Client) explain(op string, err error) error {
	// What http adds in front, the method and an address that is not real,
	// only confuses.
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return model.WithHint(fmt.Errorf("%s: %w (nothing answers at %s)", op, ErrNotRunning, c.socket),
			"start it with `hubship up`")
	case errors.Is(err, os.ErrPermission):
		return model.WithHint(fmt.Errorf("%s: %w", op, err), "run the command as the user that runs hubship, or as root")
	}
	return fmt.Errorf("%s: %w", op, err)
}

// answerError makes an error of an answer that is not a success. It keeps the
// exit code and the hint that the server gave.
func answerError(op string, res *http.Response) error {
	data, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	var body Error
	if err != nil || json.Unmarshal(data, &body) != nil || body.Error == "" {
		return fmt.Errorf("%s: the server answered %s", op, res.Status)
	}
	cause := error(&remoteError{text: body.Error, missing: res.StatusCode == http.StatusNotFound, promotion: body.Promotion,
		// What a gate refuses is a conflict, too.
		taken: res.StatusCode == http.StatusConflict && body.Code != model.ExitRefused})
	return &model.Error{Code: body.Code, Hint: body.Hint, Err: cause}
}

// remoteError is an error as the server worded it.
type remoteError struct {
	text      string
	missing   bool
	taken     bool
	promotion *model.Promotion
}

func (e *remoteError) Error() string { return e.text }

// Is lets callers test for fs.ErrNotExist and fs.ErrExist across the
// connection.
func (e *remoteError) Is(target error) bool {
	return e.missing && target == fs.ErrNotExist || e.taken && target == fs.ErrExist
}
